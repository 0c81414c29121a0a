"""An incremental refresh evaluates only candidates, and has the same result as a full one."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection, connections, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from core.db import execution
from customers.facts import update
from customers.models import Customer, Touched
from customers.privacy import personal_data
from segments import fixed_lists, segment_store
from segments.models import Change, Membership, Refresh, RefreshResult, Segment
from segments.refresh import verification, write
from segments.refresh.engine import refresh_all, refresh_segments
from segments.refresh.lease import ABANDONED_ERROR, RefreshRunning
from segments.refresh.write import Outcome
from tests.conftest import eventually
from tests.support import shop
from tests.support.shop import NOON, days

pytestmark = [pytest.mark.django_db, pytest.mark.distributed_keys]

BUYERS = {"order_count": {"at_least": 1}}
RECENT = {"last_order": {"within_last": "30d"}}
BIG_SPENDERS = {"total_spent": {"above": "average"}}


@pytest.fixture(autouse=True)
def clock(request):
    """The shop's clock stands at noon until a test moves it; with several processes it runs."""
    if request.node.get_closest_marker("django_db").kwargs.get("transaction"):
        yield None
        return
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def crowd() -> None:
    """Forty customers with an order a day: enough for an incremental refresh to be cheaper than a full one."""
    rows = [f"o{n},c{n},{(NOON - days(n + 0.5)).isoformat()},{10 + n % 3}" for n in range(40)]
    shop.orders(*rows)


def refresh_at(at: datetime) -> tuple[Refresh, dict[str, Outcome]]:
    run, outcomes = refresh_all(at)
    assert all(not outcome.error for outcome in outcomes), outcomes
    assert_right()
    return run, {outcome.segment.slug: outcome for outcome in outcomes}


def assert_right() -> None:
    wrong = [verdict for verdict in verification.verify(Segment.objects.all()) if not verdict.is_correct]
    assert not wrong


# -- Candidates


def test_a_refresh_with_nothing_new_evaluates_nobody(crowd) -> None:
    shop.segment("recent", RECENT)
    refresh_at(NOON)

    run, outcomes = refresh_at(NOON + timedelta(seconds=1))

    assert (run.touched, run.evaluated) == (0, 0)
    assert (outcomes["recent"].entered, outcomes["recent"].left) == (0, 0)
    assert Segment.objects.get().refreshed_at == NOON + timedelta(seconds=1)


def test_candidates_are_customers_who_ordered_or_whose_period_ended(crowd, clock) -> None:
    shop.segment("recent", RECENT)
    refresh_at(NOON)

    clock.move_to(NOON + days(1))
    shop.orders(f"new,c35,{(NOON + days(0.9)).isoformat()},10")
    run, outcomes = refresh_at(NOON + days(1))

    assert (run.touched, run.evaluated) == (1, 2)
    assert (outcomes["recent"].entered, outcomes["recent"].left) == (1, 1)
    assert sorted(shop.changes("recent")[-2:]) == [("c29", "left", "time"), ("c35", "entered", "activity")]


def test_customers_whose_value_the_average_passes_are_candidates(crowd, clock) -> None:
    shop.segment("big", BIG_SPENDERS)
    refresh_at(NOON)  # a third each spent 10, 11 and 12

    clock.move_to(NOON + days(1))
    shop.orders(f"new,c0,{(NOON + days(0.9)).isoformat()},20")
    run, _ = refresh_at(NOON + days(1))

    assert run.evaluated < 20
    assert {(who, cause) for who, way, cause in shop.changes("big") if way == "left"} == {
        (f"c{n}", "population") for n in range(40) if n % 3 == 1
    }


def test_an_order_dated_ahead_is_activity_when_its_time_comes(crowd, clock) -> None:
    shop.segment("hundred", {"total_spent": {"at_least": 100}})
    shop.orders(f"ahead,c1,{(NOON + days(2)).isoformat()},100")
    refresh_at(NOON)
    assert shop.members("hundred") == []

    clock.move_to(NOON + days(1))
    assert refresh_at(NOON + days(1))[0].evaluated == 0
    clock.move_to(NOON + days(2))
    refresh_at(NOON + days(2))

    assert shop.changes("hundred") == [("c1", "entered", "activity")]


def test_a_customer_first_seen_in_the_future_enters_by_activity(crowd, clock) -> None:
    shop.customers("new,new@example.org,2026-03-20T00:00Z", header="customer_id,email,first_seen")
    shop.segment("known", {"known": {"is": True}})
    refresh_at(NOON)
    assert shop.members("known") == []

    clock.move_to(NOON + days(10))
    refresh_at(NOON + days(10))

    assert shop.changes("known") == [("new", "entered", "activity")]


