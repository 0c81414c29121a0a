"""CSV files of the four kinds: what is stored, what a repeated row changes, and who owns the records."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from customers.models import COUNTING_STATUSES, Customer, Event, Order, OrderLine
from tests.support import shop

pytestmark = [pytest.mark.django_db, pytest.mark.distributed_keys]

TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


# -- Each kind


def test_a_customer_is_stored_as_the_row_says() -> None:
    done = shop.import_rows(
        "customers",
        "c1,Ada@Example.org,+44 20 7946 0000,Ada,Lovelace,GB,London,en,1815-12-10,subscribed,"
        "2026-03-01T10:00:00Z,2026-02-01T00:00:00+01:00,friend",
    )

    assert done.counts == (1, 1, 0, 0)
    assert done.warnings == [
        "line 2: birth_date: '1815-12-10' is not between the years 1900 and 2999 (the rest was kept)"
    ]

    done = shop.import_rows(
        "customers",
        "c1,Ada@Example.org,+44 20 7946 0000,Ada,Lovelace,GB,London,en,1915-12-10,subscribed,"
        "2026-03-01T10:00:00Z,2026-02-01T00:00:00+01:00,friend",
    )

    assert done.counts == (1, 0, 1, 0)
    ada = Customer.objects.get()
    assert (ada.customer_id, ada.email, ada.phone) == ("c1", "ada@example.org", "+442079460000")
    assert (ada.first_name, ada.last_name) == ("Ada", "Lovelace")
    assert (ada.country, ada.city, ada.language, ada.source) == ("GB", "London", "en", "friend")
    assert (ada.birth_date, ada.newsletter, ada.subscribed_at) == (date(1915, 12, 10), "subscribed", TEN)
    assert ada.first_seen == datetime(2026, 1, 31, 23, tzinfo=UTC)


def test_an_order_is_stored_as_the_row_says() -> None:
    done = shop.import_rows("orders", "o1,c1,2026-03-01T10:00:00Z,fulfilled,99.9999,-0.5,3,eur,SPRING")

    assert done.counts == (1, 1, 0, 0)
    order = Order.objects.get()
    assert (order.order_id, order.customer.customer_id, order.placed_at) == ("o1", "c1", TEN)
    assert (order.status, order.currency, order.coupon_code) == ("fulfilled", "EUR", "SPRING")
    assert (order.total, order.discount_total, order.refunded_total) == (
        Decimal("99.9999"),
        Decimal("-0.5"),
        Decimal(3),
    )


def test_an_order_without_status_and_amounts_is_paid_with_amounts_of_zero() -> None:
    shop.orders("o1,c1,2026-03-01", header="order_id,customer_id,placed_at")

    order = Order.objects.get()
    assert order.status in COUNTING_STATUSES
    assert order.status == "paid"
    assert (order.total, order.discount_total, order.refunded_total) == (0, 0, 0)
    assert order.currency == "EUR"


def test_a_line_is_stored_as_the_row_says() -> None:
    shop.orders("o1,c1,2026-03-01,5")

    done = shop.import_rows(
        "order_lines", ["o1", "A-1", 'Scarf, "long"\nand warm', "Wool", "Acme", "-2", "19.5", ""]
    )

    assert done.counts == (1, 1, 0, 0)
    line = OrderLine.objects.get()
    assert (line.order.order_id, line.customer.customer_id) == ("o1", "c1")
    assert (line.sku, line.name, line.category, line.brand) == (
        "A-1",
        'Scarf, "long"\nand warm',
        "Wool",
        "Acme",
    )
    assert (line.quantity, line.unit_price) == (Decimal(-2), Decimal("19.5"))


def test_a_line_without_a_quantity_counts_as_one() -> None:
    shop.orders("o1,c1,2026-03-01,5")

    shop.lines("o1,A-1,")

    assert OrderLine.objects.get().quantity == 1


def test_an_event_is_stored_as_the_row_says() -> None:
    done = shop.event_with('{"sku": "A-1", "price": "9.5", "quantity": 3, "note": null}')

    assert done.counts == (1, 1, 0, 0)
    event = Event.objects.get()
    assert (event.message_id, event.customer.customer_id, event.name) == ("m1", "c1", "Product Viewed")
    assert event.occurred_at == TEN
    assert event.properties == {"sku": "A-1", "price": "9.5", "quantity": 3, "note": None}
    assert event.product_value == Decimal("28.5")


def test_an_order_completed_event_in_a_file_creates_no_order() -> None:
    shop.events("m1,c1,,Order Completed,2026-03-01")

    assert not Order.objects.exists()


# -- A row sent again


def test_a_customer_sent_again_is_updated_and_an_empty_cell_changes_nothing() -> None:
    header = "customer_id,email,first_name,country,newsletter,tier"
    shop.customers("c1,a@example.org,Ada,GB,subscribed,gold", header=header)

    done = shop.customers("c1,,Augusta,,unsubscribed,", header=header)

    assert done.counts == (1, 0, 1, 0)
    ada = Customer.objects.get()
    assert (ada.email, ada.first_name, ada.country) == ("a@example.org", "Augusta", "GB")
    assert (ada.newsletter, ada.attributes) == ("unsubscribed", {"tier": "gold"})


def test_an_order_sent_again_is_updated_and_an_empty_cell_changes_nothing() -> None:
    header = "order_id,customer_id,placed_at,status,total,coupon_code"
    shop.orders("o1,c1,2026-03-01T10:00:00Z,pending,20,SPRING", header=header)

    done = shop.orders("o1,,,paid,,", header=header)

    assert done.counts == (1, 0, 1, 0)
    order = Order.objects.get()
    assert (order.customer.customer_id, order.placed_at) == ("c1", TEN)
    assert (order.status, order.total, order.coupon_code) == ("paid", 20, "SPRING")
    assert order.customer.facts.order_count == 1


def test_an_event_sent_again_is_updated_and_an_empty_cell_changes_nothing() -> None:
    header = shop.HEADERS["events"]
    shop.import_rows(
        "events", ["m1", "c1", "", "View", "2026-03-01", '{"products": [{"sku": "x"}]}'], header=header
    )

    shop.import_rows("events", ["m1", "", "", "Look", "", ""], header=header)
    event = Event.objects.get()
    assert (event.name, event.customer.customer_id) == ("Look", "c1")
    assert event.properties == {"products": [{"sku": "x"}]}
    assert [product.sku_folded for product in event.products.all()] == ["x"]

    shop.import_rows("events", ["m1", "", "", "", "", '{"products": [{"sku": "y"}]}'], header=header)
    assert [product.sku_folded for product in Event.objects.get().products.all()] == ["y"]


@pytest.mark.parametrize("files", [1, 2])
def test_properties_sent_again_replace_everything_derived_from_the_old_ones(files) -> None:
    priced = [
        "m1",
        "c1",
        "",
        "Product Added",
        "2026-03-01",
        '{"price": 5, "sku": "x", "products": [{"sku": "y"}]}',
    ]
    unpriced = ["m1", "c1", "", "Product Added", "2026-03-01", '{"name": "Scarf"}']

    if files == 2:
        shop.import_rows("events", priced)
        shop.import_rows("events", unpriced)
    else:
        shop.import_rows("events", priced, unpriced)

    event = Event.objects.get()
    assert event.properties == {"name": "Scarf"}
    assert (event.product_value, event.sku_folded, event.name_folded) == (None, "", "scarf")
    assert not event.products.exists()
    assert event.customer.facts.cart_value == 0


def test_sending_fewer_lines_removes_none() -> None:
    shop.orders("o1,c1,2026-03-01,5")
    shop.lines("o1,A-1,1", "o1,A-1,2", "o1,B-2,3")

    done = shop.lines("o1,A-1,7")

    assert done.counts == (1, 0, 1, 0)
    assert sorted(OrderLine.objects.values_list("sku", "quantity")) == [("A-1", 2), ("A-1", 7), ("B-2", 3)]


def test_a_line_with_an_id_is_identified_by_it() -> None:
    shop.orders("o1,c1,2026-03-01,5", "o2,c1,2026-03-01,5")
    header = "order_id,line_id,sku,quantity"
    shop.lines("o1,1,A-1,1", "o1,2,A-1,2", "o2,1,A-1,3", header=header)

    done = shop.lines("o1,2,B-2,9", "o1,3,A-1,4", header=header)

    assert done.counts == (2, 1, 1, 0)
    stored = OrderLine.objects.values_list("order__order_id", "sku", "quantity")
    assert sorted(stored) == [("o1", "A-1", 1), ("o1", "A-1", 4), ("o1", "B-2", 9), ("o2", "A-1", 3)]


def test_repeated_lines_without_an_id_are_separate_lines() -> None:
    shop.orders("o1,c1,2026-03-01,5")

    shop.lines("o1,A-1,1", "o1,A-1,1", "o1,,1", "o1,,1")
    shop.lines("o1,,1", "o1,A-1,1", "o1,,1", "o1,A-1,1")

    assert sorted(OrderLine.objects.values_list("sku", flat=True)) == ["", "", "A-1", "A-1"]


def test_of_rows_with_the_same_id_the_later_one_wins_where_it_has_a_value() -> None:
    done = shop.customers("c1,a@example.org,gold,", "c1,,silver,7", header="customer_id,email,tier,points")
    assert done.counts == (2, 1, 1, 0)
    ada = Customer.objects.get()
    assert (ada.email, ada.attributes) == ("a@example.org", {"tier": "silver", "points": 7})

    done = shop.orders("o1,c1,2026-03-01,5", "o1,c2,,", "o1,,,7")
    assert done.counts == (3, 1, 2, 0)
    order = Order.objects.get()
    assert (order.customer.customer_id, order.total) == ("c2", 7)
    assert Customer.objects.filter(customer_id="c1", facts__order_count=0).exists()


# -- Whose records they are


def test_a_line_of_an_unknown_order_is_rejected() -> None:
    shop.orders("o1,c1,2026-03-01,5")

    done = shop.lines("o2,A-1,1", "o1,A-1,1", "o3,A-1,1")

    assert done.counts == (3, 1, 0, 2)
    assert done.refused[0] == (2, "order_id: there is no order 'o2'; import the orders first")
    assert done.lines == [2, 4]


def test_an_order_or_event_of_an_unknown_customer_creates_that_customer() -> None:
    shop.orders("o1,c1,2026-03-01,5")
    shop.events("m1,c2,,View,2026-03-01", "m2,,a3,View,2026-03-01")

    assert sorted(Customer.objects.values_list("customer_id", flat=True)) == ["anonymous:a3", "c1", "c2"]
    shop.assert_facts_are_those_of_the_records()


def test_an_event_needs_an_owner() -> None:
    done = shop.events("m1,,,View,2026-03-01")

    assert done.counts == (1, 0, 0, 1)
    assert done.reason == "customer_id: missing, and so is anonymous_id; one of them says whose event it is"


def test_an_order_sent_again_under_another_customer_moves_with_its_lines() -> None:
    shop.orders("o1,c1,2026-03-01,5", "o2,c1,2026-03-02,7")
    shop.lines("o1,A-1,1", "o1,B-2,1", "o2,A-1,1")

    shop.orders("o1,c2,,")

    moved = Order.objects.get(order_id="o1")
    assert moved.customer.customer_id == "c2"
    assert moved.total == 5
    assert {line.customer_id for line in moved.lines.all()} == {moved.customer_id}
    assert [c.facts.order_count for c in Customer.objects.order_by("customer_id")] == [1, 1]
    shop.assert_facts_are_those_of_the_records()
