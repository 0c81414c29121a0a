"""What messages mean: customers, orders, carts and events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from customers.models import Customer, Event, Order, OrderLine, RefusedMessage, Source
from tests.support import shop
from tests.support.tracking_messages import identify, message, send, source, track

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> str:
    return source()[1]


def orders() -> dict[str, tuple[str, str, int, int]]:
    """Each order's customer, status, total and refunds, in whole units."""
    return {
        one.order_id: (one.customer.customer_id, one.status, int(one.total), int(one.refunded_total))
        for one in Order.objects.select_related("customer")
    }


def reasons() -> list[str]:
    return list(RefusedMessage.objects.order_by("pk").values_list("reason", flat=True))


def test_traits_become_columns_consent_and_attributes(key) -> None:
    traits: dict[str, Any] = {
        "email": "Ada@Example.org",
        "phone": "(030) 1234567",
        "name": "Ada King Lovelace",
        "birthday": "1985-12-10",
        "createdAt": "2020-01-02T03:04:05Z",
        "address": {"city": "Berlin", "country": "DE", "street": "Unter den Linden 1"},
        "newsletter": True,
        "vip": True,
        "points": 12,
        "size": 41.5,
        "company": {"name": "Analytical Engines"},
    }
    send(key, identify("c1", **traits))

    ada = Customer.objects.get()
    assert (ada.customer_id, ada.email, ada.phone) == ("c1", "ada@example.org", "+49301234567")
    assert (ada.first_name, ada.last_name, str(ada.birth_date)) == ("Ada King", "Lovelace", "1985-12-10")
    assert (ada.city, ada.country, ada.newsletter) == ("Berlin", "DE", "subscribed")
    assert ada.first_seen == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert ada.subscribed_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert ada.attributes == {
        "address.street": "Unter den Linden 1",
        "vip": "true",
        "points": 12,
        "size": 41.5,
        "company.name": "Analytical Engines",
    }
    assert not reasons()


def test_traits_of_the_context_are_used_if_there_are_no_others(key) -> None:
    told = message("identify", user="c1", context={"traits": {"email": "a@b.org"}, "locale": "de-DE"})

    send(key, told)

    assert Customer.objects.values_list("email", "language").get() == ("a@b.org", "de")


def test_valid_traits_are_kept_beside_invalid_ones(key) -> None:
    send(key, identify("c1", email="nobody", city="Rome", birthday="long ago"))

    assert Customer.objects.values_list("customer_id", "email", "city").get() == ("c1", "", "Rome")
    assert reasons() == [
        "email: 'nobody' is not an e-mail address (the rest was kept)",
        "birth_date: 'long ago' is not a date; write it as 2026-03-31 (the rest was kept)",
    ]


def test_the_latest_identify_counts_not_the_last_to_arrive(key) -> None:
    send(key, identify("c1", city="Rome", at="2026-03-02T10:00:00Z"))
    send(key, identify("c1", city="Oslo", plan="gold", at="2026-03-01T10:00:00Z"))

    customer = Customer.objects.get()
    assert (customer.city, customer.attributes) == ("Rome", {"plan": "gold"})


def test_values_of_a_file_stay_until_a_message_changes_them(key) -> None:
    send(key, identify("c1", city="Rome"))
    shop.customers("c1,Oslo,x@y.org", header="customer_id,city,email")
    send(key, identify("c1", plan="gold"))
    assert Customer.objects.values_list("city", "email").get() == ("Oslo", "x@y.org")

    send(key, identify("c1", city="Bern", at="2026-03-02T10:00:00Z"))
    assert Customer.objects.values_list("city", "email").get() == ("Bern", "x@y.org")


def test_calls_become_events_once(key) -> None:
    calls = [
        track("Viewed Product", anonymous="a1", product_id="p1", price=9.95),
        message("page", anonymous="a1", name="Home", properties={"path": "/"}),
        message("screen", user="c1", name="Start"),
        message("group", user="c1", groupId="g1", traits={"plan": "gold"}),
        track("Anything else", user="c1", x=[1, {"y": None}]),
    ]
    send(key, *calls, *calls)
    send(key, *calls)

    assert dict(Event.objects.values_list("name", "properties")) == {
        "Product Viewed": {"product_id": "p1", "price": 9.95},
        "Page Viewed": {"path": "/", "name": "Home"},
        "Screen Viewed": {"name": "Start"},
        "Group Joined": {"plan": "gold", "group_id": "g1"},
        "Anything else": {"x": [1, {"y": None}]},
    }
    assert Event.objects.count() == 5


def test_a_utm_campaign_becomes_event_properties_and_the_source_of_the_customer(key) -> None:
    for day, name in ((3, "bing"), (2, "google"), (4, "ads")):
        campaign = {"name": "Spring", "source": name}
        call = message(
            "track", at=f"2026-03-0{day}", anonymous="a1", event="View", context={"campaign": campaign}
        )
        send(key, call)

    assert Event.objects.order_by("occurred_at")[0].properties == {
        "utm_campaign": "Spring",
        "utm_source": "google",
    }
    assert Customer.objects.get().source == "google"


LINES = [
    {"product_id": "p1", "sku": "s1", "name": "Hat", "price": 19.99, "quantity": 2},
    {"product_id": "p2", "price": "5", "category": "Socks"},
]


