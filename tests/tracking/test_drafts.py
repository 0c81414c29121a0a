"""Drafts: orders that only browsers report. They change no order that a trusted source reports.

Each attack uses only the key of a browser, before and after the shop reports its order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from customers.facts import relations, update
from customers.identity import lookup
from customers.models import Event, Order, OrderLine, OrderMessage, Source
from customers.privacy import personal_data
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.tracking_messages import identify, message, send, signed, source, track

pytestmark = pytest.mark.django_db

LATER, LATEST = "2026-03-02T10:00:00Z", "2026-03-03T10:00:00Z"
HAT = {"sku": "hat", "name": "Hat", "price": 40, "quantity": 2}
PLANTED = {"sku": "planted", "name": "Planted", "price": 9_999, "quantity": 50}

Tell = Callable[[], None]


@pytest.fixture
def server() -> str:
    return source("server")[1]


@pytest.fixture
def web() -> tuple[Source, str]:
    return source("browser")


@pytest.fixture
def key(web) -> str:
    return web[1]


# -- The shop's own words, by each way in


def by_server(key: str) -> None:
    sale = track(
        "Order Completed", user="victim", order_id="o1", total=80, discount=5, coupon="MINE", currency="EUR",
        products=[HAT],
    )  # fmt: skip
    send(key, sale)


def by_the_api(address: str, sent: Any) -> None:
    answer = ApiClient("ingest").call("post", address, sent)
    assert answer.status_code in (200, 201), answer.content
    update.update_facts()


def by_api(key: str) -> None:
    order = {
        "order_id": "o1", "customer_id": "victim", "placed_at": "2026-03-01T10:00:00Z", "total": 80,
        "discount_total": 5, "coupon_code": "MINE", "currency": "EUR",
        "lines": [{"sku": "hat", "name": "Hat", "quantity": 2, "unit_price": 40}],
    }  # fmt: skip
    by_the_api("orders/", order)


def by_file(key: str) -> None:
    header = "order_id,customer_id,placed_at,total,discount_total,coupon_code,currency"
    assert not shop.orders("o1,victim,2026-03-01T10:00:00Z,80,5,MINE,EUR", header=header).refused
    shop.lines("o1,hat,Hat,2,40", header="order_id,sku,name,quantity,unit_price")


@pytest.fixture(params=[by_server, by_api, by_file], ids=["server", "API", "file"])
def confirm(request: pytest.FixtureRequest, server: str) -> Tell:
    return lambda: request.param(server)


# -- The attacks


def plant_an_order(key: str) -> None:
    for at in ("2020-01-01T00:00:00Z", LATEST):
        planted: dict[str, Any] = {
            "total": 1,
            "discount": 0.5,
            "coupon": "THEIRS",
            "currency": "JPY",
            "products": [PLANTED],
        }
        for name in ("Order Completed", "Order Updated"):
            send(key, track(name, anonymous="evil", order_id="o1", at=at, status="cancelled", **planted))


def plant_lines(key: str) -> None:
    for n in range(3):
        send(key, track("Order Updated", anonymous=f"evil-{n}", order_id="o1", products=[PLANTED], at=LATER))


def take_it_back(key: str) -> None:
    send(
        key,
        track("Order Refunded", anonymous="evil", order_id="o1", at=LATER),
        track("Order Refunded", anonymous="evil", order_id="o1", total=79.99, at=LATER),
        track("Order Cancelled", anonymous="evil", order_id="o1", at=LATEST),
    )


def name_the_victim(key: str) -> None:
    """Not known to the shop yet, or named without a signature."""
    send(
        key,
        track("Order Completed", user="victim", anonymous="evil", order_id="o1", total=7, products=[PLANTED]),
        track("Order Cancelled", user="victim", anonymous="evil", order_id="o1", at=LATER),
    )


@pytest.fixture(
    params=[plant_an_order, plant_lines, take_it_back, name_the_victim], ids=lambda attack: attack.__name__
)
def attack(request: pytest.FixtureRequest, key: str) -> Tell:
    return lambda: request.param(key)


def held(order_id: str = "") -> dict[str, Any]:
    """What is stored of an order, or of the only one there is."""
    named = {"order_id": order_id} if order_id else {}
    order = Order.objects.select_related("customer").get(**named)
    return {
        "owner": order.customer.customer_id,
        "order": (order.status, order.total, order.discount_total, order.refunded_total, order.currency),
        "coupon": order.coupon_code,
        "placed_at": order.placed_at,
        "lines": [*order.lines.values_list("customer__customer_id", "sku", "name", "quantity", "unit_price")],
        "is_draft": order.is_draft,
    }


RIGHT = {
    "owner": "victim",
    "order": ("paid", 80, 5, 0, "EUR"),
    "coupon": "MINE",
    "placed_at": datetime(2026, 3, 1, 10, tzinfo=UTC),
    "lines": [("victim", "hat", "Hat", 2, 40)],
    "is_draft": False,
}


@pytest.mark.parametrize("is_before", [True, False], ids=["before", "after"])
def test_a_browser_changes_no_confirmed_order(
    confirm: Tell, attack: Tell, server: str, is_before: bool
) -> None:
    send(server, identify("victim", email="victim@example.org"))
    shop.segment("buyers", {"order_count": {"is": 1}})
    shop.segment("hats", {"bought": {"product": {"sku": {"is": "hat"}}}})
    shop.segment("cheated", {"any": [
        {"bought": {"product": {"sku": {"is": "planted"}}}}, {"total_spent": {"is_not": 80}},
        {"refund_count": {"at_least": 1}}, {"bought": {"coupon": {"is": "THEIRS"}}},
    ]})  # fmt: skip

    for tell in (attack, confirm) if is_before else (confirm, attack, confirm):
        tell()
    refresh_all()

    assert held() == RIGHT
    victim = relations.facts_of_customer(Order.objects.get().customer, datetime(2026, 3, 15, tzinfo=UTC))
    assert victim is not None
    assert (victim.order_count, victim.total_spent, victim.refund_count) == (1, 800_000, 0)
    assert (shop.members("buyers"), shop.members("hats")) == (["victim"], ["victim"])
    assert "victim" not in shop.members("cheated")
    shop.assert_facts_are_those_of_the_records()


def test_a_customer_named_first_by_a_stranger_gets_only_the_order(confirm: Tell, key: str) -> None:
    send(
        key,
        track("Order Completed", user="victim", anonymous="evil", order_id="o2", total=7, products=[PLANTED]),
    )
    name_the_victim(key)

    confirm()

    assert held("o1") == RIGHT
    assert held("o2")["owner"] == "anonymous:evil"
    assert held("o2")["order"][:2] == ("pending", 7)
    assert {*OrderLine.objects.values_list("order__order_id", "customer__customer_id")} == {
        ("o1", "victim"),
        ("o2", "anonymous:evil"),
    }
    shop.assert_facts_are_those_of_the_records()


def test_a_signature_proves_who_the_customer_is_not_what_they_paid(web, server) -> None:
    browser, key = web
    sale: dict[str, Any] = {
        "event": "Order Completed",
        "properties": {"order_id": "o1", "total": 500, "products": [PLANTED]},
    }
    send(key, message("track", user="victim", context=signed(browser, "victim"), **sale))
    assert (Order.objects.get().status, Order.objects.get().is_draft) == ("pending", True)

    by_server(server)
    assert held() == RIGHT


def test_of_several_browsers_the_signed_one_makes_the_draft(web) -> None:
    browser, key = web
    sale = {"order_id": "o1", "total": 30, "products": [HAT]}
    send(
        key,
        track(
            "Order Completed", anonymous="evil", order_id="o1", total=1, products=[PLANTED], at="2020-01-01"
        ),
    )
    assert held()["owner"] == "anonymous:evil"
    send(
        key,
        message("track", user="c1", context=signed(browser, "c1"), event="Order Completed", properties=sale),
    )
    send(key, track("Order Updated", anonymous="evil", order_id="o1", total=2, products=[PLANTED], at=LATEST))

    assert held() == RIGHT | {
        "owner": "c1",
        "order": ("pending", 30, 0, 0, "EUR"),
        "coupon": "",
        "lines": [("c1", "hat", "Hat", 2, 40)],
        "is_draft": True,
    }


def test_a_refund_of_a_server_waits_for_the_order_itself(confirm: Tell, key: str, server: str) -> None:
    plant_an_order(key)
    send(server, track("Order Refunded", anonymous="till", order_id="o1", total=30, at=LATER))
    assert held()["order"] == ("pending", 1, 0.5, 0, "JPY")

    confirm()

    assert held() == RIGHT | {"order": ("paid", 80, 5, 30, "EUR")}
    shop.assert_facts_are_those_of_the_records()


def test_a_cancellation_of_a_server_waits_for_the_order_itself(confirm: Tell, key: str, server: str) -> None:
    send(server, track("Order Cancelled", user="victim", order_id="o1", at=LATER))
    plant_an_order(key)
    assert held()["order"][0] == "pending"

    confirm()

    assert held() == RIGHT | {"order": ("cancelled", 80, 5, 0, "EUR")}


def test_staff_see_what_is_a_draft(key: str) -> None:
    plant_lines(key)
    client = Client()
    client.force_login(User.objects.create_superuser("staff"))

    evil = Order.objects.get().customer
    page = client.get(reverse("admin:customers_customer_change", args=[evil.pk])).content.decode()

    assert "Draft: only a browser has reported it" in page


def test_lines_alone_are_refused_for_a_draft(key: str) -> None:
    plant_lines(key)

    imported = shop.lines("o1,hat,2", "o2,hat,2")

    assert imported.refused == [
        (
            2,
            "order_id: order 'o1' is a draft, because only a browser has reported it so far; import the orders first",
        ),
        (3, "order_id: there is no order 'o2'; import the orders first"),
    ]
    assert [*OrderLine.objects.values_list("sku", flat=True)] == ["planted"]


def test_an_invalid_row_leaves_the_draft(key: str) -> None:
    plant_lines(key)
    before = held()

    header = "order_id,customer_id,placed_at,total"
    assert shop.orders("o1,,2026-03-01,5", "o1,victim,,5", header=header).lines == [2, 3]

    assert held() == before


def test_a_file_of_pending_orders_confirms_them_too(key: str) -> None:
    plant_lines(key)
    shop.orders(
        "o1,victim,2026-03-01T10:00:00Z,9,pending", header="order_id,customer_id,placed_at,total,status"
    )
    plant_lines(key)

    assert (held()["owner"], held()["order"], held()["lines"]) == ("victim", ("pending", 9, 0, 0, "EUR"), [])


def test_later_messages_of_browsers_are_only_events(confirm: Tell, key: str) -> None:
    plant_lines(key)
    confirm()
    plant_lines(key)

    assert Event.objects.filter(name="Order Updated", is_from_browser=True).count() == 6
    assert not OrderMessage.objects.filter(is_trusted=False).exists()


def test_the_stored_messages_of_a_draft_are_limited_to_the_first(key: str) -> None:
    send(key, *(track("Order Updated", anonymous=f"a{n}", order_id="o1", at=LATER) for n in range(60)))
    send(key, track("Order Completed", anonymous="first", order_id="o1", total=3))
    send(key, *(track("Order Updated", anonymous=f"b{n}", order_id="o1", at=LATER) for n in range(60)))

    assert OrderMessage.objects.count() == 50
    assert (held()["owner"], held()["order"][:2]) == ("anonymous:first", ("pending", 3))


def test_a_source_may_let_its_orders_count(server: str) -> None:
    _, key = source("browser", trusts_unsigned_ids=True)
    send(key, track("Order Completed", anonymous="a1", order_id="o2", total=5, products=[HAT]))
    send(key, track("Order Refunded", anonymous="a1", order_id="o2", total=2, at=LATER))

    assert held()["order"] == ("paid", 5, 0, 2, "EUR")
    assert not held()["is_draft"]
    # Its message ids are those of a browser all the same.
    assert [*Event.objects.values_list("is_from_browser", flat=True)] == [True, True]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", ["messages", "file"])
def test_a_file_and_messages_written_concurrently_end_as_in_sequence(
    first: str, server: str, key: str
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("about PostgreSQL: SQLite has one writer")
    plant_lines(key)
    refund = track("Order Refunded", user="victim", order_id="o1", total=30, at=LATER)
    steps: dict[str, Callable[[], Any]] = {
        "messages": lambda: send(server, refund),
        "file": lambda: shop.orders("o1,victim,2026-03-01T10:00:00Z,80", update_facts=False),
    }
    written = threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            steps.pop(first)()
            written.set()
            time.sleep(0.5)  # in which the other one comes to wait for us
        connection.close()

    slow = threading.Thread(target=write_slowly)
    slow.start()
    assert written.wait(20)
    [other] = steps.values()
    other()
    slow.join()

    assert (held()["owner"], held()["order"], held()["lines"]) == ("victim", ("paid", 80, 0, 30, "EUR"), [])


# -- The ids of messages


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("way", ["server", "API", "file"])
def test_a_message_id_of_a_browser_blocks_no_other_message(
    key: str, server: str, way: str, is_first: bool
) -> None:
    theirs = [
        track("Fake", anonymous="evil", n=1) | {"messageId": "m-1"},
        track("Order Cancelled", anonymous="evil", order_id="o1") | {"messageId": "m-2"},
    ]

    def ours() -> None:
        if way == "server":
            order = track("Order Completed", user="victim", order_id="o1", total=80)
            seen = track("Product Viewed", user="victim", products=[HAT])
            send(server, order | {"messageId": "m-2"}, seen | {"messageId": "m-1"})
        elif way == "API":
            event = {"message_id": "m-1", "customer_id": "victim", "event": "Product Viewed",
                     "occurred_at": "2026-03-01", "properties": {"products": [HAT]}}  # fmt: skip
            by_the_api("events/", event)
        else:
            shop.import_rows(
                "events",
                ["m-1", "victim", "", "Product Viewed", "2026-03-01", '{"products": [{"sku": "hat"}]}'],
            )

    steps: list[Tell] = [lambda: send(key, *theirs), ours]
    for step in [*(steps if is_first else reversed(steps)), *steps]:  # and all of it a second time
        step()

    seen = Event.objects.filter(message_id="m-1").order_by("is_from_browser")
    assert [
        *seen.values_list("name", "customer__customer_id", "is_from_browser", "products__sku_folded")
    ] == [
        ("Product Viewed", "victim", False, "hat"),
        ("Fake", "anonymous:evil", True, None),
    ]
    assert Event.objects.count() == (4 if way == "server" else 3)
    if way == "server":
        assert (held()["owner"], held()["order"][:2]) == ("victim", ("paid", 80))
    shop.assert_facts_are_those_of_the_records()


def test_a_browser_and_a_server_may_use_one_id_in_the_same_batch(key: str, server: str) -> None:
    send(key, track("Fake", anonymous="evil") | {"messageId": "m-1"}, drain=False)
    send(server, track("Order Completed", user="victim", order_id="o1", total=80) | {"messageId": "m-1"})

    assert held()["owner"] == "victim"
    assert Event.objects.count() == 2


def test_erasing_a_stranger_blocks_no_order_and_no_message_of_others(key: str, server: str) -> None:
    send(key, track("Order Completed", anonymous="evil", order_id="o1", total=1) | {"messageId": "m-1"})
    evil = lookup.find_customer("evil")
    assert evil
    personal_data.erase_customer(evil, datetime.now(UTC))
    assert not Order.objects.exists()

    send(key, track("Order Completed", anonymous="evil-2", order_id="o9", total=1) | {"messageId": "m-1"})
    assert not Event.objects.exists()  # it is the message that was erased
    send(server, track("Order Completed", user="victim", order_id="o1", total=80) | {"messageId": "m-1"})
    assert (held()["owner"], held()["order"][:2]) == ("victim", ("paid", 80))
    assert Event.objects.count() == 1