def test_an_erasure_that_changes_the_average_has_the_cause_population(crowd, clock) -> None:
    shop.orders("much,rich,2026-03-01,4000")
    shop.segment("big", BIG_SPENDERS)
    refresh_at(NOON)
    assert shop.members("big") == ["rich"]

    clock.move_to(NOON + timedelta(minutes=1))
    personal_data.erase_customer(Customer.objects.get(customer_id="rich"), NOON + timedelta(minutes=1))
    clock.move_to(NOON + timedelta(minutes=2))
    run, _ = refresh_at(NOON + timedelta(minutes=2))

    entered = [(who, way, cause) for who, way, cause in shop.changes("big") if way == "entered"][1:]
    assert sorted(entered) == sorted((f"c{n}", "entered", "population") for n in range(40) if n % 3)
    assert run.evaluated < 40


def test_a_new_segment_is_filled_in_the_refresh_of_the_others(crowd) -> None:
    shop.segment("recent", RECENT)
    refresh_at(NOON)
    shop.segment("buyers", BUYERS)

    _, outcomes = refresh_at(NOON + timedelta(seconds=1))

    assert (outcomes["buyers"].entered, outcomes["recent"].entered) == (40, 0)
    assert {cause for _, _, cause in shop.changes("buyers")} == {"initial"}


def test_a_change_through_another_segment_has_the_cause_of_that_change(crowd, clock) -> None:
    shop.segment("recent", RECENT)
    shop.segment("others", {"none": [{"in_segment": {"is": "recent"}}]})
    refresh_at(NOON)

    clock.move_to(NOON + days(1))
    refresh_at(NOON + days(1))

    assert shop.changes("others")[-1] == ("c29", "entered", "time")


def test_customers_added_to_a_list_enter_segments_that_refer_to_it(crowd) -> None:
    chosen = segment_store.create_fixed_list("chosen", "Chosen", [], NOON)
    shop.segment("listed", {"in_segment": {"is": "chosen"}})
    refresh_at(NOON)

    keys, _ = segment_store.find_customers(["c7"])
    fixed_lists.add_customers(chosen, keys, NOON)
    run, _ = refresh_at(NOON + timedelta(seconds=1))

    assert run.evaluated == 1
    assert shop.changes("listed") == [("c7", "entered", "activity")]


def test_a_contact_that_becomes_known_is_counted_while_staying_a_member(crowd) -> None:
    shop.segment("buyers", BUYERS)
    refresh_at(NOON)

    shop.customers("c3,c3@example.org")
    _, outcomes = refresh_at(NOON + timedelta(seconds=1))

    assert (outcomes["buyers"].size, outcomes["buyers"].known_size) == (40, 1)
    assert Segment.objects.get().known_size == 1


def test_a_full_refresh_has_the_same_result_as_incremental_ones(crowd, clock) -> None:
    segment_store.install_templates()
    refresh_at(NOON)
    for day in range(1, 5):
        clock.move_to(NOON + days(day))
        shop.orders(f"n{day},c{day * 7},{(NOON + days(day - 0.1)).isoformat()},50")
        refresh_at(NOON + days(day))

    _, outcomes = refresh_all(NOON + days(4), full=True)

    assert {(outcome.entered, outcome.left) for outcome in outcomes} == {(0, 0)}


# -- The queue


def test_a_segment_refreshed_alone_leaves_the_queue_to_the_others(crowd) -> None:
    shop.segment("recent", RECENT)
    buyers = shop.segment("buyers", BUYERS)
    refresh_at(NOON)
    shop.orders(f"new,fresh,{NOON.isoformat()},10")

    refresh_segments([buyers], NOON)
    assert Touched.objects.count() == 1
    assert "fresh" in shop.members("buyers")
    assert "fresh" not in shop.members("recent")

    refresh_at(NOON + timedelta(seconds=1))
    assert "fresh" in shop.members("recent")
    assert not Touched.objects.exists()


def test_a_paused_segment_is_evaluated_in_full_when_it_is_active_again(crowd) -> None:
    paused = shop.segment("paused", BUYERS)
    shop.segment("recent", RECENT)
    refresh_at(NOON)
    Segment.objects.filter(pk=paused.pk).update(is_active=False)
    shop.orders(f"new,fresh,{NOON.isoformat()},10")
    refresh_at(NOON + timedelta(seconds=1))
    assert "paused: not compared, paused" in shop.command("verify_segments")

    Segment.objects.filter(pk=paused.pk).update(is_active=True)
    refresh_at(NOON + timedelta(seconds=2))

    assert shop.changes("paused")[-1] == ("fresh", "entered", "activity")


