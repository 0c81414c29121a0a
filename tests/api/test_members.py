"""Members over HTTP, one customer or many: who is a member and why, and the history of a segment."""

from datetime import timedelta

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.test import Client

from customers.models import Customer
from segments import segment_store
from segments.models import Segment
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.api_client import API, ApiClient, error_paths
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

REPEATERS = {
    "all": [{"known": {"is": True}}, {"order_count": {"at_least": 2, "during": {"within_last": "30d"}}}]
}


@pytest.fixture
def caller() -> ApiClient:
    return ApiClient()


@pytest.fixture
def shop_at_noon() -> None:
    with time_machine.travel(NOON, tick=False):
        shop.customers("c1,c1@example.org", "c2,c2@example.org")
        shop.orders("o1,c1,2026-03-01,10", "o2,c1,2026-03-10,40", "o3,c2,2026-03-01,10")
        shop.events("m1,,visitor/1,View,2026-03-14", "m2,c1,browser,View,2026-03-14")
        shop.segment("repeaters", REPEATERS)
        shop.segment("known", {"known": {"is": True}})
        refresh_all(NOON)


# -- One


def test_a_member_is_explained(caller, shop_at_noon) -> None:
    with time_machine.travel(NOON + timedelta(minutes=1), tick=False):
        told = caller.get("segments/repeaters/members/c1/")

    assert told == {
        "customer_id": "c1",
        "segment": "repeaters",
        "member": True,
        "entered_at": "2026-03-15T12:00:00Z",
        "at": "2026-03-15T12:01:00Z",
        "matches": True,
        "changes_at": "2026-03-31T00:00:00Z",
        "note": "",
        "explanation": {
            "words": "all of these", "met": True, "value": None, "changes_at": "2026-03-31T00:00:00Z", "lacking": [],
            "parts": [
                {"words": "is known", "met": True, "value": "yes", "changes_at": None, "lacking": [], "parts": []},
                {
                    "words": "placed at least 2 orders in the last 30 days",
                    "met": True, "value": "2", "changes_at": "2026-03-31T00:00:00Z", "lacking": [], "parts": [],
                },
            ],
        },
    }  # fmt: skip


def test_the_explanation_of_a_customer_who_is_not_a_member_shows_unmet_conditions(
    caller, shop_at_noon
) -> None:
    with time_machine.travel(NOON + days(40), tick=False):
        visitor = caller.get("segments/repeaters/members/anonymous:visitor/1/")
        lapsed = caller.get("segments/repeaters/members/browser/")

    assert (visitor["customer_id"], visitor["member"], visitor["entered_at"]) == (
        "anonymous:visitor/1",
        False,
        None,
    )
    assert visitor["explanation"]["lacking"] == ["is known", "placed at least 2 orders in the last 30 days"]
    # Any id leads to the customer; what is stored and what is so now are told apart.
    assert (lapsed["customer_id"], lapsed["member"], lapsed["matches"]) == ("c1", True, False)


def test_a_missing_explanation_has_a_reason(caller, shop_at_noon) -> None:
    segment_store.create_fixed_list("chosen", "Chosen", [Customer.objects.get(customer_id="c1").pk], NOON)
    shop.segment("broken", REPEATERS)
    Segment.objects.filter(slug="broken").update(rule={"gone": {}})

    chosen = caller.get("segments/chosen/members/c1/")
    assert (chosen["member"], chosen["matches"], chosen["explanation"]) == (True, None, None)
    assert "fixed list" in chosen["note"]
    assert caller.get("segments/chosen/members/c2/")["member"] is False
    assert "rule.gone" in caller.get("segments/broken/members/c1/")["note"]


def test_unknown_customers_and_segments_are_not_found(caller, shop_at_noon) -> None:
    for address in ("known/members/nobody/", "known/members/%00/", "nothing/members/c1/"):
        assert caller.get(f"segments/{address}", 404)["code"] == "not_found"


def test_without_the_scope_nobody_learns_whether_a_customer_exists(shop_at_noon) -> None:
    stranger = ApiClient("segments:read", "segments:write", "ingest")

    answers = [
        stranger.get(f"segments/{address}", 403)
        for address in ("known/members/c1/", "known/members/nobody/", "nothing/members/c1/", "known/members/",
                        "known/changes/", "nothing/changes/")
    ]  # fmt: skip
    answers += [
        stranger.post("segments/membership/", {"customers": [one], "segments": []}, 403)
        for one in ("c1", "x")
    ]
    assert all(told == answers[0] for told in answers)


def test_staff_see_members_with_the_permissions_for_contact_data(shop_at_noon) -> None:
    anna = User.objects.create_user("anna", is_staff=True)
    client = Client()
    client.force_login(anna)
    addresses = (
        "segments/known/members/c1/",
        "segments/known/members/?format=csv",
        "segments/known/changes/",
    )

    def statuses() -> list[int]:
        return [client.get(API + address).status_code for address in addresses]

    anna.user_permissions.add(Permission.objects.get(codename="view_membership"))
    assert statuses() == [403, 403, 403]
    anna.user_permissions.add(Permission.objects.get(codename="view_contact_data"))
    assert statuses() == [200, 200, 200]


def test_an_explanation_costs_few_queries(caller, shop_at_noon, django_assert_max_num_queries) -> None:
    with time_machine.travel(NOON + timedelta(minutes=1), tick=False):
        caller.get("segments/repeaters/members/c1/")
        with django_assert_max_num_queries(8):
            caller.get("segments/repeaters/members/c1/")


# -- Many


