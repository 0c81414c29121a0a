"""Exports of Shopify become customers, orders and lines; orders find their customers by e-mail address."""

import csv
import io

import pytest

from customers.imports import csv_files
from customers.models import ConsentChange, Customer, Order, OrderLine
from tests.support import shop

pytestmark = pytest.mark.django_db

# As Shopify writes them in 2026; ids and phone numbers with the apostrophe that spreadsheets hide.
CUSTOMERS = (
    "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,Default Address Address1,"
    "Default Address Address2,Default Address City,Default Address Province Code,Default Address Country Code,"
    "Default Address Zip,Default Address Phone,Phone,Accepts SMS Marketing,Total Spent,Total Orders,Note,Tax Exempt,"
    "Tags,Birthday (customer.metafields.facts.birth_date)"
)
ORDERS = (
    "Name,Email,Financial Status,Paid at,Fulfillment Status,Fulfilled at,Accepts Marketing,Currency,Subtotal,Shipping,"
    "Taxes,Total,Discount Code,Discount Amount,Shipping Method,Created at,Lineitem quantity,Lineitem name,"
    "Lineitem price,Lineitem compare at price,Lineitem sku,Lineitem requires shipping,Lineitem taxable,"
    "Lineitem fulfillment status,Billing Name,Billing City,Billing Country,Billing Phone,Notes,Cancelled at,"
    "Refunded Amount,Vendor,Id,Phone"
)


def sheet(header: str, *rows: dict[str, str]) -> str:
    """Rows as a file of these columns, what is not given left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header.split(","), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def customer(number: str, address: str, wants: str = "no", **others: str) -> dict[str, str]:
    given = {"Customer ID": f"'{number}" if number else "", "First Name": "Zoë", "Last Name": "Müller"}
    return given | {"Email": address, "Accepts Email Marketing": wants} | others


def order(name: str, address: str, **others: str) -> dict[str, str]:
    """An order's first row, with its first line."""
    first = {
        "Financial Status": "paid",
        "Fulfillment Status": "unfulfilled",
        "Currency": "EUR",
        "Total": "49.90",
    }
    return line(name, address) | first | others


def line(name: str, address: str, **others: str) -> dict[str, str]:
    """A continuation row."""
    its = {"Name": name, "Email": address, "Created at": "2026-03-31 18:30:00 +0200"}
    its |= {"Lineitem quantity": "2", "Lineitem name": "A lamp", "Lineitem price": "24.95", "Vendor": "Lux"}
    return its | {"Lineitem sku": "lamp-1"} | others


def bring_customers(*rows: dict[str, str]) -> shop.Imported:
    return shop.import_text("shopify_customers", sheet(CUSTOMERS, *rows))


def bring_orders(*rows: dict[str, str]) -> shop.Imported:
    return shop.import_text("shopify_orders", sheet(ORDERS, *rows))


def test_a_shopify_customer_is_imported_without_unneeded_columns() -> None:
    done = bring_customers(
        customer("7210448301122", "Zoe@Example.org", "yes", Tags="vip, horeca", Note="calls often",
                 Phone="'+31612345678", **{"Default Address City": "Utrecht", "Default Address Country Code": "NL",
                 "Default Address Address1": "Dorpsstraat 1", "Default Address Zip": "'1234AB", "Total Orders": "3",
                 "Birthday (customer.metafields.facts.birth_date)": "'1990-05-02"})
    )  # fmt: skip

    assert done.counts == (1, 1, 0, 0)
    zoe = Customer.objects.get()
    assert (zoe.customer_id, zoe.email, zoe.phone) == ("7210448301122", "zoe@example.org", "+31612345678")
    assert (zoe.city, zoe.country, zoe.newsletter) == ("Utrecht", "NL", "subscribed")
    assert zoe.attributes == {
        "tags": ["vip", "horeca"],
        "Birthday (customer.metafields.facts.birth_date)": "1990-05-02",
    }


def test_older_shopify_exports_have_other_names_and_no_ids() -> None:
    header = "First Name,Last Name,Email,Accepts Email Marketing,Company,Address1,City,Country Code,Zip,Phone"
    text = sheet(
        header, {"Email": "old@example.org", "City": "Elko", "Country Code": "US", "Company": "Ranch"}
    )

    assert shop.import_text("shopify_customers", text).counts == (1, 1, 0, 0)
    old = Customer.objects.get()
    assert (old.customer_id, old.city, old.attributes) == ("old@example.org", "Elko", {"company": "Ranch"})


def test_an_order_has_several_rows_and_finds_its_customer_by_address() -> None:
    bring_customers(customer("72", "zoe@example.org"))
    rows = (
        order("#1001", "Zoe@example.org", **{"Discount Code": "SPRING", "Discount Amount": "5.00"}),
        line("#1001", "Zoe@example.org", **{"Lineitem sku": "", "Lineitem name": "Wrap", "Lineitem quantity": "1"}),
        line("#1001", "Zoe@example.org"),
        order("#1002", "", Phone="'+4930123456"),
        order("#1003", ""),
        line("#1003", ""),
    )  # fmt: skip
    done = bring_orders(*rows)

    assert (done.read, done.lines) == (6, [6, 7])
    assert done.refused[0][1].startswith("customer_id: missing")
    one = Order.objects.get(order_id="#1001")
    assert (one.customer.customer_id, one.placed_at.isoformat()) == ("72", "2026-03-31T16:30:00+00:00")
    assert (str(one.total), str(one.discount_total), one.coupon_code) == ("49.9000", "5.0000", "SPRING")
    lines = OrderLine.objects.filter(order=one).order_by("pk").values_list("sku", "quantity", "brand")
    assert [(sku, int(quantity)) for sku, quantity, _ in lines] == [
        ("lamp-1", 2),
        ("Wrap", 1),
        ("lamp-1", 2),
    ]
    assert Order.objects.get(order_id="#1002").customer.phone == "+4930123456"
    before = shop.records()
    bring_orders(*rows)
    assert shop.records() == before
    shop.assert_facts_are_those_of_the_records()