def test_many_touched_customers_lead_to_a_full_evaluation(crowd, django_assert_max_num_queries) -> None:
    shop.segment("recent", RECENT)
    refresh_at(NOON)
    shop.customers(*(f"c{n},c{n}@example.org" for n in range(40)))

    with django_assert_max_num_queries(60):
        run, outcomes = refresh_at(NOON + timedelta(seconds=1))

    assert run.touched == 40
    assert outcomes["recent"].known_size == 30


def test_sixteen_segments_take_few_statements(crowd, clock, django_assert_max_num_queries) -> None:
    segment_store.install_templates()
    refresh_at(NOON)
    clock.move_to(NOON + days(0.01))
    shop.orders(f"new,c7,{(NOON + days(0.005)).isoformat()},10")

    with django_assert_max_num_queries(65):
        refresh_all(NOON + days(0.01))


def test_a_refresh_with_nothing_new_takes_twelve_statements_at_most(crowd) -> None:
    segment_store.install_templates()
    refresh_at(NOON)
    refresh_at(NOON + timedelta(seconds=1))

    with CaptureQueriesContext(connection) as captured:
        refresh_all(NOON + timedelta(seconds=2))

    statements = [one["sql"] for one in captured.captured_queries if "SAVEPOINT" not in one["sql"]]
    assert len(statements) <= 12, "\n".join(statements)


# -- Failing, editing, clocks


def test_a_failing_segment_is_retried_with_backoff_and_does_not_stop_the_others(crowd) -> None:
    broken = shop.segment("broken", BUYERS)
    shop.segment("recent", RECENT)
    Segment.objects.filter(pk=broken.pk).update(rule={"no_such_filter": {}})

    tries = []
    with time_machine.travel(NOON, tick=False) as clock:
        for minute in range(12):
            clock.move_to(NOON + timedelta(minutes=minute))
            _, outcomes = refresh_all()
            assert any(one.segment.slug == "recent" and not one.error for one in outcomes)
            tries += [minute for one in outcomes if one.segment.slug == "broken"]

    broken.refresh_from_db()
    assert tries == [0, 1, 3, 7]
    assert (broken.status, broken.failures) == ("failing", 4)
    assert broken.failing_since == NOON
    assert broken.retry_at == NOON + timedelta(minutes=15)
    assert "no_such_filter" in broken.last_error
    assert RefreshResult.objects.filter(segment=broken).exclude(error="").count() == 4


def test_a_repaired_segment_is_not_delayed_any_longer(crowd) -> None:
    broken = shop.segment("broken", BUYERS)
    Segment.objects.filter(pk=broken.pk).update(rule={"no_such_filter": {}})
    refresh_all()
    broken.refresh_from_db()

    broken.rule = RECENT
    segment_store.save_segment(broken)
    _, [outcome] = refresh_all()

    broken.refresh_from_db()
    assert (outcome.error, broken.status, broken.failures, broken.retry_at) == ("", "fresh", 0, None)


def test_a_clock_that_steps_back_stays_at_the_last_instant(crowd, clock) -> None:
    shop.segment("recent", RECENT)
    refresh_all()

    clock.move_to(NOON - days(3))
    shop.orders(f"new,fresh,{(NOON - days(3.5)).isoformat()},10")
    run, _ = refresh_all()

    assert run.at == NOON
    assert "fresh" in shop.members("recent")
    assert_right()


def test_a_changed_time_zone_leads_to_a_full_evaluation(crowd) -> None:
    shop.orders("night,late,2026-03-14T23:30:00Z,10")
    shop.segment("since-the-15th", {"last_order": {"on_or_after": "2026-03-15"}})
    refresh_at(NOON)
    assert "late" not in shop.members("since-the-15th")

    with override_settings(TIME_ZONE="Europe/Berlin"):
        refresh_at(NOON + timedelta(seconds=1))

    assert "late" in shop.members("since-the-15th")


def test_statistics_may_be_as_old_as_the_setting_allows_and_say_so(crowd, clock) -> None:
    shop.segment("top", {"total_spent": {"top_percent": 20}})
    run, _ = refresh_at(NOON)
    cut = dict(run.statistics)

    with override_settings(FIGURES_MAX_AGE=3600):
        shop.orders(*(f"x{n},x{n},{NOON.isoformat()},1000" for n in range(12)))
        run, _ = refresh_at(NOON + timedelta(minutes=30))
        assert (run.statistics, run.statistics_from) == (cut, NOON)
        run, _ = refresh_at(NOON + timedelta(minutes=90))

    assert run.statistics != cut
    assert run.statistics_from == NOON + timedelta(minutes=90)


