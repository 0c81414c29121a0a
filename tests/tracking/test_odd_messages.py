"""Unusual messages of real SDKs: wrong clocks, lists instead of objects."""

import json
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings

from customers.models import Customer, Event, Order, RefusedMessage
from customers.tracking import inbox
from tests.support.tracking_messages import identify, message, post, send, source, track

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> str:
    return source()[1]


def send_batch(key: str, *messages: dict[str, Any], **beside: Any) -> None:
    assert post(key, "batch", {"batch": messages, **beside}).status_code == 200
    inbox.drain()


def reasons() -> list[str]:
    return list(RefusedMessage.objects.order_by("pk").values_list("reason", flat=True))


def iso(moment: datetime) -> str:
    return moment.isoformat()


# -- Clocks


@pytest.mark.parametrize(
    "sent_at", ["1970-01-01T00:00:00.000Z", "0001-01-01T00:00:00Z", "2037-01-01", 0, "soon", {}]
)
def test_an_implausible_sent_at_is_ignored(key, sent_at) -> None:
    at = datetime(2026, 3, 1, 10, tzinfo=UTC)

    send_batch(
        key,
        identify("gi-1", at=iso(at), email="old@example.com"),
        track("Order Completed", user="gi-1", at=iso(at), order_id="G-1", total=80),
        sentAt=sent_at,
    )

    assert Order.objects.get().placed_at == at
    send(key, identify("gi-1", at=iso(at + timedelta(hours=1)), email="new@example.com"))
    customer = Customer.objects.select_related("facts").get()
    assert (customer.email, customer.facts.order_count) == ("new@example.com", 1)


@pytest.mark.parametrize("ahead", [timedelta(minutes=5), timedelta(days=2), timedelta(days=4_000)])
def test_a_clock_that_runs_ahead_is_corrected(key, ahead) -> None:
    now = datetime.now(UTC)

    send_batch(
        key, track("View", user="c1", at=iso(now + ahead - timedelta(minutes=1))), sentAt=iso(now + ahead)
    )

    ago = now - Event.objects.get().occurred_at
    assert timedelta(seconds=50) < ago < timedelta(seconds=70)


def test_nothing_is_dated_later_than_its_receipt(key) -> None:
    later = iso(datetime.now(UTC) + timedelta(days=700))

    send(
        key,
        track("Order Completed", user="c1", at=later, order_id="o1", total=5),
        identify("c1", at=later, email="a@example.com", createdAt=later, newsletter=True, subscribedAt=later),
        message("page", anonymous="a1", at="2999-12-31T23:59:59Z"),
    )

    now = datetime.now(UTC)
    assert Event.objects.filter(occurred_at__lte=now).count() == 2
    assert Order.objects.get().placed_at <= now
    customer = Customer.objects.get(customer_id="c1")
    assert all(moment and moment <= now for moment in (customer.first_seen, customer.subscribed_at))
    assert not reasons()

    send(key, identify("c1", at=iso(datetime.now(UTC)), email="b@example.com"))
    assert Customer.objects.get(customer_id="c1").email == "b@example.com"


@pytest.mark.parametrize("timestamp", ["soon", "0001-01-01T00:00:00Z", "2026-02-30", True, {"$date": 1}, [1]])
def test_a_message_with_an_invalid_time_is_dated_at_its_receipt_and_reported(key, timestamp) -> None:
    before = datetime.now(UTC)

    send(key, message("track", user="c1", at=timestamp, event="View"))

    assert before <= Event.objects.get().occurred_at <= datetime.now(UTC)
    [reason] = reasons()
    assert reason.startswith("timestamp: ")
    assert reason.endswith(" (the rest was kept)")


@pytest.mark.parametrize("timestamp", [1772359200, 1772359200000, "2026-03-01T10:00:00.000000000Z"])
def test_a_time_may_be_counted_from_1970(key, timestamp) -> None:
    send(key, message("track", user="c1", at=timestamp, event="View"))

    assert Event.objects.get().occurred_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert not reasons()


# -- Empty lists where objects belong


def test_an_empty_list_counts_as_an_empty_object(key) -> None:
    send(
        key,
        track("Wishlist Opened", user="php-1") | {"properties": [], "context": []},
        message("page", user="php-2", name="Home", properties=[], context={"traits": [], "campaign": []}),
        message("screen", user="php-3", properties=[]),
        message("group", user="php-4", groupId="g", traits=[]),
        identify("php-5", email="five@example.com", address=[], company=[], tags={}),
        message("identify", user="php-6", traits=[], context={"traits": {"city": "Ulm"}}),
        track(
            "Order Completed", user="php-7", order_id="o7", total=7, products=[[], {"sku": "A", "price": 7}]
        ),
    )

    assert not reasons()
    assert dict(Event.objects.exclude(name="Order Completed").values_list("name", "properties")) == {
        "Wishlist Opened": {},
        "Page Viewed": {"name": "Home"},
        "Screen Viewed": {},
        "Group Joined": {"group_id": "g"},
    }
    assert Customer.objects.get(customer_id="php-5").attributes == {}
    assert Customer.objects.get(customer_id="php-6").city == "Ulm"
    assert Order.objects.get().lines.get().sku == "A"


# -- Ids and dates


def test_a_rounded_id_is_rejected(key) -> None:
    send(
        key,
        identify("6.12346E+12", email="anna@example.com"),
        track("Order Completed", user="c1", order_id="1.23457E+12", total=5),
    )

    assert not Customer.objects.exclude(customer_id="c1").exists()
    assert not Order.objects.exists()
    assert [one.split(":")[0] for one in reasons()] == ["userId", "properties.order_id"]
    assert all("format the column as text" in one for one in reasons())


