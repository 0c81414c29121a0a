"""Invalid cells are rejected or skipped, with their line and what to change; unusual ones are accepted."""

import json

import pytest

from customers.models import Customer, Event, Order, OrderLine
from tests.support import shop

pytestmark = pytest.mark.django_db


def bad_order(column: str, cell: str) -> str:
    """Import an order with a bad cell between two good ones, and give why it was refused."""
    row = {"order_id": "bad", "customer_id": "c1", "placed_at": "2026-03-01", column: cell}
    good = [{**row, "order_id": name, column: ""} for name in ("o1", "o2")]
    if column == "placed_at":
        good = [{**one, column: "2026-03-01"} for one in good]
    done = shop.import_rows(
        "orders", *([*one.values()] for one in (good[0], row, good[1])), header=",".join(row)
    )
    assert done.lines == [3]
    assert sorted(Order.objects.values_list("order_id", flat=True)) == ["o1", "o2"]
    return done.reason


# -- Cells


@pytest.mark.parametrize(
    "cell", ["12,50", "1e5", "NaN", "∞", "1,234.50", "$5", "--5", "0x10", ".5", "5.", "٣", "1_000"]
)
def test_an_amount_that_is_not_a_number_is_rejected(cell) -> None:
    assert bad_order("total", cell) == (
        f"total: {cell!r} is not an amount: write digits with a point and up to four decimals, such as 1234.50"
    )


@pytest.mark.parametrize("cell", ["0.00001", "1234567890123", "9" * 400])
def test_an_amount_with_too_many_digits_is_rejected(cell) -> None:
    assert bad_order("total", cell).startswith("total: ")


@pytest.mark.parametrize(
    "cell",
    [
        "yesterday",
        "31.03.2026",
        "2026-02-30",
        "2026-03-01 25:00",
        "1767225600",
        "2026-03-01T10:00:00 Berlin",
        "0000-00-00",
    ],
)
def test_an_invalid_time_is_rejected(cell) -> None:
    assert bad_order("placed_at", cell) == (
        f"placed_at: {cell!r} is not a time; write it as 2026-03-31 or 2026-03-31T18:30:00+02:00"
    )


@pytest.mark.parametrize("cell", ["0001-01-01", "1899-12-31", "3000-01-01", "9999-12-31T23:59:59-12:00"])
def test_a_time_out_of_range_is_rejected(cell) -> None:
    assert bad_order("placed_at", cell) == f"placed_at: {cell!r} is not between the years 1900 and 2999"


@pytest.mark.parametrize("status", ["payed", "completed", "?"])
def test_an_unknown_order_status_is_rejected(status) -> None:
    assert bad_order("status", status) == (
        f"status: {status!r} is not one of cancelled, fulfilled, paid, pending, refunded"
    )


# -- Optional cells