def test_membership_of_many_customers_in_many_segments_is_read_at_once(
    caller, shop_at_noon, django_assert_max_num_queries
) -> None:
    asked = {
        "customers": ["c2", "nobody", "anonymous:visitor/1", "c1", "c1", "browser", "visitor/1", " c1"],
        "segments": ["known", "nothing", "repeaters", "known"],
    }

    told = caller.post("segments/membership/", asked)

    assert told == {
        "results": [
            {"customer_id": "c2", "segments": ["known"]},
            {"customer_id": "anonymous:visitor/1", "segments": []},
            {"customer_id": "c1", "segments": ["known", "repeaters"]},
            {"customer_id": "browser", "segments": ["known", "repeaters"]},
            {"customer_id": "visitor/1", "segments": []},
        ],
        "unknown_customers": ["nobody", " c1"],
        "unknown_segments": ["nothing"],
    }
    many = {
        "customers": [f"c{number}" for number in range(1_000)],
        "segments": [f"s{number}" for number in range(99)],
    }
    many["segments"].append("known")
    with django_assert_max_num_queries(4):
        told = caller.post("segments/membership/", many)
    assert told["results"] == [{"customer_id": one, "segments": ["known"]} for one in ("c1", "c2")]
    assert (len(told["unknown_customers"]), len(told["unknown_segments"])) == (998, 99)
    nothing = caller.post("segments/membership/", {"customers": [], "segments": []})
    assert nothing == {"results": [], "unknown_customers": [], "unknown_segments": []}


@pytest.mark.parametrize(
    "odd", ['a"b', "a\\b", '\\"', "{a,b}", "NULL", "100 %s", "a,b", "it's", "☕", "a\nb"]
)
def test_memberships_of_odd_ids_are_read(odd, caller, shop_at_noon) -> None:
    with time_machine.travel(NOON, tick=False):
        shop.import_rows("customers", [odd, "odd@example.org"], header="customer_id,email")
        refresh_all(NOON)

    told = caller.post("segments/membership/", {"customers": [odd, f"{odd}x"], "segments": ["known"]})

    assert told["results"] == [{"customer_id": odd, "segments": ["known"]}]
    assert told["unknown_customers"] == [f"{odd}x"]


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"customers": []}, ["segments"]),
        ({"customers": ["c1"] * 1_001, "segments": ["s"] * 101}, ["customers", "segments"]),
        ({"customers": ["c1", "\u0000"], "segments": [{}]}, ["customers[1]", "segments[0]"]),
        ({"customers": ["\ud800"], "segments": []}, ["customers[0]"]),
        ({"customers": "c1", "segments": []}, ["customers"]),
        ({"customers": [], "segments": [], "segmets": []}, ["segmets"]),
    ],
)
def test_an_invalid_membership_query_is_refused(caller, asked, where) -> None:
    assert error_paths(caller.post("segments/membership/", asked, 400)) == where


# -- The segments of one


def test_live_segments_are_evaluated_now_and_include_fixed_lists(caller, shop_at_noon) -> None:
    segment_store.create_fixed_list("chosen", "Chosen", [Customer.objects.get(customer_id="c1").pk], NOON)

    def slugs(query: str) -> dict[str, bool]:
        told = caller.get(f"customers/c1/segments/{query}")
        assert told["live"] is (query == "?live=true")
        return {one["slug"]: bool(one["entered_at"]) for one in told["segments"]}

    with time_machine.travel(NOON + days(40), tick=False):
        assert slugs("") == {"chosen": True, "known": True, "repeaters": True}
        assert slugs("?live=true") == {"chosen": True, "known": True}
        refresh_all()
        shop.orders("o4,c1,2026-04-20,10", "o5,c1,2026-04-21,10", update_facts=False)
        assert slugs("?live=true") == {"chosen": True, "known": True, "repeaters": False}
        assert slugs("?live=false") == {"chosen": True, "known": True}
    assert error_paths(caller.get("customers/c1/segments/?live=perhaps", 400)) == ["live"]


# -- Over time


def test_the_history_has_every_day_of_a_segment(caller) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        shop.customers("c1,c1@example.org", "c2,c2@example.org")
        shop.segment("known", {"known": {"is": True}})
        assert caller.get("segments/known/history/") == []
        refresh_all()
        clock.shift(days(2))
        shop.customers("c3,c3@example.org")
        refresh_all()
        clock.shift(days(1))

        assert caller.get("segments/known/history/") == [
            {"day": "2026-03-15", "size": 2, "entered": 2, "left": 0, "computed": False},
            {"day": "2026-03-16", "size": 2, "entered": 0, "left": 0, "computed": False},
            {"day": "2026-03-17", "size": 3, "entered": 1, "left": 0, "computed": False},
            {"day": "2026-03-18", "size": 3, "entered": 0, "left": 0, "computed": False},
        ]

        def told(query: str) -> list[str]:
            return [one["day"][-2:] for one in caller.get(f"segments/known/history/?{query}")]

        assert told("from=2026-03-17") == ["17", "18"]
        assert told("from=1900-01-01&to=2026-03-16") == ["15", "16"]
        assert told("from=2026-03-16&to=2999-12-31") == ["16", "17", "18"]
        assert told("from=2026-03-19") == told("to=2026-03-14") == []
        for wrong in ("from=yesterday", "to=2026-02-30", "to=2026-03-14&from=2026-03-15"):
            assert error_paths(caller.get(f"segments/known/history/?{wrong}", 400)) == [
                wrong.partition("=")[0]
            ]
    assert caller.get("segments/nothing/history/", 404)["code"] == "not_found"
