"""The page of a customer: the timeline of orders and events, and facts that include queued records."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from customers.models import Customer
from tests.support import shop
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db

EVENTS = "message_id,customer_id,anonymous_id,event,occurred_at,properties"


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


def event(number: int, name: str, minutes_ago: int, /, **properties: Any) -> list[str]:
    moment = (NOON - timedelta(minutes=minutes_ago)).isoformat()
    return [f"m{number}", "c1", "", name, moment, json.dumps(properties)]


def bring_in(*rows: list[str]) -> None:
    shop.import_rows("events", *rows, header=EVENTS)


def timeline(client: Client, **query: str) -> Any:
    customer = Customer.objects.get(customer_id="c1")
    return client.get(reverse("admin:customers_customer_timeline", args=[customer.pk]), query)


def told(response: Any) -> list[str]:
    return [one.title for visit in response.context["timeline"].visits for one in visit.items]


def test_orders_and_events_form_one_timeline_grouped_by_visits(client) -> None:
    with time_machine.travel(NOON, tick=False):
        bring_in(event(1, "Page Viewed", 200, title="Sale"), event(2, "Product Added", 60, name="Lamp", price=12.5,
                 quantity=2, currency="EUR"), event(3, "Product Viewed", 40, name="Lamp"))  # fmt: skip
        shop.orders(f"o1,c1,{(NOON - timedelta(minutes=50)).isoformat()},25")

    response = timeline(client)

    visits = response.context["timeline"].visits
    assert [[one.title for one in visit.items] for visit in visits] == [
        ["Product Viewed", "Order o1", "Product Added"],
        ["Page Viewed"],
    ]
    assert "2 × 12.50 EUR" in response.content.decode()


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("orders", ["Order o1"]),
        ("products", ["Product Viewed"]),
        ("cart", ["Product Added"]),
        ("pages", ["Page Viewed"]),
        ("other", ["Signed Up"]),
        ("nonsense", ["Signed Up", "Order o1", "Product Viewed", "Product Added", "Page Viewed"]),
    ],
)
def test_the_timeline_can_show_one_kind(kind, shown, client) -> None:
    with time_machine.travel(NOON, tick=False):
        bring_in(event(1, "Page Viewed", 50), event(2, "Product Added", 40), event(3, "Product Viewed", 30),
                 event(4, "Signed Up", 10))  # fmt: skip
        shop.orders(f"o1,c1,{(NOON - timedelta(minutes=20)).isoformat()},25")

    assert told(timeline(client, kind=kind)) == shown


def test_earlier_pages_omit_and_repeat_nothing(client) -> None:
    moments = [number // 4 for number in range(130)]  # four at each minute, too many for one page
    with time_machine.travel(NOON, tick=False):
        bring_in(*(event(number, f"Step {number}", minutes) for number, minutes in enumerate(moments)))
        shop.orders(*(f"o{n},c1,{(NOON - timedelta(minutes=n)).isoformat()},1" for n in range(30)))

    seen: list[str] = []
    query: dict[str, str] = {}
    while True:
        response = timeline(client, **query)
        seen += told(response)
        if not (earlier := response.context["timeline"].earlier):
            break
        query = dict(pair.split("=") for pair in re.sub("%3A", ":", earlier).replace("%2B", "+").split("&"))

    assert len(seen) == len(set(seen)) == 160


def test_a_page_ends_with_a_complete_visit(client) -> None:
    with time_machine.travel(NOON, tick=False):
        bring_in(
            *(event(n, "Now", n) for n in range(30)), *(event(100 + n, "Then", 500 + n) for n in range(30))
        )

    first = timeline(client)

    assert told(first) == ["Now"] * 30
    assert len(told(timeline(client, before=first.context["timeline"].earlier.split("before=")[1]))) in (
        30,
        60,
    )


@pytest.mark.parametrize("before", ["x", "~~", "2026-03-15~order~1", "0001-01-01T00:00:00+14:00~event~1",
                                    "2026-03-15T12:00:00+00:00~event~" + "9" * 30, "2026~event~²"])  # fmt: skip
def test_an_invalid_position_is_ignored(before, client) -> None:
    shop.customers("c1,c1@example.org")

    assert timeline(client, before=before).status_code == 200


@pytest.mark.parametrize("properties", [{"price": "free", "name": {"a": 1}}, {"products": [1, {"name": "Lamp"}]},
                                        {"price": 10**30, "quantity": True}, {"value": float("1e300")}])  # fmt: skip
def test_properties_of_any_kind_are_shown(properties, client) -> None:
    with time_machine.travel(NOON, tick=False):
        bring_in(event(1, "Odd", 5, **properties))

    assert told(timeline(client)) == ["Odd"]


def test_facts_include_records_that_wait_for_an_update(client) -> None:
    with time_machine.travel(NOON, tick=False):
        shop.customers("c1,c1@example.org")
        shop.orders(f"o1,c1,{NOON.isoformat()},75", update_facts=False)
        customer = Customer.objects.get(customer_id="c1")
        content = client.get(reverse("admin:customers_customer_change", args=[customer.pk])).content.decode()

    assert "75.00 EUR" in content
