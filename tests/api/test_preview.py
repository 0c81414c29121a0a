"""Previews over HTTP: the customers of a rule, now or in the past, in limited time, one at a time."""

from threading import Event, Thread
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client

from segments.api import preview
from tests.support import shop
from tests.support.api_client import API, ApiClient, error_paths, names
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db

PREVIEW = "segments/preview/"
RULE = {"any": [{"order_count": {"at_least": 1}}, {"none": [{"country": {"is": "FR"}}]}]}
KNOWN = {"known": {"is": True}}
EVER = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def is_count(sql: str) -> bool:
    """Return whether a statement counts the customers of the rule."""
    return 'AS "matching"' in sql


@pytest.fixture
def caller() -> ApiClient:
    return ApiClient("segments:read", "members:read")


@pytest.fixture
def shop_at_noon() -> None:
    with time_machine.travel(NOON, tick=False):
        shop.customers(
            "c1,c1@example.org,FR,subscribed", "c2,,FR,never", "c3,c3@example.org,DE,subscribed",
            header="customer_id,email,country,newsletter",
        )  # fmt: skip
        shop.orders("o1,c1,2026-03-01,10", "o2,c1,2026-03-10,40")


def test_a_preview_has_counts_a_sample_and_a_sentence(caller, shop_at_noon) -> None:
    with time_machine.travel(NOON, tick=False):
        told = caller.post(PREVIEW, {"rule": RULE})

    sample = told.pop("sample")
    assert told == {
        "at": "2026-03-15T12:00:00Z",
        "count": 2,
        "share": 0.6667,
        "known": 2,
        "subscribed": 2,
        "sentence": "Everyone who placed at least 1 order or does not have a country that is “France”",
        "conditions": [
            {"path": "rule.any[0].order_count", "count": 1},
            {"path": "rule.any[1].none[0].country", "count": 2},
        ],
    }
    assert sorted(names(sample)) == ["c1", "c3"]
    assert list(sample[0]) == ["customer_id", "email", "phone", "first_name", "last_name"]


def test_a_preview_of_a_past_instant_uses_the_records_up_to_it(caller, shop_at_noon) -> None:
    rule = {"order_count": {"at_least": 2, "during": {"within_last": "10d"}}}

    def told(at: Any) -> tuple[int, float, int]:
        answer = caller.post(PREVIEW, {"rule": rule, "at": at})
        return answer["count"], answer["share"], answer["conditions"][0]["count"]

    with time_machine.travel(NOON, tick=False):
        assert told(None) == (0, 0, 0)
        assert told("2026-03-10T12:00:00Z") == (1, 1, 1)  # nobody else had been seen
        assert told("2026-03-09T12:00:00+02:00") == (0, 0, 0)
        assert told("1999-12-31T00:00:00Z") == (0, 0, 0)
        assert told("2026-03-15T12:00:00Z") == (0, 0, 0)
        above = {"total_spent": {"above": "average"}}
        assert caller.post(PREVIEW, {"rule": above, "at": "2026-03-02T00:00:00Z"})["count"] == 0


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ({}, ["rule"]),
        ({"rule": {"all": []}}, ["rule.all"]),
        ({"rule": {"in_segment": {"is": "nowhere"}}}, ["rule"]),
        ({"rule": RULE, "at": "then"}, ["at"]),
        ({"rule": RULE, "at": "0001-01-01T00:00:00Z"}, ["at"]),
        ({"rule": RULE, "at": "9999-12-31T23:59:59-12:00"}, ["at"]),
        ({"rule": RULE, "when": "2026-03-10"}, ["when"]),
    ],
)
def test_an_invalid_preview_is_refused_with_its_path(caller, sent, where) -> None:
    assert error_paths(caller.post(PREVIEW, sent, 400)) == where


def test_a_sample_is_shown_only_to_callers_who_may_see_members(shop_at_noon) -> None:
    assert ApiClient("segments:read").post(PREVIEW, {"rule": RULE})["sample"] is None
    assert ApiClient("members:read").post(PREVIEW, {"rule": RULE}, 403)["code"] == "missing_scope"

    anna = User.objects.create_user("anna", is_staff=True)
    anna.user_permissions.add(Permission.objects.get(codename="view_segment"))
    client = Client()
    client.force_login(anna)

    def sample() -> Any:
        return client.post(API + PREVIEW, {"rule": RULE}, content_type="application/json").json()["sample"]

    assert sample() is None
    for codename in ("view_contact_data", "view_customer"):
        anna.user_permissions.add(Permission.objects.get(codename=codename))
    assert len(sample()) == 2


def test_the_error_of_a_slow_preview_says_what_to_do(caller, shop_at_noon, monkeypatch) -> None:
    monkeypatch.setattr(preview, "MAX_SECONDS", 0.2)

    def count_for_ever(execute: Any, sql: str, params: Any, *given: Any) -> Any:
        return execute(EVER, None, *given) if is_count(sql) else execute(sql, params, *given)

    with connection.execute_wrapper(count_for_ever):
        told = caller.post(PREVIEW, {"rule": KNOWN}, 503)

    assert told["code"] == "took_too_long"
    assert "create the segment" in told["message"]
    assert caller.post(PREVIEW, {"rule": KNOWN})["count"] == 2  # the connection and the key serve on


@pytest.mark.django_db(transaction=True)
def test_one_preview_of_a_key_runs_at_a_time(caller, shop_at_noon) -> None:
    counting, go_on = Event(), Event()
    answers = []

    def count_slowly(execute: Any, sql: str, *given: Any) -> Any:
        if is_count(sql):
            counting.set()
            assert go_on.wait(20)
        return execute(sql, *given)

    def ask() -> None:
        with connection.execute_wrapper(count_slowly):
            answers.append(caller.call("post", PREVIEW, {"rule": KNOWN}).status_code)
        connection.close()

    first = Thread(target=ask)
    first.start()
    assert counting.wait(20)

    second = caller.call("post", PREVIEW, {"rule": KNOWN})
    assert (second.status_code, second.json()["code"]) == (429, "throttled")
    assert 1 <= int(second["Retry-After"]) <= 60
    assert (
        ApiClient("segments:read").post(PREVIEW, {"rule": KNOWN})["count"] == 2
    )  # another key does not wait
    go_on.set()
    first.join(20)

    assert answers == [200]
    assert caller.post(PREVIEW, {"rule": KNOWN})["count"] == 2


def test_a_preview_costs_a_handful_of_queries(caller, shop_at_noon, django_assert_max_num_queries) -> None:
    caller.post(PREVIEW, {"rule": RULE})
    with django_assert_max_num_queries(20):
        caller.post(PREVIEW, {"rule": RULE})
