"""`history`: the size of a segment on each day of the past, by its present rule and from today's records."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError
from django.test import Client, override_settings
from django.urls import reverse

from customers.facts import update
from customers.models import Customer
from segments import segment_store, tasks
from segments.api import history as api_history
from segments.history import rule_numbers, runs, segment_history
from segments.history.without_past import WITHOUT_PAST
from segments.models import Change, HistoryDay, HistoryRun, Segment
from segments.refresh.engine import refresh_all
from segments.rules import registry
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.html_forms import forms_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture
def caller() -> ApiClient:
    return ApiClient("segments:read")


@pytest.fixture(autouse=True)
def today():
    with time_machine.travel(NOW, tick=False):
        yield


def history(slug: str, *arguments: str) -> list[str]:
    header, *rows = shop.command("history", slug, *arguments).splitlines()
    assert header == "day,size,entered,left"
    return rows


def test_the_days_before_a_segment_existed_have_its_size_and_who_came_and_went() -> None:
    shop.orders("o1,c1,2026-03-01T10:00Z,10", "o2,c2,2026-03-02T23:59:59.999999Z,10", "o3,c1,2026-03-04,10")
    shop.segment("buyers-of-two-days", {"last_order": {"within_last": "2d"}})

    assert history("buyers-of-two-days", "--since", "2026-02-28", "--until", "2026-03-06") == [
        "2026-02-28,0,0,0",
        "2026-03-01,1,1,0",
        "2026-03-02,2,1,0",
        "2026-03-03,1,0,1",  # c1 ordered on the morning of the first
        "2026-03-04,1,1,1",  # o3 is of midnight, so of the fourth; c2 ordered two days ago
        "2026-03-05,1,0,0",
        "2026-03-06,0,0,1",
    ]
    assert not Change.objects.exists()


def test_who_comes_and_goes_on_one_day_is_not_counted() -> None:
    shop.orders("o1,c1,2026-03-01T10:00Z,10")
    shop.segment("buyers-of-an-hour", {"last_order": {"within_last": "1h"}})

    assert history("buyers-of-an-hour", "--since", "2026-03-01", "--until", "2026-03-01") == [
        "2026-03-01,0,0,0"
    ]


def test_the_last_day_is_yesterday_by_default_and_at_the_latest() -> None:
    shop.segment("buyers", {"order_count": {"at_least": 1}})

    assert history("buyers", "--since", "2026-03-13") == ["2026-03-13,0,0,0", "2026-03-14,0,0,0"]
    with pytest.raises(CommandError, match=r"^--until is at most yesterday, 2026-03-14: "):
        shop.command("history", "buyers", "--since", "2026-03-01", "--until", "2026-03-15")
    with pytest.raises(CommandError, match=r"^--since 2026-03-03 is after --until 2026-03-02"):
        shop.command("history", "buyers", "--since", "2026-03-03", "--until", "2026-03-02")
    with pytest.raises(CommandError, match=r"^--since is a day from 1970 on"):
        shop.command("history", "buyers", "--since", "0001-01-01")
    with pytest.raises(CommandError, match="'1 March' is not a day"):
        shop.command("history", "buyers", "--since", "1 March")
    with pytest.raises(CommandError, match="there is no segment 'sellers'"):
        shop.command("history", "sellers", "--since", "2026-03-01")


@override_settings(TIME_ZONE="Asia/Tokyo")
def test_a_day_ends_at_midnight_in_the_shops_time_zone() -> None:
    shop.orders("o1,c1,2026-03-01T14:59:59.999999Z,10", "o2,c2,2026-03-01T15:00:00Z,10")
    shop.segment("buyers", {"order_count": {"at_least": 1}})

    assert history("buyers", "--since", "2026-03-01", "--until", "2026-03-02") == [
        "2026-03-01,1,1,0",
        "2026-03-02,2,1,0",
    ]


def test_other_segments_are_asked_by_their_present_rules_and_fixed_lists_by_their_members() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-02,10")
    shop.segment("buyers", {"order_count": {"at_least": 1}})
    segment_store.create_fixed_list("c2-alone", "c2 alone", [Customer.objects.get(customer_id="c2").pk], NOW)
    Segment.objects.filter(slug="buyers").update(is_active=False)
    shop.segment(
        "others", {"all": [{"in_segment": {"is": "buyers"}}, {"none": [{"in_segment": {"is": "c2-alone"}}]}]}
    )

    days = "--since", "2026-02-28", "--until", "2026-03-02"
    assert history("others", *days) == ["2026-02-28,0,0,0", "2026-03-01,1,1,0", "2026-03-02,1,0,0"]
    assert history("c2-alone", *days) == ["2026-02-28,0,0,0", "2026-03-01,0,0,0", "2026-03-02,1,1,0"]


def test_averages_are_those_of_the_day() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,20", "o3,c3,2026-03-02,90")
    shop.segment("above-average", {"total_spent": {"above": "average"}})

    assert history("above-average", "--since", "2026-03-01", "--until", "2026-03-02") == [
        "2026-03-01,1,1,0",  # c2 of 15
        "2026-03-02,1,1,1",  # c3 of 40
    ]


def test_records_that_wait_for_their_facts_count() -> None:
    shop.orders("o1,c1,2026-03-01,10", update_facts=False)
    shop.segment("buyers", {"order_count": {"at_least": 1}})

    assert history("buyers", "--since", "2026-03-01", "--until", "2026-03-01") == ["2026-03-01,1,1,0"]


# -- Runs of a worker


DAYS = (date(2026, 2, 20), date(2026, 3, 14))


@pytest.fixture
def buyers() -> Segment:
    shop.orders("o1,c1,2026-03-01T10:00Z,10", "o2,c2,2026-03-02,10", "o3,c3,2026-03-14T12:00Z,10")
    return shop.segment("buyers", {"last_order": {"within_last": "7d"}})


def stored(run: HistoryRun) -> list[tuple[date, int, int, int]]:
    [series] = run.series.all()
    return list(series.days.values_list("day", "size", "entered", "left"))


def test_a_worker_stores_what_the_command_prints(buyers) -> None:
    run = runs.request_history(buyers, *DAYS, NOW)
    assert runs.stored_history(buyers) is None

    tasks.compute_histories()

    run.refresh_from_db()
    assert (run.state, run.percent, run.reached_day) == ("done", 100, DAYS[1])
    printed = history("buyers", "--since", "2026-02-20")
    assert [",".join([one[0].isoformat(), *map(str, one[1:])]) for one in stored(run)] == printed
    assert runs.stored_history(buyers) == run


def test_the_same_request_is_computed_once_and_another_one_replaces_it(buyers) -> None:
    run = runs.request_history(buyers, *DAYS, NOW)
    assert runs.request_history(buyers, *DAYS, NOW) == run

    assert (
        runs.request_history(buyers, date(2026, 3, 1), DAYS[1], NOW) == run
    )  # its days are computed already

    other = runs.request_history(buyers, date(2026, 2, 1), DAYS[1], NOW)
    run.refresh_from_db()
    assert run.state == "cancelled"
    tasks.compute_histories()
    assert list(HistoryRun.objects.all()) == [runs.stored_history(buyers)] == [other]


def test_an_edited_rule_has_no_history_until_it_is_computed(buyers) -> None:
    other = shop.segment("others", {"none": [{"in_segment": {"is": "buyers"}}]})
    for segment in (buyers, other):
        runs.request_history(segment, *DAYS, NOW)
        tasks.compute_histories()
        assert runs.stored_history(segment)

    buyers.rule = {"order_count": {"at_least": 1}}
    segment_store.save_segment(buyers)
    assert runs.stored_history(buyers) is None
    assert runs.stored_history(other) is None  # it asks for the buyers by their rule

    waiting = runs.request_history(other, *DAYS, NOW)
    buyers.rule = {"order_count": {"at_least": 2}}
    segment_store.save_segment(buyers)
    tasks.compute_histories()
    waiting.refresh_from_db()
    assert (waiting.state, waiting.error) == ("failed", runs.EDITED)


def test_a_cancelled_run_stops_and_keeps_what_was_stored_before(buyers) -> None:
    before = runs.request_history(buyers, date(2026, 3, 1), DAYS[1], NOW)
    tasks.compute_histories()
    run = runs.request_history(buyers, *DAYS, NOW)
    runs.cancel_run(run, NOW)

    tasks.compute_histories()

    run.refresh_from_db()
    assert (run.state, run.reached_day) == ("cancelled", None)
    assert runs.stored_history(buyers) == before


def test_a_run_goes_on_where_a_dead_worker_stopped(buyers) -> None:
    run = runs.request_history(buyers, *DAYS, NOW)
    tasks.compute_histories()
    whole = stored(run)
    # As a worker leaves it that died after some days.
    HistoryDay.objects.filter(series__run=run, day__gt=date(2026, 3, 8)).delete()
    HistoryRun.objects.update(
        state="running",
        reached_day=date(2026, 3, 8),
        heartbeat_at=NOW - timedelta(minutes=5),
        finished_at=None,
    )

    tasks.compute_histories()

    run.refresh_from_db()
    assert (run.state, run.attempts) == ("done", 2)
    assert stored(run) == whole


def test_a_run_whose_worker_holds_its_lease_is_left_alone(buyers) -> None:
    run = runs.request_history(buyers, *DAYS, NOW)
    HistoryRun.objects.update(state="running", heartbeat_at=NOW - timedelta(seconds=5))

    tasks.compute_histories()

    run.refresh_from_db()
    assert (run.state, run.reached_day) == ("running", None)


def test_a_run_whose_workers_die_again_and_again_has_failed(buyers) -> None:
    run = runs.request_history(buyers, *DAYS, NOW)
    HistoryRun.objects.update(
        state="running", heartbeat_at=NOW - timedelta(minutes=5), attempts=7, attempts_at_day=2
    )

    tasks.compute_histories()

    run.refresh_from_db()
    assert (run.state, run.error) == ("failed", runs.WORKER_STOPPED)


# -- What has no past


def test_each_filter_has_a_past_or_says_what_has_none() -> None:
    assert set(WITHOUT_PAST) == set(registry)


def test_what_has_no_past_in_a_rule_is_named(buyers) -> None:
    segment_store.create_fixed_list("press", "Press", [], NOW)
    shop.segment("german", {"all": [{"country": {"is": "DE"}}, {"in_segment": {"is": "press"}}]})
    in_a_week = {"in_segment": {"is": "german", "in": "7d"}}
    asked = shop.segment("asked", {"any": [{"known": {"is": True}}, {"none": [in_a_week]}]})

    assert segment_history.without_past(asked) == ["contact data", "countries", "the members of “Press”"]
    assert segment_history.without_past(buyers) == []


# -- The API


def test_the_api_computes_days_as_the_command_does(buyers, caller) -> None:
    found = caller.get("segments/buyers/history/?from=2026-02-27&computed=true")

    rows = [f"{one['day']},{one['size']},{one['entered']},{one['left']}" for one in found]
    assert rows == history("buyers", "--since", "2026-02-27")
    assert {one["computed"] for one in found} == {True}
    refresh_all(NOW)
    assert caller.get("segments/buyers/history/") == [
        {"day": "2026-03-15", "size": 1, "entered": 1, "left": 0, "computed": False}
    ]


def test_the_api_returns_stored_days_and_lets_a_worker_compute_what_takes_long(
    buyers, caller, monkeypatch
) -> None:
    monkeypatch.setattr(api_history, "COMPUTING_SECONDS", 0)
    address = "segments/buyers/history/?from=2026-03-01&to=2026-03-10&computed=true"

    assert caller.get(address, 202) == {
        "code": "computing",
        "message": "This history is being computed: 0 % is done. Request it again in a while.",
        "percent": 0,
    }
    tasks.compute_histories()
    found = caller.get(address)
    assert [one["day"] for one in found][::9] == ["2026-03-01", "2026-03-10"]
    assert [one["size"] for one in found] == [1, 2, 2, 2, 2, 2, 2, 1, 0, 0]


def test_a_worker_updates_the_facts_of_many_records(buyers, caller, monkeypatch) -> None:
    monkeypatch.setattr(update, "UPDATES_PER_SECOND", 0)
    shop.orders("o4,c4,2026-03-01,10", update_facts=False)
    address = "segments/buyers/history/?from=2026-03-01&to=2026-03-01&computed=true"

    caller.get(address, 202)
    tasks.compute_histories()

    assert [one["size"] for one in caller.get(address)] == [2]


def test_requests_of_other_days_do_not_replace_one_another(buyers, caller, monkeypatch) -> None:
    monkeypatch.setattr(api_history, "COMPUTING_SECONDS", 0)
    early, late = (
        f"segments/buyers/history/?from={first}&to={last}&computed=true"
        for first, last in (("2026-02-20", "2026-03-05"), ("2026-03-01", "2026-03-14"))
    )
    for address in (early, late, early):
        caller.get(address, 202)
    [waiting] = HistoryRun.objects.filter(state="waiting")
    assert (waiting.first_day, waiting.last_day) == DAYS

    tasks.compute_histories()

    assert len(caller.get(early)) == len(caller.get(late)) == 14
    caller.get(early.replace("2026-02-20", "2026-02-19"), 202)
    tasks.compute_histories()
    assert len(caller.get(late)) == 14  # what was stored is computed again with the earlier day


@pytest.mark.parametrize(
    "query",
    [
        *("from=0001-01-01", "to=0001-01-01", "from=2020-01-01"),
        *("from=2026-03-10&to=2026-03-01", "to=yesterday"),
    ],
)
def test_the_api_refuses_days_that_it_does_not_compute(buyers, caller, query) -> None:
    error = caller.get(f"segments/buyers/history/?computed=true&{query}", 400)
    assert error["code"] == "invalid"


# -- The page of a segment


def page_of(segment: Segment) -> str:
    return reverse("admin:segments_segment_over_time", args=[segment.pk])


def text_of(client: Client, segment: Segment, query: str = "") -> str:
    return " ".join(client.get(page_of(segment) + query).content.decode().split())


def press(client: Client, segment: Segment, name: str, **given: Any) -> str:
    """Send the form of the page whose address ends in a name, and return the page that follows."""
    [form] = [
        one
        for one in forms_of(client.get(page_of(segment)).content.decode())
        if one.action.endswith(f"/{name}/")
    ]
    response = client.post(form.action, form.as_it_stands(**given), follow=True)
    return " ".join(response.content.decode().split())


def test_staff_let_a_worker_compute_the_past_of_a_segment(buyers, admin_client) -> None:
    assert "would have had on each day of the past" in text_of(admin_client, buyers)

    waiting = press(admin_client, buyers, "compute", years="1")
    assert "Starts as soon as a worker is free." in waiting
    [run] = HistoryRun.objects.all()
    assert (run.first_day, run.last_day) == (date(2025, 3, 15), date(2026, 3, 14))
    progress = reverse("admin:segments_segment_history_progress", args=[buyers.pk, run.pk])
    assert "waits for its turn" in admin_client.get(progress).content.decode()

    press(admin_client, buyers, "cancel")
    assert "Cancelled" in text_of(admin_client, buyers)
    HistoryRun.objects.update(state="waiting", first_day=DAYS[0], finished_at=None)
    refresh_all(NOW)
    tasks.compute_histories()
    assert admin_client.get(progress).headers["HX-Refresh"] == "true"
    page = text_of(admin_client, buyers)
    assert "The dashed line is from before the segment was first refreshed, on 15 Mar 2026." in page
    assert "Orders count with their present status and amounts." in page
    assert page.count('data-label="Computed"') == 24
    chart = admin_client.get(page_of(buyers)).context["chart"]
    dashed, solid = chart.series
    assert (dashed.style.line, solid.style.line) == ("dashed", "solid")
    assert dashed.values[-9:] == [2, 1, 0, 0, 0, 0, 0, 1, 1]
    assert solid.values[-2:] == [None, 1]


def test_the_page_names_what_has_no_past(admin_client) -> None:
    segment = shop.segment("known", {"all": [{"known": {"is": True}}, {"country": {"is": "DE"}}]})
    runs.request_history(segment, *DAYS, NOW)
    tasks.compute_histories()

    page = text_of(admin_client, segment)
    assert "amounts; contact data and countries count on every day as they are today." in page


def test_a_number_is_tried_against_the_past_before_it_is_saved(admin_client) -> None:
    shop.customers("c1,2025-12-01", "c2,2026-01-01", header="customer_id,first_seen")
    lost = shop.segment("lost", {"last_activity": {"not_within_last": "60d"}})

    page = text_of(admin_client, lost)
    assert "In place of 60 days in “was last active longer than 60 days ago”:" in page
    press(admin_client, lost, "compare", value=["90d", "60", " 90d "])
    [run] = HistoryRun.objects.all()
    assert [one.label for one in run.series.all()] == ["90 days", "60 days (present rule)"]
    tasks.compute_histories()

    page = text_of(admin_client, lost)
    assert "Everyone who was last active longer than 90 days ago" in page
    chart = admin_client.get(page_of(lost)).context["trial_chart"]
    assert [one.values[-1] for one in chart.series] == [1, 2]
    assert len({one.style.line for one in chart.series}) == 2
    lost.refresh_from_db()
    assert lost.rule == {"last_activity": {"not_within_last": "60d"}}
    assert runs.stored_history(lost) is None


def test_a_value_that_the_rule_cannot_have_is_refused(buyers, admin_client) -> None:
    for given, complaint in (
        ("soon", "expected a span such as"),
        ("", "enter at least one value"),
        ("99999999d", "These numbers cannot be compared"),
    ):
        assert complaint in press(admin_client, buyers, "compare", value=[given]), given
    assert not HistoryRun.objects.exists()


def test_each_number_of_a_rule_can_be_chosen(admin_client) -> None:
    rule = {
        "any": [
            {"order_count": {"at_least": 2, "during": {"within_last": "30d"}}},
            {"none": [{"total_spent": {"between": [0.5, 20]}}]},
            {"ahead": {"in": "7d", "rule": {"open_cart": {"within_last": "12h", "value": {"at_least": 5}}}}},
        ]
    }
    numbers = rule_numbers.rule_numbers(rule)

    assert [one.words for one in numbers] == ["2", "30 days", "0.5", "20", "7 days", "12 hours", "5"]
    assert [one.suggestions for one in numbers[:3]] == [
        ["1", "2", "3"],
        ["20d", "30d", "40d"],
        ["0.4", "0.5", "0.6"],
    ]
    assert numbers[3].sentence == "spent between 0.5 and 20"
    for one in numbers:
        for text in one.suggestions:
            changed = rule_numbers.with_number(rule, one.path, rule_numbers.read_value(one, text))
            assert (changed == rule) == (rule_numbers.read_value(one, text) == one.value)


def test_those_who_only_see_segments_see_what_is_computed(buyers, client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_segment"))
    client.force_login(viewer)
    runs.request_history(buyers, *DAYS, NOW)
    tasks.compute_histories()

    assert "It was computed" in text_of(client, buyers)
    assert [
        one for one in forms_of(client.get(page_of(buyers)).content.decode()) if "over-time" in one.action
    ] == []
    for name in ("compute", "compare"):
        address = reverse(f"admin:segments_segment_history_{name}", args=[buyers.pk])
        assert client.post(address, {"years": "1"}).status_code == 403
    run = HistoryRun.objects.get()
    assert (
        client.post(reverse("admin:segments_segment_history_cancel", args=[buyers.pk, run.pk])).status_code
        == 403
    )