def left_out(kind: str, column: str, cell: str, *beside: str) -> str:
    """Import a row with an odd optional cell between two good ones, and give why the cell was left out."""
    names = {"customers": "customer_id", "orders": "order_id,customer_id,placed_at,total"}[kind]
    rows = [[name, *beside, value] for name, value in (("o1", ""), ("odd", cell), ("o2", ""))]

    done = shop.import_rows(kind, *rows, header=f"{names},{column}")

    assert done.counts == (3, 3, 0, 0)
    [warning] = done.warnings
    prefix, suffix = "line 3: ", " (the rest was kept)"
    assert warning.startswith(prefix)
    assert warning.endswith(suffix)
    return warning.removeprefix(prefix).removesuffix(suffix)


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("currency", "Euro", "currency: 'EURO' is not a three-letter currency code such as EUR"),
        ("coupon_code", "x" * 256, "coupon_code: longer than 255 characters"),
        ("coupon_code", "a\x00b", "coupon_code: contains a NUL character"),
        ("discount_total", "n/a", "discount_total: 'n/a' is not an amount"),
        ("refunded_total", "$5", "refunded_total: '$5' is not an amount"),
        ("discount_total", "1.234,50", "discount_total: '1.234,50' is not an amount"),
    ],
)
def test_an_invalid_optional_cell_of_an_order_is_skipped(column, cell, reason) -> None:
    assert left_out("orders", column, cell, "c1", "2026-03-01", "5").startswith(reason)
    assert {str(total) for total in Order.objects.values_list("total", flat=True)} == {"5.0000"}


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("email", "ada", "email: 'ada' is not an e-mail address"),
        ("email", "a@b@c", "email: 'a@b@c' is not an e-mail address"),
        ("email", "a b@example.org", "email: 'a b@example.org' is no"),
        ("email", "a\x00@example.org", "email: "),
        ("email", "a@" + "İ" * 189, "email: "),
        ("phone", "call me", "phone: 'call me' is not a phone number; write it as +49 30 123456"),
        ("phone", "N/A", "phone: 'N/A' is not a phone number"),
        ("phone", "1" * 41, "phone: "),
        ("newsletter", "maybe", "newsletter: 'maybe' is not one of "),
        ("birth_date", "10.12.1915", "birth_date: '10.12.1915' is not a date; write it as 2026-03-31"),
        ("birth_date", "2026-02-29", "birth_date: '2026-02-29' is not a date"),
        ("subscribed_at", "soon", "subscribed_at: 'soon' is not a time"),
        ("first_name", "x" * 256, "first_name: longer than 255 characters"),
        ("city", "a\x00b", "city: contains a NUL character"),
        ("tier", "a\x00b", "tier: contains a NUL character"),
        ("tier: a", "x" * 1001, "tier: a: longer than 1000 characters"),
    ],
)
def test_an_invalid_optional_cell_of_a_customer_is_skipped(column, cell, reason) -> None:
    assert left_out("customers", column, cell).startswith(reason)
    assert Customer.objects.filter(email="", phone="", attributes={}).count() == 3


def test_several_invalid_cells_of_a_row_are_skipped_one_by_one() -> None:
    done = shop.customers(
        "c1,Lea,perhaps,N/A,2026-02-30,Ulm", header="customer_id,first_name,newsletter,phone,birth_date,city"
    )

    assert [warning.split(": ")[1] for warning in done.warnings] == ["birth_date", "newsletter", "phone"]
    assert Customer.objects.values_list("first_name", "city", "newsletter").get() == ("Lea", "Ulm", "never")


def test_an_invalid_quantity_of_a_line_is_skipped() -> None:
    shop.orders("o1,c1,2026-03-01,5")

    done = shop.lines("o1,A,2 pcs,$5", header="order_id,sku,quantity,unit_price")

    assert (done.created, len(done.warnings)) == (1, 2)
    assert OrderLine.objects.get().quantity == 1


def test_an_invalid_cell_sent_again_changes_no_stored_value() -> None:
    shop.customers("c1,a@example.org,+49 30 123456", header="customer_id,email,phone")

    shop.customers("c1,nobody,N/A", header="customer_id,email,phone")

    assert Customer.objects.values_list("email", "phone").get() == ("a@example.org", "+4930123456")


def test_the_first_hundred_invalid_cells_are_listed_and_the_others_counted() -> None:
    done = shop.customers(*(f"c{n},nobody" for n in range(2_105)))

    assert done.created == 2_105
    assert len(done.warnings) == 101
    assert done.warnings[99:] == [
        "line 101: email: 'nobody' is not an e-mail address (the rest was kept)",
        "2,005 more invalid values were left out",
    ]


@pytest.mark.parametrize(
    ("cell", "phone"),
    [
        ("+49 30 1234567", "+49301234567"),
        ("\u202a+49 30 1234568\u202c", "+49301234568"),
        ("+33\u00a06\u00a012\u00a034\u00a056\u00a078", "+33612345678"),
        ("555-123-4567 x12", "555-123-4567"),
        ("+1 555-010-0100 ext. 12345", "+15550100100"),
        ("+1 555-010-0100 EXT 7", "+15550100100"),
        ("+44 20 7946 0018;ext=5", "+442079460018"),
        ("+49 30 1234\u20115678", "+493012345678"),
        ("+1\ufe0e-555-123-4567", "+15551234567"),
        ("\ufeff+49\u200b30\u00ad1234567", "+49301234567"),
        ("+49 (0)30 1234567", "+49301234567"),
        ("tel:+49-30-1234567", "+49301234567"),
        ("+49 30 123456789012345", "+49 30 123456789012345"),
    ],
)
def test_a_phone_number_is_normalized_to_the_international_form(cell, phone) -> None:
    assert shop.customers(f"c1,{cell}", header="customer_id,phone").counts == (1, 1, 0, 0)
    assert Customer.objects.get().phone == phone


