"""Who is about to enter or leave, and when an answer changes by itself."""

import csv
import io
import re
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.test import Client
from django.urls import reverse

from customers.models import Customer
from segments import segment_store
from segments.evaluation.context import context_at
from segments.evaluation.explanation import explain_each
from segments.models import Segment
from segments.refresh.engine import refresh_all
from segments.rules import parse
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

AT = ("--at", NOON.isoformat())
RECENT = {"last_order": {"within_last": "30d"}}


def upcoming(slug: str, within: str, *arguments: str) -> list[tuple[str, str, str]]:
    rows = csv.DictReader(io.StringIO(shop.command("upcoming", slug, "--within", within, *arguments)))
    return [(row["customer_id"], row["change"], row["at"]) for row in rows]


@pytest.fixture
def buyers() -> None:
    with time_machine.travel(NOON, tick=False):
        shop.orders(
            "o1,c1,2026-02-14T12:00:00.000001Z,10",
            "o2,c2,2026-02-20T09:30:00Z,10",
            "o3,c3,2026-03-14T00:00:00Z,10",
            "o4,c4,2026-02-20T09:30:00Z,10",
        )


@pytest.fixture
def recent(buyers: None) -> Segment:
    segment = shop.segment("recent", RECENT)
    with time_machine.travel(NOON, tick=False):
        refresh_all(NOON)
    return segment


@pytest.mark.usefixtures("buyers")
def test_those_who_leave_by_time_alone_are_listed_in_order_of_time() -> None:
    shop.segment("recent", RECENT)

    assert upcoming("recent", "7d", *AT) == [
        ("c1", "left", "2026-03-16T12:00:00.000001+00:00"),
        ("c2", "left", "2026-03-22T09:30:00.000000+00:00"),
        ("c4", "left", "2026-03-22T09:30:00.000000+00:00"),
    ]
    assert [key for key, *_ in upcoming("recent", "90d", *AT)] == ["c1", "c2", "c4", "c3"]


@pytest.mark.usefixtures("buyers")
def test_only_the_first_change_of_a_customer_is_listed() -> None:
    shop.segment("between", {"all": [{"last_order": {"not_within_last": "26d"}}, RECENT]})

    changes = upcoming("between", "90d", *AT)

    assert [(key, change) for key, change, _ in changes] == [
        ("c1", "left"),
        ("c2", "entered"),
        ("c4", "entered"),
        ("c3", "entered"),
    ]


@pytest.mark.usefixtures("buyers")
def test_another_segment_is_asked_by_its_rule_and_a_paused_one_by_its_members() -> None:
    recent = shop.segment("recent", RECENT)
    shop.segment("others", {"none": [{"in_segment": {"is": "recent"}}]})
    assert [(key, change) for key, change, _ in upcoming("others", "7d", *AT)] == [
        ("c1", "entered"),
        ("c2", "entered"),
        ("c4", "entered"),
    ]
    Segment.objects.filter(pk=recent.pk).update(is_active=False)

    with time_machine.travel(NOON, tick=False):
        assert upcoming("others", "7d") == []


def test_nobody_enters_a_fixed_list_by_time() -> None:
    shop.customers("c1,a@example.org")
    Segment.objects.create(slug="list", name="list", kind=Segment.Kind.STATIC)

    assert upcoming("list", "7d") == []


@pytest.mark.parametrize("span", ["91d", "0d", "soon"])
def test_an_invalid_span_is_refused(span) -> None:
    shop.segment("recent", RECENT)

    with pytest.raises(CommandError, match="expected a span"):
        shop.command("upcoming", "recent", "--within", span)


@pytest.mark.usefixtures("buyers")
def test_an_explanation_tells_when_the_answer_and_each_condition_change() -> None:
    shop.segment("recent", {"any": [RECENT, {"last_order": {"within_last": "60d"}}]})
    with time_machine.travel(NOON, tick=False):
        _, group, first, second = shop.command("explain", "c2", "recent").splitlines()

    assert group.endswith("changes at 2026-04-21T09:30:00.000000+00:00")
    assert first.endswith("changes at 2026-03-22T09:30:00.000000+00:00")
    assert second.endswith("changes at 2026-04-21T09:30:00.000000+00:00")


def test_an_answer_that_changes_after_400_days_or_by_records_only_has_no_instant() -> None:
    shop.orders("o1,c1,2026-03-01,10")
    shop.segment(
        "asked", {"all": [{"last_order": {"within_last": "500d"}}, {"order_count": {"at_least": 1}}]}
    )
    with time_machine.travel(datetime(2026, 3, 15, 12, tzinfo=UTC), tick=False):
        assert "changes at" not in shop.command("explain", "c1", "asked")


