"""Files as real shops export them: differences without a meaning are ignored."""

from datetime import date

import pytest
from django.test import override_settings

from customers.imports import csv_files
from customers.models import Customer, Event, Order
from tests.support import shop

pytestmark = pytest.mark.django_db


def cities() -> dict[str, str]:
    return dict(Customer.objects.values_list("customer_id", "city"))


# -- The header


@pytest.mark.parametrize(
    "header",
    [
        "customer_id,Email,Phone,First Name,Newsletter",
        "Customer ID,E-Mail,PHONE,First-Name,newsletter",
        "CustomerId, e_mail ,phone,firstName,NEWSLETTER",
        "\ufeffcustomer\u00a0id,email\u200b,phone,first_ name,News Letter",
    ],
)
def test_columns_are_recognized_despite_case_spaces_and_hyphens(header) -> None:
    done = shop.import_text("customers", f"{header}\nhc-1,hc1@example.com,+4930123456,Lea,subscribed\n")

    assert done.counts == (1, 1, 0, 0)
    lea = Customer.objects.get(customer_id="hc-1")
    assert (lea.email, lea.phone, lea.first_name) == ("hc1@example.com", "+4930123456", "Lea")
    assert (lea.newsletter, lea.attributes) == ("subscribed", {})


def test_columns_of_other_kinds_are_recognized_likewise() -> None:
    shop.import_text("orders", "Order ID,Customer ID,Placed At,Total\no1,c1,2026-03-01,5\n")
    shop.import_text("order_lines", "Order-ID,SKU,Unit Price\no1,A,5\n")
    shop.import_text("events", "MessageID,CustomerID,Event,Occurred-At\nm1,c1,View,2026-03-01\n")

    order = Order.objects.get()
    assert (order.total, order.lines.get().unit_price) == (5, 5)
    assert Event.objects.get().name == "View"


def test_an_attribute_keeps_the_name_that_the_file_gives_it() -> None:
    shop.import_text("customers", "Customer ID,Loyalty Tier\nc1,gold\n")

    assert Customer.objects.get().attributes == {"Loyalty Tier": "gold"}


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("Customer ID,E-Mail,First Name", "customers"),
        ("customer_id,email,first_name,last_name,accepts_marketing", "customers"),
        ("customer id,EMAIL,first name,last name,accepts email marketing,tags", "shopify_customers"),
        ("order id,customer id,placed at", "orders"),
    ],
)
def test_the_kind_of_a_file_is_guessed_despite_the_case_of_its_header(header, kind) -> None:
    guessed = csv_files.guess_format(header.split(","))

    assert guessed
    assert guessed.name == kind


# -- Columns without a name, and rows without a value


@pytest.mark.parametrize(
    "text",
    [
        "customer_id,email,city,\nt-1,t1@example.com,Ulm,\nt-2,t2@example.com,Bonn,\n",
        "customer_id,email,city,,\nt-1,t1@example.com,Ulm,,\nt-2,t2@example.com,Bonn\n",
        "customer_id,email,city\nt-1,t1@example.com,Ulm,,\nt-2,t2@example.com,Bonn,\n",
        "customer_id,email,city\n,,\nt-1,t1@example.com,Ulm\n,,\n ,  ,\nt-2,t2@example.com,Bonn\n,,\n,,\n",
        ",,\n\ncustomer_id,email,city\nt-1,t1@example.com,Ulm\nt-2,t2@example.com,Bonn\n",
        "customer_id,,email,,city\nt-1,,t1@example.com,,Ulm\nt-2,,t2@example.com,,Bonn\n",
        'customer_id,email,city,,\n,,,,\nt-1,"t1@example.com","Ulm",,\nt-2,t2@example.com,Bonn,\u00a0,\n',
    ],
)
def test_empty_columns_without_a_name_and_blank_rows_are_ignored(text) -> None:
    done = shop.import_text("customers", text)

    assert done.counts == (2, 2, 0, 0)
    assert not done.warnings
    assert cities() == {"t-1": "Ulm", "t-2": "Bonn"}
    assert not any(Customer.objects.values_list("attributes", flat=True))


def test_a_padded_row_may_have_a_cell_of_several_lines() -> None:
    done = shop.import_text("customers", 'customer_id,city\nt-1,"Ulm\nEselsberg",,\nt-2,Bonn,,\n')

    assert done.counts == (2, 2, 0, 0)
    assert cities() == {"t-1": "Ulm\nEselsberg", "t-2": "Bonn"}


def test_a_value_in_a_column_without_a_name_is_rejected() -> None:
    text = "customer_id,,city\nt-1,,Ulm\nt-2,Ulm,Germany\nt-3,,Bonn,Germany\n"

    done = shop.import_text("customers", text)

    assert done.refused == [
        (3, "has a value in a column without a name; look for a stray comma, or name the column"),
        (4, "has 4 cells where the header has 3; look for a stray or missing comma or quote"),
    ]
    assert cities() == {"t-1": "Ulm"}


# -- Ids that a spreadsheet has spoilt


@pytest.mark.parametrize("spoilt", ["6.12346E+12", "6,12346E+12", "6E+12", "1.00001e+15", "-1.2E+100"])
def test_an_id_rounded_by_a_spreadsheet_is_rejected_in_every_kind(spoilt) -> None:
    shop.orders("o1,c1,2026-03-01,5")
    advice = "was rounded by a spreadsheet; format the column as text in the spreadsheet, and export the file again"

    for done, column in (
        (shop.customers(f'"{spoilt}",a@example.com'), "customer_id"),
        (shop.orders(f'"{spoilt}",c1,2026-03-01,5'), "order_id"),
        (shop.orders(f'o2,"{spoilt}",2026-03-01,5'), "customer_id"),
        (shop.lines(f'"{spoilt}",A,1'), "order_id"),
        (shop.lines(f'o1,A,1,"{spoilt}"', header="order_id,sku,quantity,line_id"), "line_id"),
        (shop.lines(f'o1,"{spoilt}",1'), "sku"),
        (shop.events(f'"{spoilt}",c1,,View,2026-03-01'), "message_id"),
        (shop.events(f'm1,,"{spoilt}",View,2026-03-01'), "anonymous_id"),
    ):
        assert done.reason == f"{column}: {spoilt!r} {advice}"
    assert cities() == {"c1": ""}


@pytest.mark.parametrize("whole", ["E+12", "6.12346E12", "12E+05x", "612346E12", "1e5", "6.1-E+12"])
def test_an_id_that_only_resembles_a_rounded_one_is_accepted(whole) -> None:
    assert shop.customers(f"{whole},a@example.com").created == 1


# -- Dates that are instants


@pytest.mark.parametrize(
    ("cell", "day"),
    [
        ("1990-05-06T22:00:00.000Z", date(1990, 5, 7)),
        ("1990-05-06T21:59:59Z", date(1990, 5, 6)),
        ("1990-05-07T00:00:00+02:00", date(1990, 5, 7)),
        ("1990-05-06T23:30:00-05:00", date(1990, 5, 7)),
        ("1990-05-07 00:00:00", date(1990, 5, 7)),
        ("1990-05-07", date(1990, 5, 7)),
    ],
)
def test_a_birth_date_that_is_an_instant_becomes_the_day_in_the_shops_zone(cell, day) -> None:
    with override_settings(TIME_ZONE="Europe/Berlin"):
        assert shop.customers(f"c1,{cell}", header="customer_id,birth_date").created == 1

    customer = Customer.objects.get()
    assert (customer.birth_date, customer.birthday) == (day, day.month * 100 + day.day)
