"""Columns of files: attributes, warnings, and times in the shop's zone."""

from datetime import UTC, datetime

import pytest

from customers.models import Customer, Order
from tests.support import shop

pytestmark = pytest.mark.django_db


def test_unknown_columns_of_customers_become_attributes_of_the_kind_they_look_like() -> None:
    values = {
        "points": ("42", 42),
        "balance": ("-3.50", -3.5),
        "share": ("0.1", 0.1),
        "zip": ("01234", "01234"),
        "tier": ("Gold", "Gold"),
        "joined": ("2026-03-15", "2026-03-15"),
        "nothing": ("2026-02-30", "2026-02-30"),
        "big": ("9007199254740993", "9007199254740993"),
        "is_vip": ("true", "true"),
        "Größe": ("ΣΊΣΥΦΟΣ", "ΣΊΣΥΦΟΣ"),
    }

    done = shop.import_rows(
        "customers", ["c1", *(cell for cell, _ in values.values())], header=",".join(["customer_id", *values])
    )

    assert not done.warnings
    ada = Customer.objects.get()
    assert ada.attributes == {name: shown for name, (_, shown) in values.items()}
    kinds = {name: value[0] for name, value in ada.attributes_comparable.items()}
    assert [kinds[f"_{name}"] for name in ("points", "balance", "share", "zip", "tier", "joined")] == list(
        "nnnttd"
    )
    assert (kinds["_nothing"], kinds["_big"], kinds["_is_vip"]) == ("t", "n", "t")


def test_unknown_columns_of_others_are_ignored_with_a_warning() -> None:
    done = shop.orders("o1,c1,2026-03-01,red", header="order_id,customer_id,placed_at,colour")

    assert done.counts == (1, 1, 0, 0)
    assert done.warnings == ["column 'colour' is unknown and was ignored"]


def test_the_order_of_columns_and_spaces_around_cells_are_ignored() -> None:
    shop.orders(" 5 , 2026-03-01 ,c1, o1 ", header=" total,placed_at ,customer_id, order_id")

    assert Order.objects.filter(order_id="o1", total=5, customer__customer_id="c1").exists()


def test_times_without_an_offset_are_in_the_shops_zone(settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"

    shop.orders(
        "o1,c1,2026-03-01T10:00:00,",
        "o2,c1,2026-07-01 10:00,",
        "o3,c1,2026-03-01T10:00:00-05:00,",
        "o4,c1,2026-07-01,",
    )

    placed = dict(Order.objects.values_list("order_id", "placed_at"))
    assert placed == {
        "o1": datetime(2026, 3, 1, 9, tzinfo=UTC),
        "o2": datetime(2026, 7, 1, 8, tzinfo=UTC),
        "o3": datetime(2026, 3, 1, 15, tzinfo=UTC),
        "o4": datetime(2026, 6, 30, 22, tzinfo=UTC),
    }


def test_orders_in_another_currency_count_as_given_and_are_named_in_a_warning() -> None:
    done = shop.orders(
        "o1,c1,2026-03-01,5,USD", "o2,c1,2026-03-01,5,EUR", "o3,c1,2026-03-01,5,usd", "o4,c1,2026-03-01,5,",
        header="order_id,customer_id,placed_at,total,currency",
    )  # fmt: skip

    assert done.warnings == [
        "2 orders are in USD, but the shop's currency is EUR; their amounts are not converted"
    ]
    assert Customer.objects.get().facts.total_spent == 200_000