def test_a_customer_with_many_records_changes_when_the_decisive_one_is_old_enough() -> None:
    shop.events(
        *(f"e{n},c1,,Page Viewed,2026-03-{1 + n // 40:02d}T{n % 40 // 2:02d}:{30 * (n % 2):02d}:00Z,"
          for n in range(480))
    )  # fmt: skip
    shop.segment("busy", {"event_count": {"at_least": 10, "during": {"within_last": "30d"}}})
    with time_machine.travel(NOON, tick=False):
        [_, told] = shop.command("explain", "c1", "busy").splitlines()

    # 9 events are left when the tenth from the end is 30 days old.
    assert told.endswith("changes at 2026-04-11T15:00:00.000000+00:00")


@pytest.mark.usefixtures("buyers")
def test_answers_of_many_rules_about_one_customer_are_found_at_once() -> None:
    rules = [
        {
            "none": [
                {
                    "any": [
                        {"viewed": {"during": {"within_last": f"{span}h"}, "product": {"sku": {"is": "s1"}}}}
                    ]
                }
            ]
        }
        for span in range(1, 61)
    ]
    with time_machine.travel(NOON, tick=False):
        customer = Customer.objects.get(customer_id="c2")
        explained = explain_each([parse(rule) for rule in [*rules, RECENT]], customer, context_at(NOON))

    assert [tree.met for tree in explained if tree] == [True] * 61
    assert [str(tree.changes_at) for tree in explained if tree and tree.changes_at] == [
        "2026-03-22 09:30:00+00:00"
    ]


# -- The API


@pytest.mark.usefixtures("buyers")
def test_the_api_lists_upcoming_changes_page_by_page() -> None:
    shop.segment("recent", RECENT)
    caller = ApiClient("members:read")
    with time_machine.travel(NOON, tick=False):
        everybody = caller.get("segments/recent/upcoming/?within=90d")
        first = caller.get("segments/recent/upcoming/?within=90d&page_size=2")
        second = caller.get(first["next"])
        again = caller.get(second["previous"])

    assert everybody["results"][0] == {
        "customer_id": "c1",
        "change": "left",
        "at": "2026-03-16T12:00:00.000001Z",
    }
    assert (everybody["next"], everybody["previous"], first["previous"], second["next"]) == (None,) * 4
    assert first["results"] + second["results"] == everybody["results"]
    assert again["results"] == first["results"]


@pytest.mark.usefixtures("buyers")
def test_a_page_continues_after_a_customer_who_stays() -> None:
    shop.segment("recent", RECENT)
    caller = ApiClient("members:read")
    with time_machine.travel(NOON, tick=False):
        first = caller.get("segments/recent/upcoming/?within=90d&page_size=2")
        shop.orders("o5,c2,2026-03-15T11:00:00Z,10")
        second = caller.get(first["next"])
        third = caller.get(second["next"])

    listed = [[one["customer_id"] for one in page["results"]] for page in (first, second, third)]
    assert listed == [["c1", "c2"], ["c4", "c3"], ["c2"]]  # c2 leaves later now


FAR_CURSOR = urlsafe_b64encode(b"after:999999999999999999:1").decode()


@pytest.mark.parametrize(
    "query",
    ["within=0d", "within=91d", "within=soon", "cursor=x", f"cursor={FAR_CURSOR}", "page_size=0"],
)
def test_invalid_parameters_of_the_api_are_refused(query) -> None:
    shop.segment("recent", RECENT)

    ApiClient("members:read").get(f"segments/recent/upcoming/?{query}", 400)


def test_upcoming_changes_need_the_scope_of_members() -> None:
    shop.segment("recent", RECENT)

    ApiClient("segments:read").get("segments/recent/upcoming/", 403)


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_members_have_the_instant_at_which_they_leave_and_can_be_ordered_by_it(recent, size) -> None:
    with time_machine.travel(NOON, tick=False):
        shop.customers("c5,2026-03-15", "c6,2026-03-15", header="customer_id,first_seen")
        recent.rule = {
            "any": [
                RECENT,
                {"all": [{"first_seen": {"on_or_after": "2026-03-15"}}, {"order_count": {"is": 0}}]},
            ]
        }
        segment_store.save_segment(recent)
        refresh_all(NOON)
        caller = ApiClient("members:read")
        listed = caller.get("segments/recent/members/")["results"]
        address, ordered = f"segments/recent/members/?order=changes_at&page_size={size}", []
        while address:
            page = caller.get(address)
            ordered += page["results"]
            address = page["next"]

    leaves = {one["customer_id"]: one["changes_at"] for one in listed}
    assert leaves["c1"] == "2026-03-16T12:00:00.000001Z"
    assert leaves["c5"] is None
    assert [one["customer_id"] for one in ordered] == ["c1", "c2", "c4", "c3", "c5", "c6"]
    assert {one["customer_id"]: one["changes_at"] for one in ordered} == leaves