def test_a_phone_number_of_a_known_country_gets_its_code() -> None:
    shop.customers("c1,030 1234567,DE", "c2,(555) 123-4567 x12,us", "c3,030 1234567,Germany",
                   header="customer_id,phone,country")  # fmt: skip

    phones = dict(Customer.objects.values_list("customer_id", "phone"))
    assert phones == {"c1": "+49301234567", "c2": "+15551234567", "c3": "030 1234567"}


@pytest.mark.parametrize(
    ("cell", "total"),
    [
        ("\u22125", "-5.0000"),
        ("1\u00a0234.50", "1234.5000"),
        ("1\u202f234\u202f567", "1234567.0000"),
        ("\u200e99.50\u200f", "99.5000"),
    ],
)
def test_an_amount_is_cleaned(cell, total) -> None:
    assert shop.orders(f"o1,c1,2026-03-01,{cell}").created == 1
    assert str(Order.objects.get().total) == total


def test_words_times_and_currencies_are_normalized() -> None:
    header = "order_id,customer_id,placed_at,status,currency"
    done = shop.orders("o1,c1,\u200e2026\u201103\u201101\u200e,Paid ,\u00a0eur", header=header)

    assert done.counts == (1, 1, 0, 0)
    order = Order.objects.get()
    assert (str(order.placed_at)[:10], order.status, order.currency) == ("2026-03-01", "paid", "EUR")


@pytest.mark.parametrize("kind", ["customers", "orders", "order_lines", "events"])
@pytest.mark.parametrize(
    ("cell", "reason"), [("", "missing"), ("x" * 256, "longer than 255"), ("a\x00", "contains a NUL")]
)
def test_a_row_needs_a_valid_id(kind, cell, reason) -> None:
    header = shop.HEADERS[kind].split(",")

    done = shop.import_rows(kind, [cell, *[""] * (len(header) - 2), "x"])

    assert done.lines == [2]
    assert done.reason.startswith(f"{header[0]}: {reason}")


def test_a_new_order_or_event_needs_the_required_columns() -> None:
    done = shop.orders("o1,,2026-03-01,5", "o2,c1,,5", "o2,c1,,6")
    assert done.refused == [
        (2, "customer_id: missing, and there is no stored record to keep it from"),
        (3, "placed_at: missing, and there is no stored record to keep it from"),
        (4, "placed_at: missing, and there is no stored record to keep it from"),
    ]

    done = shop.events("m1,c1,,,2026-03-01", "m2,c1,,View,")
    assert [reason.split(":")[0] for _, reason in done.refused] == ["event", "occurred_at"]
    assert not Customer.objects.exists()


# -- JSON


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ("[1]", 'properties: expected a JSON object, such as {"price": 9.5}'),
        ("42", "properties: expected a JSON object"),
        ("{price: 1}", "properties: not valid JSON"),
        ('{"a": 1', "properties: not valid JSON"),
        ('{"a": NaN}', "properties: not valid JSON (the number NaN is out of range)"),
        ('{"a": -Infinity}', "properties: not valid JSON (the number -Infinity is out of range)"),
        ('{"a": 1e999}', "properties: not valid JSON (the number 1e999 is out of range)"),
        ('{"a": 1e-99999999999999999999}', "properties: not valid JSON"),
        ('{"a": ' + "9" * 5000 + "}", "properties: not valid JSON (the number 99999999999999999999 is out of range)"),
        ('{"a": "b\x00"}', "properties: not valid JSON"),
        ('{"a": "b\\u0000"}', "properties: contains an invalid character"),
        ('{"a\\\\\\u0000": 1}', "properties: contains an invalid character"),
        ('{"a": "\\ud800"}', "properties: contains an invalid character"),
        ('{"a": {"b": ["\\udc00\\ud800"]}}', "properties: contains an invalid character"),
        ('{"a": ' * 1500 + "1" + "}" * 1500, "properties: not valid JSON"),
        ('{"a": ' + "[" * 30_000 + "]" * 30_000 + "}", "properties: not valid JSON"),
        ('{"a": "' + "x" * 65_536 + '"}', "properties: longer than 65536 characters"),
    ],
    ids=range(17),
)  # fmt: skip
def test_properties_that_are_not_a_json_object_are_rejected(properties, reason) -> None:
    done = shop.import_rows(
        "events",
        ["m1", "c1", "", "View", "2026-03-01", ""],
        ["bad", "c1", "", "View", "2026-03-01", properties],
        ["m2", "c1", "", "View", "2026-03-01", "{}"],
    )

    assert done.lines == [3]
    assert done.reason.startswith(reason)
    assert sorted(Event.objects.values_list("message_id", flat=True)) == ["m1", "m2"]