# -- Leases


def test_one_refresh_runs_at_a_time(crowd) -> None:
    shop.segment("recent", RECENT)
    Refresh.objects.create(at=NOON, started_at=NOON, heartbeat_at=NOON)

    with pytest.raises(RefreshRunning):
        refresh_all(wait=False)

    assert Refresh.objects.count() == 1


@pytest.mark.parametrize(
    "beat", [NOON - days(1), NOON + days(1)], ids=["long ago", "by a clock that stepped back"]
)
def test_a_refresh_whose_process_died_is_replaced(crowd, beat) -> None:
    shop.segment("recent", RECENT)
    dead = Refresh.objects.create(at=NOON, started_at=NOON, heartbeat_at=beat)

    refresh_at(NOON)

    dead.refresh_from_db()
    assert (dead.state, dead.error) == ("failed", ABANDONED_ERROR)


def test_a_failing_refresh_stores_its_error_and_releases_the_lease(crowd) -> None:
    shop.segment("recent", RECENT)
    before = shop.rows_of(Membership, Change)

    def break_off(execute, sql, *arguments):
        if sql.startswith("UPDATE segments_segment"):
            raise RuntimeError("out of the blue")
        return execute(sql, *arguments)

    with connection.execute_wrapper(break_off), pytest.raises(RuntimeError):
        refresh_all(NOON)

    run = Refresh.objects.get()
    assert (run.state, run.error) == ("failed", "RuntimeError: out of the blue")
    assert shop.rows_of(Membership, Change) == before
    refresh_at(NOON)
    assert len(shop.members("recent")) == 30


# -- Two at once


@pytest.mark.django_db(transaction=True)
def test_two_refreshes_at_once_follow_one_another() -> None:
    shop.orders(*(f"o{n},c{n},2026-03-01,10" for n in range(20)))
    shop.segment("buyers", BUYERS)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            refresh_all()
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert Change.objects.count() == Membership.objects.count() == 20
    assert Refresh.objects.filter(state="done").count() == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="on SQLite an edit waits for the refresh to end")
def test_a_rule_edited_during_a_refresh_is_evaluated_by_the_next() -> None:
    shop.orders(*(f"o{n},c{n},2026-03-01,10" for n in range(20)))
    segment = shop.segment("buyers", BUYERS)
    edited = threading.Event()

    def edit() -> None:
        one = Segment.objects.get(pk=segment.pk)
        one.rule = {"order_count": {"at_least": 2}}
        segment_store.save_segment(one)
        connection.close()
        edited.set()

    def with_an_edit(execute, sql, *arguments):
        done = execute(sql, *arguments)
        if "INSERT INTO differences" in sql:
            threading.Thread(target=edit).start()
            assert edited.wait(10), "the edit must not wait for the refresh"
        return done

    with connection.execute_wrapper(with_an_edit):
        refresh_all()

    segment.refresh_from_db()
    assert (segment.refreshed_at, segment.size) == (None, 0)
    refresh_all()
    segment.refresh_from_db()
    assert (segment.refreshed_version, segment.size) == (2, 0)


# -- Real time


@pytest.mark.django_db(transaction=True)
def test_an_event_changes_the_members_without_a_request(celery_worker) -> None:
    shop.segment("viewers", {"event_count": {"at_least": 1, "event": "View"}})
    refresh_all()

    shop.events(f"m1,,a1,View,{datetime.now(UTC).isoformat()}")

    eventually(lambda: shop.members("viewers") == ["anonymous:a1"], within=20)
    assert not update.is_update_due(datetime.now(UTC))


@pytest.mark.django_db(transaction=True)
def test_a_segment_saved_during_a_refresh_counts_what_was_recorded_before_it() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("about PostgreSQL: SQLite has one writer")
    locked = threading.Event()
    [(refreshing,)] = execution.fetch_all("SELECT pg_backend_pid()")

    def record_and_save() -> None:
        with transaction.atomic():
            write.lock_members()
            locked.set()
            eventually(
                lambda: execution.fetch_all(
                    "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted", [refreshing]
                )
            )
            # The refresh has updated the facts and waits. It has not read the segments yet.
            shop.import_rows("customers", "c1", header="customer_id", update_facts=False)
            rule = {"event_count": {"at_most": 0}}
            segment_store.save_segment(Segment(slug="everyone", name="Everyone", rule=rule))
        connection.close()

    other = threading.Thread(target=record_and_save)
    other.start()
    assert locked.wait(20)
    refresh_all()
    other.join()

    assert Segment.objects.get(slug="everyone").size == 1
