"""The steps of a refresh, each alone: what a plan says, who is a candidate, what differs, what is written."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db.models import F

from core.db import execution
from core.db.sql import Sql
from customers.facts import touched_customers, update
from customers.models import Customer, Touched
from segments.evaluation.compiler import compile_rules
from segments.evaluation.context import context_at
from segments.evaluation.expansion import expand_segments
from segments.models import Change, Membership, Refresh, Segment
from segments.refresh import candidates, differences, write
from segments.refresh.engine import refresh_all
from segments.refresh.plan import RefreshPlan, TooEarly, plan_refresh
from segments.refresh.write import WrittenSegment
from tests.support import shop
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

BUYERS = {"order_count": {"at_least": 1}}
RECENT = {"last_order": {"within_last": "30d"}}
BIG_SPENDERS = {"total_spent": {"above": "average"}}


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def crowd() -> None:
    """Forty customers, c0 to c39, with one order each: of c0 half a day ago, of each next one a day earlier."""
    shop.orders(*(f"o{n},c{n},{(NOON - days(n + 0.5)).isoformat()},{10 + n % 3}" for n in range(40)))


def order(number: int, customer: str, at: datetime, total: int = 10) -> None:
    shop.orders(f"new{number},{customer},{at.isoformat()},{total}")


def planned(plan: RefreshPlan) -> dict[str, bool]:
    """By slug: whether everybody is evaluated."""
    return {one.segment.slug: one.is_full for one in plan.planned}


def found(plan: RefreshPlan) -> tuple[candidates.Candidates, set[str]]:
    count = candidates.find_candidates(plan)
    keys = [key for (key,) in execution.fetch_all("SELECT customer_id FROM candidates")]
    return count, set(Customer.objects.filter(pk__in=keys).values_list("customer_id", flat=True))


# -- Plan


def test_a_new_segment_is_planned_for_everybody_and_a_current_one_for_candidates(crowd) -> None:
    shop.segment("recent", RECENT)
    refresh_all(NOON)
    shop.segment("buyers", BUYERS)

    plan = plan_refresh(at=NOON + days(1))

    assert plan.at == NOON + days(1)
    assert plan.empties_queue
    assert planned(plan) == {"recent": False, "buyers": True}
    assert planned(plan_refresh(full=True)) == {"recent": True, "buyers": True}


def test_an_edited_rule_is_planned_for_everybody(crowd) -> None:
    segment = shop.segment("recent", RECENT)
    refresh_all(NOON)
    Segment.objects.filter(pk=segment.pk).update(rule=BUYERS, version=segment.version + 1)

    assert planned(plan_refresh()) == {"recent": True}


def test_one_segment_alone_leaves_the_queue_to_the_others(crowd) -> None:
    recent = shop.segment("recent", RECENT)
    shop.segment("buyers", BUYERS)
    refresh_all(NOON)

    plan = plan_refresh([recent.pk])

    assert not plan.empties_queue
    assert planned(plan) == {"recent": True}
    assert [one.slug for one in plan.others] == ["buyers"]


def test_a_failing_segment_waits_for_its_retry_unless_an_instant_is_given(crowd) -> None:
    segment = shop.segment("recent", RECENT)
    Segment.objects.filter(pk=segment.pk).update(retry_at=NOON + timedelta(minutes=5))

    assert planned(plan_refresh()) == {}
    assert planned(plan_refresh(at=NOON)) == {"recent": True}


def test_a_rule_that_cannot_be_parsed_is_in_the_plan_with_its_error(crowd) -> None:
    segment = shop.segment("recent", RECENT)
    Segment.objects.filter(pk=segment.pk).update(rule={"no_such_filter": {}})

    plan = plan_refresh()

    assert planned(plan) == {}
    [(invalid, error)] = plan.invalid
    assert invalid.slug == "recent"
    assert "no_such_filter" in error


def test_an_instant_before_the_last_refresh_is_too_early(crowd) -> None:
    shop.segment("recent", RECENT)
    refresh_all(NOON)

    with pytest.raises(TooEarly, match="recent was refreshed at"):
        plan_refresh(at=NOON - days(1))


def test_segments_come_after_those_they_refer_to(crowd) -> None:
    shop.segment("buyers", BUYERS)
    shop.segment("gone", {"none": [{"in_segment": {"is": "buyers"}}]})
    shop.segment("recent", RECENT)

    batches = [[one.segment.slug for one in batch] for batch in plan_refresh().batches()]

    assert batches == [["buyers", "recent"], ["gone"]]


def test_many_candidates_make_a_plan_for_everybody(crowd) -> None:
    shop.segment("recent", RECENT)
    refresh_all(NOON)
    plan = plan_refresh()

    assert planned(plan.for_candidates(6)) == {"recent": False}
    assert planned(plan.for_candidates(7)) == {"recent": True}


# -- Candidates


def test_candidates_are_touched_customers_and_those_whose_answer_time_can_change(crowd) -> None:
    shop.segment("recent", RECENT)
    refresh_all(NOON)
    order(1, "c39", NOON)

    count, who = found(plan_refresh(at=NOON + days(1)))

    # The order of c29 was 29.5 days old at noon, and is 30.5 days old a day later.
    assert who == {"c39", "c29"}
    assert (count.count, count.touched) == (2, 1)
    assert not Touched.objects.exists()


def test_a_plan_that_does_not_empty_the_queue_reads_it(crowd) -> None:
    recent = shop.segment("recent", RECENT)
    shop.segment("buyers", BUYERS)
    refresh_all(NOON)
    order(1, "c39", NOON)

    count, who = found(plan_refresh([recent.pk]))

    assert who == {"c39"}
    assert count.touched == 1
    assert Touched.objects.exists()


def test_customers_between_the_former_average_and_the_new_one_are_candidates(crowd) -> None:
    shop.segment("big", BIG_SPENDERS)
    refresh_all(NOON)  # the average of 10, 11 and 12 is just below 11
    order(1, "c0", NOON, total=100)

    _, who = found(plan_refresh())

    spent_11_or_12 = {f"c{n}" for n in range(40) if n % 3}
    assert who >= {"c0", *(name for name in spent_11_or_12 if int(name[1:]) % 3 == 1)}


# -- Evaluate


def differing() -> dict[str, tuple[int, int]]:
    """By customer: the bits of the answers, and of the stored members."""
    rows = execution.fetch_all(
        "SELECT c.customer_id, d.bits, d.stored FROM differences d JOIN customers_customer c ON c.id = d.customer_id"
    )
    return {customer: (bits, stored) for customer, bits, stored in rows}


def test_differences_are_customers_whose_answers_differ_from_the_stored_members(crowd) -> None:
    segments = [shop.segment("buyers", BUYERS), shop.segment("recent", RECENT)]
    refresh_all(NOON)
    Membership.objects.filter(segment=segments[0], customer__customer_id="c3").delete()

    count = differences.evaluate(
        segments, compile_rules(expand_segments(segments)), context_at(NOON + days(1))
    )

    assert count == 2
    assert differing() == {"c3": (0b11, 0b10), "c29": (0b01, 0b11)}


def test_only_the_customers_in_a_table_are_evaluated(crowd) -> None:
    segments = [shop.segment("buyers", BUYERS)]
    candidates.create_table()
    candidates.add_candidates(Customer.objects.filter(customer_id__in=["c1", "c2"]).values(key=F("pk")))

    assert (
        differences.evaluate(
            segments, compile_rules(expand_segments(segments)), context_at(NOON), "candidates"
        )
        == 2
    )
    assert differing() == {"c1": (1, 0), "c2": (1, 0)}


# -- Write


def keys(*names: str) -> list[int]:
    return list(Customer.objects.filter(customer_id__in=names).values_list("pk", flat=True))


def note_answers(segment: Segment, *members: str) -> None:
    """Fill the differences as if just these customers matched."""
    listed = ", ".join(map(str, keys(*members))) or "0"
    candidates.create_table()
    differences.empty_differences()
    differences.add_differences(
        [segment], Sql(f"SELECT id, 1, 0 FROM customers_customer WHERE id IN ({listed})")
    )


def new_run() -> Refresh:
    return Refresh.objects.create(at=NOON, started_at=NOON, state=Refresh.State.DONE)


def test_members_and_changes_follow_from_the_differences(crowd) -> None:
    segment = shop.segment("buyers", BUYERS)
    note_answers(segment, "c1", "c2")
    [outcome] = write.write_differences(new_run(), NOON, [WrittenSegment(segment, "initial")])
    assert (outcome.size, outcome.entered, outcome.left) == (2, 2, 0)
    write.write_outcomes(new_run(), NOON, [outcome], {})
    segment.refresh_from_db()

    note_answers(segment, "c2", "c3")
    [outcome] = write.write_differences(new_run(), NOON + days(1), [WrittenSegment(segment, since=NOON)])

    assert (outcome.size, outcome.entered, outcome.left) == (2, 1, 1)
    members = Membership.objects.filter(segment=segment).values_list("customer__customer_id", "entered_at")
    assert set(members) == {("c2", NOON), ("c3", NOON + days(1))}
    told = Change.objects.order_by("pk").values_list("customer__customer_id", "change", "cause")
    assert list(told) == [
        ("c1", "entered", "initial"),
        ("c2", "entered", "initial"),
        ("c1", "left", "time"),
        ("c3", "entered", "time"),
    ]


def test_activity_is_a_cause_before_time(crowd) -> None:
    refresh_all(NOON)  # takes the touched customers off the queue
    segment = shop.segment("buyers", BUYERS)
    note_answers(segment, "c1", "c2")
    order(1, "c1", NOON)
    update.update_facts(NOON)
    touched_customers.move_touched(candidates.CANDIDATES)

    write.write_differences(new_run(), NOON, [WrittenSegment(segment, since=NOON)])

    assert dict(Change.objects.values_list("customer__customer_id", "cause")) == {
        "c1": "activity",
        "c2": "time",
    }


def test_nothing_is_written_without_differences(crowd) -> None:
    segment = shop.segment("buyers", BUYERS)
    note_answers(segment)

    [outcome] = write.write_differences(new_run(), datetime.now(UTC), [WrittenSegment(segment)])

    assert (outcome.entered, outcome.left) == (0, 0)
    assert not Change.objects.exists()