def test_any_json_object_is_accepted() -> None:
    names = ("price", "quantity", "sku", "products", "", "a.b", "$", "0", "Größe", "_ %")
    values = (
        *("1e15", "-1e-300", "0.1", "12345678901234567890123456789.000000000000000001", "true", "null"),
        *('"\\\\u0000"', '"\\ud83d\\ude00"', '"\\u00e9"', '{"b": {"c": []}}', '["x", 1, null]', '""'),
    )
    sent = [f'{{"{name}": {value}, "price": 2}}' for name in names for value in values]

    done = shop.import_rows(
        "events", *([f"m{n}", "c1", "", "View", "2026-03-01", text] for n, text in enumerate(sent))
    )

    assert not done.refused
    stored = dict(Event.objects.values_list("message_id", "properties"))
    assert [stored[f"m{n}"] for n in range(len(sent))] == [json.loads(text) for text in sent]
    shop.assert_facts_are_those_of_the_records()


def test_a_number_too_large_for_an_amount_is_accepted_without_a_value() -> None:
    assert shop.event_with('{"price": 1e300, "quantity": 1e300}').created == 1
    assert Event.objects.get().product_value is None


@pytest.mark.parametrize("number", ["1.7976931348623157e308", "-1.7976931348623157e308", "5e-324"])
def test_every_number_that_a_double_can_hold_is_accepted(number) -> None:
    assert shop.event_with(f'{{"a": {number}, "b": {{"c": [{number}]}}, "price": {number}}}').created == 1
    assert float(Event.objects.get().properties["a"]) == float(number)


@pytest.mark.parametrize("number", ["1.8e308", "1e309", "-1e309"])
def test_a_number_beyond_a_double_is_rejected(number) -> None:
    assert "is out of range" in shop.event_with(f'{{"a": {{"b": {number}}}}}').reason


@pytest.mark.parametrize("depth", [100, 400, 900, 950, 980])
def test_deeply_nested_json_is_accepted_or_rejected(depth) -> None:
    done = shop.event_with('{"a": ' * depth + '"\\u00e9"' + "}" * depth)

    assert done.read == done.created + len(done.refused) == 1


# -- What looks bad and is not


def test_negative_amounts_and_phone_numbers_with_a_plus_are_accepted() -> None:
    assert not shop.customers("c1,+49 30 123456", "c2,+1 (555) 010-9999", header="customer_id,phone").refused
    assert not shop.orders("o1,c1,2026-03-01,-19.99", "o2,c1,2026-03-01,+5").refused
    assert not shop.lines("o1,A-1,-2").refused

    assert Customer.objects.get(customer_id="c1").facts.total_spent == -149_900
    assert OrderLine.objects.get().quantity == -2


def test_text_that_resembles_sql_or_a_formula_is_stored_as_text() -> None:
    names = ["Robert'); DROP TABLE customers_customer;--", "=1+1", "100%s", "{}", "\\N", "a\tb", "😀"]

    done = shop.import_rows(
        "customers", *([name, name, name] for name in names), header="customer_id,first_name,a'b\"; --%s"
    )

    assert done.created == len(names)
    assert sorted(Customer.objects.values_list("first_name", flat=True)) == sorted(names)
    assert shop.import_rows("customers", *([name, name, name] for name in names),
                            header="customer_id,first_name,a'b\"; --%s").updated == len(names)  # fmt: skip
