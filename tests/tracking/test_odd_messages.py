"""Messages as SDKs really send them: clocks that are wrong, and lists where objects belong."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.test import override_settings

from customers.models import Customer, Event, Order, RefusedMessage
from customers.tracking import inbox
from tests.tracking.sending import identify, message, post, send, source, track

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
def test_a_sent_at_of_no_clock_is_not_believed(key, sent_at) -> None:
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
def test_a_message_whose_time_cannot_be_read_is_dated_at_its_receipt_and_reported(key, timestamp) -> None:
    before = datetime.now(UTC)

    send(key, message("track", user="c1", at=timestamp, event="View"))

    assert before <= Event.objects.get().occurred_at <= datetime.now(UTC)
    [reason] = reasons()
    assert reason.startswith("timestamp: ")
    assert reason.endswith(" (the rest was taken)")


@pytest.mark.parametrize("timestamp", [1772359200, 1772359200000, "2026-03-01T10:00:00.000000000Z"])
def test_a_time_may_be_counted_from_1970(key, timestamp) -> None:
    send(key, message("track", user="c1", at=timestamp, event="View"))

    assert Event.objects.get().occurred_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert not reasons()


# -- Empty lists where objects belong


def test_an_empty_list_is_an_empty_object(key) -> None:
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


def test_a_rounded_id_is_refused(key) -> None:
    send(
        key,
        identify("6.12346E+12", email="anna@example.com"),
        track("Order Completed", user="c1", order_id="1.23457E+12", total=5),
    )

    assert not Customer.objects.exclude(customer_id="c1").exists()
    assert not Order.objects.exists()
    assert [one.split(":")[0] for one in reasons()] == ["userId", "properties.order_id"]
    assert all("format the column as text" in one for one in reasons())


def test_a_birthday_that_is_an_instant_is_the_shop_s_day(key) -> None:
    with override_settings(TIME_ZONE="Europe/Berlin"):
        send(
            key,
            identify("i-1", birthday="1990-05-06T22:00:00.000Z"),
            identify("i-2", dateOfBirth="1990-05-06"),
        )

    born = dict(Customer.objects.values_list("customer_id", "birth_date"))
    assert born == {"i-1": date(1990, 5, 7), "i-2": date(1990, 5, 6)}