def test_orders_imported_before_their_customer_belong_to_one_customer() -> None:
    bring_orders(
        order("#1", "guest@example.org", **{"Billing Name": "Ada Mae Love", "Accepts Marketing": "yes"}),
        order("#2", "Guest@example.org"),
    )
    bring_customers(customer("99", "guest@example.org", "yes"), customer("100", "else@example.org"))
    bring_orders(order("#3", "guest@example.org"), order("#4", "else@example.org"))

    guest, other = Customer.objects.order_by("pk")
    assert (guest.customer_id, guest.first_name, guest.orders.count()) == ("guest@example.org", "Zoë", 3)
    assert (other.customer_id, other.orders.count()) == ("100", 1)


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({}, "paid"),
        ({"Fulfillment Status": "fulfilled"}, "fulfilled"),
        ({"Financial Status": "partially_refunded"}, "paid"),
        ({"Financial Status": "refunded"}, "refunded"),
        ({"Financial Status": "voided"}, "cancelled"),
        ({"Financial Status": "pending"}, "pending"),
        ({"Financial Status": "authorized"}, "pending"),
        ({"Cancelled at": "2026-04-01 10:00:00 +0200"}, "cancelled"),
    ],
)
def test_the_status_of_payment_and_delivery_becomes_the_status_of_the_order(columns, status) -> None:
    bring_orders(order("#1", "a@example.org", **columns))

    assert Order.objects.get().status == status


def test_an_unknown_status_is_rejected() -> None:
    assert (
        "status: 'teapot' is not one of"
        in bring_orders(order("#1", "a@example.org", **{"Financial Status": "teapot"})).reason
    )


def test_no_ends_a_subscription_and_is_never_for_others() -> None:
    bring_customers(customer("1", "a@example.org", "yes"), customer("2", "b@example.org", "no"))
    bring_customers(customer("1", "a@example.org", "no"), customer("2", "b@example.org", "no"))

    history = ConsentChange.objects.order_by("pk").values_list("customer__customer_id", "state")
    assert list(history) == [("1", "subscribed"), ("1", "unsubscribed")]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        *((header, name) for name, header in shop.HEADERS.items()),
        (CUSTOMERS, "shopify_customers"),
        (ORDERS, "shopify_orders"),
        ("customer_id,Email,First Name,Last Name,Accepts Marketing", "shopify_customers"),
    ],
)
def test_the_kind_of_a_file_is_recognized_by_its_header(header, name) -> None:
    found = csv_files.guess_format(header.split(","))

    assert found
    assert found.name == name


def test_an_unknown_header_is_of_no_kind() -> None:
    assert csv_files.guess_format(["a", "b"]) is None


def test_an_order_with_an_invalid_phone_number_is_kept() -> None:
    done = shop.import_text(
        "shopify_orders",
        sheet(
            ORDERS,
            order("#2001", "ext@example.com", **{"Total": "100.00", "Billing Phone": "+1 555-010-0100 ext. 12345"}),
            line("#2001", "ext@example.com", **{"Lineitem sku": "S2"}),
            order("#2002", "ok@example.com", **{"Total": "50.00", "Billing Phone": "'+15550100101"}),
            order("#2003", "na@example.com", **{"Total": "70.00", "Billing Phone": "N/A"}),
            order("#2004", "", **{"Total": "10.00", "Phone": "(555) 010-0102 x7", "Billing Country": "US"}),
            order("#2005", "", **{"Total": "20.00", "Phone": "+1 555 010 0102"}),
            order("#2006", "N/A", **{"Total": "30.00", "Phone": "N/A"}),
            order("#2007", "not an address", **{"Total": "40.00", "Phone": "+1 555 010 0103"}),
            order("#2008", "sku@example.com", **{"Discount Amount": "none", "Lineitem sku": "4.00633E+12"}),
        ),
    )  # fmt: skip

    totals = {one.order_id: int(one.total) for one in Order.objects.exclude(order_id="#2008")}
    assert totals == {"#2001": 100, "#2002": 50, "#2003": 70, "#2004": 10, "#2005": 20, "#2007": 40}
    assert done.refused == [(8, "customer_id: missing, and there is no stored record to keep it from")]
    assert [warning.split(": ")[:2] for warning in done.warnings] == [
        ["line 5", "phone"],
        ["line 9", "email"],
        ["line 10", "discount_total"],
    ]
    phones = dict(Customer.objects.values_list("customer_id", "phone"))
    assert phones == {
        "ext@example.com": "+15550100100",
        "ok@example.com": "+15550100101",
        "na@example.com": "",
        "+15550100102": "+15550100102",
        "+15550100103": "+15550100103",
        "sku@example.com": "",
    }
    assert Order.objects.get(order_id="#2008").lines.get().sku == "A lamp"


def test_a_customer_known_by_an_unnormalized_number_stays_the_same() -> None:
    shop.customers("(555) 010-0102,", header="customer_id,email")
    Customer.objects.update(
        phone="(555) 010-0102"
    )  # as it was kept before numbers were brought into one form

    shop.import_text(
        "shopify_orders", sheet(ORDERS, order("#1", "", Phone="(555) 010-0102", **{"Billing Country": "US"}))
    )

    assert Order.objects.get().customer.customer_id == "(555) 010-0102"