def test_a_birthday_that_is_an_instant_becomes_the_day_in_the_shops_zone(key) -> None:
    with override_settings(TIME_ZONE="Europe/Berlin"):
        send(
            key,
            identify("i-1", birthday="1990-05-06T22:00:00.000Z"),
            identify("i-2", dateOfBirth="1990-05-06"),
        )

    born = dict(Customer.objects.values_list("customer_id", "birth_date"))
    assert born == {"i-1": date(1990, 5, 7), "i-2": date(1990, 5, 6)}


# -- Optional values


def test_an_order_with_a_readable_total_is_kept(key) -> None:
    odd: dict[str, Any] = {
        "tax": "n/a", "shipping": "free", "discount": {"a": 1}, "revenue": "EUR 20", "currency": "€",
        "coupon": ["A"], "status": "on its way",
    }  # fmt: skip
    products = [
        {"sku": "A", "price": "$99.50", "quantity": "one", "name": {"en": "Hat"}, "category": "c" * 300},
        {"sku": "s" * 300, "price": 1},
        "no object",
    ]
    send(key, track("Order Completed", user="j-9", order_id="J9", total=20, products=products, **odd))

    order = Order.objects.get()
    assert (order.order_id, order.total, order.status, order.currency) == ("J9", 20, "paid", "EUR")
    assert [(one.sku, one.unit_price) for one in order.lines.all()] == [("A", 0)]
    told = [one.removesuffix(" (the rest was kept)").split(": ")[0] for one in reasons()]
    assert sorted(told) == sorted(
        [
            *(
                f"properties.{name}"
                for name in ("tax", "shipping", "discount", "currency", "coupon", "status")
            ),
            *(f"properties.products[0].{name}" for name in ("price", "quantity", "name", "category")),
            "properties.products[1].sku",
        ]
    )


def test_an_order_with_an_unreadable_total_is_rejected(key) -> None:
    orders: list[dict[str, Any]] = [
        {"total": "a lot"},
        {"total": [20]},
        {"revenue": "20 EUR"},
        {"subtotal": "?", "tax": 3},
        {"products": [{"sku": "A", "price": "$5"}]},
    ]
    for n, properties in enumerate(orders):
        send(key, track("Order Completed", user="c1", order_id=f"o{n}", **properties))

    assert not Order.objects.exists()
    assert [one.split(":")[0] for one in reasons()] == [
        "properties.total",
        "properties.total",
        "properties.revenue",
        "properties.subtotal",
        "properties.products[0].price",
    ]


def test_a_total_is_computed_from_its_valid_parts(key) -> None:
    send(
        key,
        track("Order Completed", user="c1", order_id="o1", revenue="20 EUR", subtotal=18, tax=2),
        track("Order Completed", user="c1", order_id="o2", revenue=20, tax="n/a"),
        track("Order Completed", user="c1", order_id="o3"),
    )

    assert dict(Order.objects.values_list("order_id", "total")) == {"o1": 20, "o2": 20, "o3": 0}


def test_an_invalid_refund_refunds_nothing(key) -> None:
    send(key, track("Order Completed", user="c1", order_id="o1", total=20))

    send(
        key,
        track("Order Refunded", user="c1", order_id="o1", total="half"),
        track("Order Refunded", user="c1", order_id="o1", products=[{"sku": "A", "quantity": "two"}]),
    )

    assert Order.objects.values_list("status", "refunded_total").get() == ("paid", 0)
    assert [one.split(":")[0] for one in reasons()] == ["properties.total", "properties.products[0].quantity"]


def test_traits_are_normalized_and_invalid_ones_left_out(key) -> None:
    send(
        key,
        identify("c1", phone="\u202a+1 555-010-0100 ext. 12345\u202c", first_name="x" * 300, city="Ulm"),
        identify("c2", phone="N/A", email="two@example.com", **{"a: b": "y" * 1_001}),
        identify("c3", phone="(030) 1234567 x12", country="DE"),
    )

    phones = dict(Customer.objects.values_list("customer_id", "phone"))
    assert phones == {"c1": "+15550100100", "c2": "", "c3": "+49301234567"}
    assert Customer.objects.get(customer_id="c1").city == "Ulm"
    assert Customer.objects.get(customer_id="c2").email == "two@example.com"
    assert [one.split(" (")[0] for one in reasons()] == [
        "first_name: longer than 255 characters",
        "a: b: longer than 1000 characters",
        "phone: 'N/A' is not a phone number; write it as +49 30 123456",
    ]


def test_invalid_optional_ids_do_not_reject_a_message(key) -> None:
    send(
        key,
        message("track", user="c1", anonymous={}, event="One"),
        message("track", user="c1", anonymous="a" * 300, event="Two"),
        message("track", user="c1", event="Three") | {"messageId": ["m"]},
    )

    assert set(Event.objects.values_list("name", flat=True)) == {"One", "Two", "Three"}
    assert [one.split(":")[0] for one in reasons()] == ["anonymousId", "anonymousId", "messageId"]


def test_a_message_whose_phone_is_a_huge_number_does_not_refuse_its_batch(key) -> None:
    send(key, identify("c1", phone=10**400), track("View", user="c2"))

    assert set(Customer.objects.values_list("customer_id", flat=True)) == {"c1", "c2"}


def test_an_id_that_takes_long_to_normalize_is_not_normalized(key) -> None:
    slow = "a" + "\u0301\u0323" * 50_000  # marks are sorted in quadratic time
    batch = {"batch": [track("View", user=slow), track("View", user="c1", order_id=slow)]}
    start = time.process_time()
    assert post(key, "batch", json.dumps(batch, ensure_ascii=False).encode()).status_code == 200

    assert time.process_time() - start < 3
    inbox.drain()
    assert len(reasons()) == 2