def test_a_completed_order_is_stored_with_its_lines_and_empties_the_cart(key) -> None:
    send(
        key,
        track("Product Added", user="c1", price=10, quantity=2, at="2026-03-01T09:00:00Z"),
        track(
            "Order Completed", user="c1", order_id=77, revenue=40, tax=3, shipping="1.98", discount=5,
            coupon="SPRING", currency="usd", products=LINES,
        ),
    )  # fmt: skip

    order = Order.objects.get()
    assert (order.order_id, order.customer.customer_id, order.status) == ("77", "c1", "paid")
    assert (str(order.total), order.discount_total, order.coupon_code) == ("44.9800", 5, "SPRING")
    assert (order.currency, order.placed_at) == ("USD", datetime(2026, 3, 1, 10, tzinfo=UTC))
    lines = OrderLine.objects.order_by("sku").values_list("sku", "name", "category", "quantity", "unit_price")
    assert [(*texts, float(n), float(price)) for *texts, n, price in lines] == [
        ("p2", "", "Socks", 1, 5),
        ("s1", "Hat", "", 2, 19.99),
    ]
    facts = order.customer.facts
    assert facts.order_count == 1
    assert str(facts.uncancelled_order_at) > str(facts.last_added_at)


def test_updates_refunds_and_cancellations_follow(key) -> None:
    for n in range(1, 6):
        send(key, track("Order Completed", user="c1", order_id=f"o{n}", total=100, products=LINES))
    later = "2026-03-02T10:00:00Z"
    refund = track("Order Refunded", user="c1", order_id="o2", total=30, at=later)
    send(
        key,
        track("Order Updated", user="c1", order_id="o1", total=80, products=LINES[:1], at=later),
        refund,
        refund,
        track(
            "Order Refunded",
            user="c1",
            order_id="o2",
            products=[{"product_id": "p2", "quantity": 2}],
            at=later,
        ),
        track("Order Refunded", user="c1", order_id="o3", at=later),
        track("Order Cancelled", user="c1", order_id="o4", at=later),
        track("Order Refunded", user="c1", order_id="o5", total=60, at=later),
        track("Order Refunded", user="c1", order_id="o5", total=60, at=later),
    )
    send(key, refund)

    assert orders() == {
        "o1": ("c1", "paid", 80, 0),
        "o2": ("c1", "paid", 100, 40),
        "o3": ("c1", "refunded", 100, 100),
        "o4": ("c1", "cancelled", 100, 0),
        "o5": ("c1", "refunded", 100, 100),
    }
    assert OrderLine.objects.filter(order__order_id="o1").count() == 1
    shop.assert_facts_are_those_of_the_records()


def test_a_refund_may_come_before_its_order(key) -> None:
    send(key, track("Order Refunded", user="c1", order_id="o1", total=30, at="2026-03-02"))
    assert not orders()

    send(key, track("Order Completed", user="c1", order_id="o1", total=100))
    assert orders() == {"o1": ("c1", "paid", 100, 30)}


def test_messages_update_an_order_of_a_file(key) -> None:
    shop.orders("o1,c1,2026-03-01,100", "o2,c1,2026-03-01,100")

    send(
        key,
        track("Order Refunded", user="c1", order_id="o1"),
        track("Order Updated", user="c1", order_id="o2", total=90),
    )

    assert orders() == {"o1": ("c1", "refunded", 100, 100), "o2": ("c1", "paid", 90, 0)}
    assert {one.placed_at.hour for one in Order.objects.all()} == {0}


def test_an_invalid_message_affects_no_other_and_can_be_tried_again(key) -> None:
    send(
        key,
        {"type": "dance", "userId": "c1"},
        "no object",
        track("", user="c1"),
        track("View", user="c1"),
        {"type": "track", "event": "View", "messageId": "x"},
        track("Order Completed", user="c1", order_id="o1", total="a lot"),
        track("View", user="c1", much="x" * 40_000),
        track("View", user="anonymous:1"),
        track("View\ud800", user="c1"),
        track("View", user="c1\x00"),
    )

    assert Event.objects.count() == 1
    assert [one.split(":")[0] for one in reasons()] == [
        "type",
        "a message is a JSON object",
        "event",
        "userId",
        reasons()[4],
        "userId",
        "event",
        "userId",
        "properties.total",
    ]
    assert "the limit is 32768" in reasons()[4]
    assert [one.message for one in RefusedMessage.objects.order_by("pk")][:2] == [
        '{"type": "dance", "userId": "c1"}',
        '"no object"',
    ]


def test_messages_of_known_bots_are_ignored_and_counted(key) -> None:
    agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
    send(
        key,
        message("page", anonymous="a1", context={"userAgent": agent}),
        message("page", anonymous="a2", context={"userAgent": "Mozilla/5.0 (CUBOT_X18) Chrome/68"}),
    )

    assert [one.customer.customer_id for one in Event.objects.all()] == ["anonymous:a2"]
    assert Source.objects.get().bots == 1


def test_a_correct_clock_is_trusted_to_the_microsecond(key) -> None:
    at, sent = "2019-05-06T07:08:09.123456Z", (datetime.now(UTC) - timedelta(seconds=3)).isoformat()

    send(key, message("page", user="c1", at=at, sentAt=sent))

    assert Event.objects.get().occurred_at == datetime.fromisoformat(at)


def test_times_are_corrected_by_the_clock_of_the_sender(key) -> None:
    late = message("page", user="c1", at="2001-01-01T12:00:00.000+00:00", sentAt="2001-01-01T12:10:00Z")
    before = datetime.now(UTC)

    send(key, late)

    ago = before - Event.objects.get().occurred_at
    assert 590 < ago.total_seconds() < 601


def test_a_message_without_an_id_is_processed_once(key) -> None:
    call = track("View", user="c1") | {"messageId": None}
    send(key, call, drain=False)
    send(key, call, track("View", user="c2") | {"messageId": None})

    assert Event.objects.count() == 2