def test_changes_have_the_instant_at_which_the_customer_leaves_by_time(recent) -> None:
    with time_machine.travel(NOON + days(2), tick=False):
        refresh_all(NOON + days(2))
        changes = ApiClient("members:read").get("segments/recent/changes/")["results"]

    told = [(one["customer_id"], one["change"], one["changes_at"]) for one in changes]
    assert sorted(told) == [
        ("c1", "entered", None),
        ("c1", "left", None),
        ("c2", "entered", "2026-03-22T09:30:00Z"),
        ("c3", "entered", "2026-04-13T00:00:00Z"),
        ("c4", "entered", "2026-03-22T09:30:00Z"),
    ]


def test_an_unknown_order_of_members_is_refused() -> None:
    shop.segment("recent", RECENT)

    ApiClient("members:read").get("segments/recent/members/?order=name", 400)


# -- The admin


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


def page(admin: Client, name: str, *args: object, query: str = "") -> str:
    response = admin.get(reverse(f"admin:{name}", args=args) + query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_the_page_of_a_segment_lists_who_is_about_to_leave(admin, recent) -> None:
    with time_machine.travel(NOON, tick=False):
        week = page(admin, "segments_segment_upcoming", recent.pk)
        quarter = page(admin, "segments_segment_upcoming", recent.pk, query="?within=90")

    assert "3 leave and 0 enter within 7 days" in week
    assert week.count("leaves</td>") == 3
    assert week.index("16 Mar 2026, 12:00") < week.index("22 Mar 2026, 09:30")
    assert "4 leave and 0 enter within 90 days" in quarter


def test_those_about_to_leave_are_exported_as_they_are_listed(admin, recent) -> None:
    with time_machine.travel(NOON, tick=False):
        file: Any = admin.get(reverse("admin:segments_segment_upcoming_csv", args=[recent.pk]) + "?within=30")

    lines = b"".join(file.streaming_content).decode().splitlines()
    assert lines[:2] == ["customer_id,change,at", "c1,left,2026-03-16T12:00:00.000001+00:00"]
    assert len(lines) == 5


def test_the_overview_continues_the_size_by_the_week_ahead(admin, recent) -> None:
    with time_machine.travel(NOON + days(1), tick=False):
        refresh_all(NOON + days(1))
        ahead = page(admin, "segments_segment_ahead", recent.pk)

    assert '<span class="figure">3</span> leave within 7 days and 0 enter' in ahead
    assert "If nothing more is recorded, 1 on 23 Mar." in ahead


def test_a_fixed_list_and_a_quiet_segment_say_why_nobody_is_listed(admin, buyers) -> None:
    fixed = segment_store.create_fixed_list("chosen", "Chosen", [], NOON)
    quiet = shop.segment("quiet", {"order_count": {"at_least": 1}})

    assert "Only staff change a fixed list." in page(admin, "segments_segment_upcoming", fixed.pk)
    assert "Nobody enters or leaves within 7 days" in page(admin, "segments_segment_upcoming", quiet.pk)


def test_pages_of_a_customer_say_when_they_leave_and_what_prevents_it(admin, recent) -> None:
    key = Customer.objects.get(customer_id="c2").pk
    with time_machine.travel(NOON, tick=False):
        of_customer = page(admin, "customers_customer_change", key)
        of_member = page(admin, "customers_customer_explain", key, query="?segment=recent")

    assert "leaves on 22 March at 09:30 unless they order" in of_customer
    assert "Leaves on 22 March at 09:30 unless they order." in of_member
    assert "· until" in of_member


@pytest.mark.parametrize(
    ("rule", "phrase"),
    [
        (
            {"last_activity": {"not_within_last": "90d"}},
            "enters on 21 May at 09:30 unless they visit or order",
        ),
        ({"none": [RECENT]}, "enters on 22 March at 09:30 unless they order"),
        ({"first_seen": {"within_last": "30d"}}, "leaves on 22 March at 09:30"),
        ({"any": [RECENT, {"order_count": {"is": 0, "during": {"within_last": "7d"}}}]}, ""),
    ],
)
def test_what_prevents_a_change_follows_from_the_conditions_that_change_then(
    admin, buyers, rule, phrase
) -> None:
    shop.segment("asked", rule)
    key = Customer.objects.get(customer_id="c2").pk
    with time_machine.travel(NOON, tick=False):
        refresh_all(NOON)
        explained = page(admin, "customers_customer_explain", key, query="?segment=asked")

    found = re.search(r'<span class="muted">((?:enters|leaves) on [^<]*)</span>', explained)
    assert (found[1] if found else "") == phrase
