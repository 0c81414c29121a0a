"""Customers, orders and events over HTTP: sent one by one or as a list, read, exported and erased."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from core.api import keys
from customers.facts import update
from customers.identity import lookup
from customers.models import ConsentChange, Customer, Event, Order, OrderLine
from segments.refresh.engine import refresh_all
from tests.support import shop

pytestmark = pytest.mark.django_db

API = "/api/v1/"
ORDER = {"order_id": "o1", "customer_id": "c1", "placed_at": "2026-03-01T10:00:00Z", "total": "12.50"}
EVENT = {"message_id": "m1", "customer_id": "c1", "event": "Seen", "occurred_at": "2026-03-01T10:00:00Z"}

Send = Callable[..., Any]


@pytest.fixture
def call(client: Client) -> Send:
    """Send a request with a key for all record scopes. Return the body of the expected response."""
    _, secret = keys.create_key("back office", ["ingest", "members:read", "privacy"])

    def called(method: str, address: str, sent: Any = None, status: int = 200) -> Any:
        body = {} if sent is None else {"data": sent, "content_type": "application/json"}
        response = getattr(client, method)(
            API + address, headers={"Authorization": f"Bearer {secret}"}, **body
        )
        assert response.status_code == status, response.content
        return response.json() if response.content else None

    return called


@pytest.fixture
def send(call: Send) -> Send:
    def sent(address: str, items: Any, status: int = 200) -> Any:
        return call("post", address, items, status)

    return sent


# -- Sending


def test_a_customer_is_created_and_then_updated_in_the_given_fields(send) -> None:
    first = {"customer_id": "c1", "email": "Zoë@Example.org", "attributes": {"tier": "gold", "points": 4.10}}
    assert send("customers/", first, 201)["created"] == 1

    told = send(
        "customers/", {"customer_id": "c1", "email": None, "city": "Köln", "attributes": {"vip": True}}
    )

    assert told == {
        "created": 0,
        "updated": 1,
        "refused": 0,
        "left_out": 0,
        "results": [{"index": 0, "status": "accepted"}],
    }
    customer = Customer.objects.get()
    assert (customer.email, customer.city) == ("zoë@example.org", "Köln")
    assert customer.attributes == {"tier": "gold", "points": 4.1, "vip": "true"}


def test_a_list_keeps_valid_objects_and_reports_invalid_ones_by_index(send) -> None:
    told = send(
        "customers/",
        [
            {"customer_id": "c1"},
            {"customer_id": "anonymous:2"},
            "c3",
            {"customer_id": "c4", "emial": "x@example.org"},
            {"customer_id": "c5", "attributes": {"email": "x"}},
            {"customer_id": 6},
        ],
    )

    assert (told["created"], told["refused"]) == (2, 4)
    assert [one["status"] for one in told["results"]] == ["accepted", *["refused"] * 4, "accepted"]
    reason = "'anonymous:2' is the public id of an anonymous visitor; use the shop's own customer id"
    assert told["results"][1]["error"] == {
        "code": "invalid",
        "message": f"customer_id: {reason}",
        "errors": [{"path": "customer_id", "message": reason}],
    }
    paths = [one["error"]["errors"][0]["path"] for one in told["results"][2:5]]
    assert paths == ["", "emial", "attributes.email"]
    assert set(Customer.objects.values_list("customer_id", flat=True)) == {"c1", "6"}


def test_one_bad_object_is_a_bad_request(send) -> None:
    told = send("orders/", ORDER | {"total": "much", "lines": [{"line_id": "1.2E+12"}]}, 400)

    assert told["code"] == "invalid"
    assert [one["path"] for one in told["errors"]] == ["total", "lines[0].line_id"]
    assert not Order.objects.exists()


def test_invalid_optional_values_are_left_out_and_reported(send) -> None:
    lines = [{"sku": "s1", "quantity": "two", "unit_price": "$5"}, {"sku": "s2", "name": {"en": "A lamp"}}]
    told = send("orders/", ORDER | {"discount_total": "n/a", "currency": 7, "lines": lines}, 201)

    assert told["results"][0]["status"] == "accepted"
    assert [one["path"] for one in told["results"][0]["warnings"]] == [
        "currency",
        "discount_total",
        "lines[0].quantity",
        "lines[0].unit_price",
        "lines[1].name",
    ]
    order = Order.objects.get()
    assert (str(order.total), order.discount_total, order.lines.count()) == ("12.5000", 0, 2)

    people: list[dict[str, Any]] = [
        {"customer_id": "c2", "email": "nobody", "phone": ["+49"], "city": "Ulm", "attributes": []},
        {"customer_id": "c3", "phone": "+1 555-010-0100 ext. 12345", "attributes": {"a": {"b": 1}, "c": 2}},
    ]
    told = send("customers/", people)
    assert [[place["path"] for place in one["warnings"]] for one in told["results"]] == [
        ["phone", "email"],
        ["attributes.a"],
    ]
    assert told["results"][0]["warnings"][1]["message"] == "'nobody' is not an e-mail address"
    kept = Customer.objects.filter(customer_id__in=("c2", "c3")).order_by("customer_id")
    assert [(one.city, one.phone, one.attributes) for one in kept] == [
        ("Ulm", "", {}),
        ("", "+15550100100", {"c": 2}),
    ]


def test_orders_with_lines_that_are_sent_again_change_nothing(send) -> None:
    lines = [{"sku": "s1", "quantity": 2, "unit_price": 0.1}, {"sku": "s1", "line_id": 7}, {"sku": "s1"}]
    two = [ORDER | {"lines": lines}, ORDER | {"order_id": "o2", "total": 0.3}]
    assert send("orders/", two)["created"] == 2
    update.update_facts()
    before = shop.records()

    assert send("orders/", two)["updated"] == 2
    assert send("orders/", ORDER | {"lines": lines})["updated"] == 1
    update.update_facts()

    assert shop.records() == before
    assert {(line.key, str(line.unit_price)) for line in OrderLine.objects.all()} == {
        ("#1#s1", "0.1000"),
        ("=7", "0.0000"),
        ("#2#s1", "0.0000"),
    }
    assert str(Customer.objects.get().facts.total_spent) == "128000"
    shop.assert_facts_are_those_of_the_records()


def test_an_order_sent_twice_in_a_list_counts_its_lines_each_time_from_the_first(send) -> None:
    send("orders/", [ORDER | {"lines": [{"sku": "s1"}]}, ORDER | {"lines": [{"sku": "s1", "quantity": 3}]}])

    assert [str(line.quantity) for line in OrderLine.objects.all()] == ["3.0000"]


def test_a_new_order_needs_a_customer_and_a_time(send) -> None:
    told = send("orders/", [{"order_id": "o1", "status": "paid"}, ORDER])

    assert told["results"][0]["error"]["errors"][0]["path"] == "customer_id"
    assert told["created"] == 1


def test_events_keep_their_properties_exactly_and_join_visitors(send) -> None:
    precise = '{"price": 12345678901234567.8901, "sku": "s1", "nested": {"deep": [1, 1.50]}}'
    body = json.dumps([EVENT | {"message_id": "m0", "customer_id": None, "anonymous_id": "a1"}])
    body = body[:-1] + f', {json.dumps(EVENT | {"anonymous_id": "a1"})[:-1]}, "properties": {precise}}}]'

    assert send("events/", body)["created"] == 2

    found = lookup.find_customer("a1")
    assert found
    assert found.customer_id == "c1"
    event = Event.objects.get(message_id="m1")
    assert event.properties_comparable["_price"].endswith("123456789012345678901")
    assert event.properties["nested"] == {"deep": [1, 1.5]}


def test_consent_by_the_api_names_it_as_the_source(send) -> None:
    send("customers/", {"customer_id": "c1", "newsletter": "subscribed"}, 201)

    assert [(one.state, one.source) for one in ConsentChange.objects.all()] == [("subscribed", "API")]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ("[" * 100_000, 400, "parse_error"),
        ('{"customer_id": NaN}', 400, "parse_error"),
        ('{"customer_id": "\\ud800"}', 400, "invalid"),
        ('{"customer_id": "c", "\\ud800": 1}', 400, "invalid"),
        ('{"customer_id": "c", "attributes": {"\\ud800": 1}}', 400, "invalid"),
        ('{"customer_id": "a\\u0000b"}', 400, "invalid"),
        ('{"customer_id": 1e400}', 400, "invalid"),
        ('{"customer_id": {}}', 400, "invalid"),
        ("7", 400, "invalid"),
        (json.dumps([{}] * 1_001), 400, "invalid"),
        ('{"customer_id": "c", "attributes": {"a": "' + "x" * 2**24 + '"}}', 413, "too_large"),
        (b"\xff\xfe", 400, "parse_error"),
    ],
)
def test_an_unreadable_body_is_refused(sent, status, code, send) -> None:
    assert send("customers/", sent, status)["code"] == code
    assert not Customer.objects.exists()


def test_an_empty_list_is_accepted(send) -> None:
    assert send("events/", [])["results"] == []


@pytest.mark.parametrize("address", ["customers/", "orders/", "events/"])
def test_a_key_without_the_scope_sends_nothing(address, client: Client) -> None:
    _, secret = keys.create_key("reader", ["members:read"])

    response = client.post(
        API + address, [], content_type="application/json", headers={"Authorization": f"Bearer {secret}"}
    )

    assert (response.status_code, response.json()["code"]) == (403, "missing_scope")


# -- One customer


def test_a_customer_is_read_with_facts_as_of_now(send, call) -> None:
    send("customers/", {"customer_id": "c1", "email": "a@example.org"}, 201)
    send("orders/", [ORDER])
    send("events/", {"message_id": "m", "customer_id": "c1", "anonymous_id": "a1", "event": "Seen",
                     "occurred_at": "2026-03-01"}, 201)  # fmt: skip

    shown = call("get", "customers/anonymous:a1/")

    assert (shown["customer_id"], shown["known"], shown["email"]) == ("c1", True, "a@example.org")
    assert (shown["facts"]["order_count"], str(shown["facts"]["total_spent"])) == (1, "12.5000")
    assert call("get", "customers/")["results"][0]["customer_id"] == "c1"
    assert call("get", "customers/nobody/", status=404)["code"] == "not_found"


def test_the_segments_of_a_customer_are_read_as_stored_or_live(send, call) -> None:
    shop.segment("buyers", {"order_count": {"at_least": 1}})
    send("customers/", {"customer_id": "c1"}, 201)
    refresh_all()
    send("orders/", [ORDER])

    assert call("get", "customers/c1/segments/") == {"customer_id": "c1", "live": False, "segments": []}
    live = call("get", "customers/c1/segments/?live=true")
    assert live["segments"] == [{"slug": "buyers", "name": "Buyers", "entered_at": None}]
    refresh_all()
    assert call("get", "customers/c1/segments/")["segments"][0]["entered_at"]


def test_a_customer_is_exported_and_erased_for_good(send, call) -> None:
    send("orders/", [ORDER | {"lines": [{"sku": "s1"}]}])
    send("events/", [EVENT])
    told = call("get", "customers/c1/export/")
    assert [line["sku"] for line in told["orders"][0]["lines"]] == ["s1"]

    call("delete", "customers/c1/", status=204)

    assert call("delete", "customers/c1/", status=404)["code"] == "not_found"
    again = send(
        "orders/", [ORDER | {"lines": [{"sku": "s1"}]}, ORDER | {"order_id": "o2", "customer_id": "c2"}]
    )
    assert [one["status"] for one in again["results"]] == ["left_out", "accepted"]
    assert send("events/", EVENT)["left_out"] == 1
    assert list(Order.objects.values_list("order_id", flat=True)) == ["o2"]
    assert not Event.objects.exists()
