"""Inputs from public bug reports about comparable systems, if they are available."""

import json
from datetime import date
from pathlib import Path

import pytest
from django.test import override_settings

from customers.models import Customer, Event, Order, RefusedMessage
from customers.tracking import inbox
from tests.support import shop
from tests.support.api_client import ApiClient
from tests.support.tracking_messages import identify, post, source

CASES = Path(__file__).parents[3] / "shared" / "cases"

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here"),
]


def import_case(kind: str, name: str) -> shop.Imported:
    return shop.import_text(kind, (CASES / name).read_bytes())


def send_case(name: str) -> str:
    _, key = source()
    assert post(key, "batch", json.loads((CASES / name).read_text(encoding="utf-8"))).status_code == 200
    inbox.drain()
    return key


def test_phone_numbers() -> None:
    assert import_case("customers", "b_phones.csv").counts == (6, 6, 0, 0)

    phones = set(Customer.objects.values_list("phone", flat=True))
    assert phones == {
        "+49301234567",
        "+49301234568",
        "+33612345678",
        "555-123-4567",
        "+493012345678",
        "+15551234567",
    }


def test_orders_of_shopify() -> None:
    done = import_case("shopify_orders", "b_shopify_orders_phone.csv")

    assert not done.refused
    assert sum(Order.objects.values_list("total", flat=True)) == 220
    assert Order.objects.count() == 3


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("e_padded_rows.csv", 1),
        ("e_padded_rows_wide.csv", 1),
        ("e_trailing_comma_one.csv", 1),
        ("e_trailing_commas.csv", 2),
    ],
)
def test_nameless_columns_and_blank_rows(name, count) -> None:
    done = import_case("customers", name)

    assert (done.counts, done.warnings) == ((count, count, 0, 0), [])
    assert Customer.objects.exclude(city="").filter(attributes={}).count() == count


def test_a_stale_sent_at() -> None:
    key = send_case("g_stale_sent_at.json")
    sent = json.loads((CASES / "g_stale_sent_at.json").read_text(encoding="utf-8"))["batch"]

    order = Order.objects.select_related("customer").get()
    assert order.placed_at.isoformat().replace("+00:00", "Z") == sent[1]["timestamp"]
    assert order.customer.email == "old@example.com"
    later = identify("gi-1", at=sent[0]["timestamp"].replace("13:40", "13:50"), email="new@example.com")
    post(key, "batch", {"batch": [later]})
    inbox.drain()
    assert Customer.objects.get().email == "new@example.com"


def test_rounded_ids() -> None:
    done = import_case("customers", "h_scientific.csv")

    assert done.lines == [2, 3]
    assert all("format the column as text" in reason for _, reason in done.refused)


def test_an_id_with_a_slash() -> None:
    send_case("h_slash_id.json")
    caller = ApiClient("members:read", "privacy")

    assert caller.get("customers/eu%2F1042/")["email"] == "slash@example.com"
    assert caller.get("customers/eu%2F1042/export/")
    caller.request("delete", "customers/eu%2F1042/", status=204)
    assert not Customer.objects.exists()


def test_a_birthday_that_is_an_instant() -> None:
    with override_settings(TIME_ZONE="Europe/Berlin"):
        send_case("i_birthday.json")

    assert Customer.objects.get().birth_date == date(1990, 5, 7)


def test_orders_with_odd_cells() -> None:
    send_case("j_orders.json")

    assert {one.order_id: str(one.total) for one in Order.objects.all()} == {"J3": "99.5000", "J9": "20.0000"}
    assert [one.reason.split(":")[0] for one in RefusedMessage.objects.order_by("pk")] == [
        "properties.products[0].price",
        "properties.tax",
    ]


def test_empty_lists_of_php() -> None:
    send_case("l_php_empty.json")

    assert sorted(Event.objects.values_list("customer__customer_id", flat=True)) == [
        "php-1",
        "php-2",
        "php-4",
    ]
    assert not RefusedMessage.objects.exists()


def test_a_header_in_other_case() -> None:
    assert import_case("customers", "o_header_case.csv").counts == (1, 1, 0, 0)

    customer = Customer.objects.get()
    assert (customer.email, customer.phone, customer.first_name) == ("hc1@example.com", "+4930123", "Lea")
    assert (customer.newsletter, customer.attributes) == ("subscribed", {})
