"""Shopify's exports of customers and orders.

An export of orders has a row for each line item; only an order's first row has the values of the order. Orders name
customers by e-mail address, not by id: an existing customer with the address is the customer; otherwise one is created
with the address as id. Columns as of 2026: help.shopify.com, "Exporting customers" and "Exporting orders".
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from customers.rows.cells import is_rounded_id, is_valid_attribute_name
from customers.rows.kinds import CUSTOMERS, ORDER_LINES, ORDERS

from .customer_lookup import (
    ExistingCustomer,
    existing_customers,
    matching_customer,
    normalized_email,
    normalized_phone,
)
from .dialects import ATTRIBUTE
from .fields import Content
from .formats import Format, KindRow, Row, column_key
from .mapped_formats import tag_list

_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (?:([+-]\d\d):?(\d\d)|UTC)")
_PAID = frozenset({"paid", "partially_refunded", ""})
_STATUSES: Mapping[str, str] = {
    "refunded": "refunded",
    "voided": "cancelled",
    "expired": "cancelled",
    **dict.fromkeys(("pending", "authorized", "partially_paid", "unpaid"), "pending"),
}


class ShopifyCustomers(Format):
    """``customers_export.csv``."""

    name = "shopify_customers"
    label = "Shopify: customers (customers_export.csv)"
    # Our field and its columns; the first one that has a value counts.
    _fields: Mapping[str, tuple[str, ...]] = {
        "customer_id": ("Customer ID",),
        "email": ("Email",),
        "phone": ("Phone", "Default Address Phone"),
        "first_name": ("First Name",),
        "last_name": ("Last Name",),
        "country": ("Default Address Country Code", "Country Code", "Default Address Country", "Country"),
        "city": ("Default Address City", "City"),
        "newsletter": ("Accepts Email Marketing", "Accepts Marketing"),
    }
    _attributes: Mapping[str, tuple[str, ...]] = {
        "tags": ("Tags",),
        "company": ("Default Address Company", "Company"),
        "province": ("Default Address Province Code", "Province Code"),
        "accepts_sms_marketing": ("Accepts SMS Marketing",),
        "tax_exempt": ("Tax Exempt",),
    }
    # Better known from orders, or not needed for segments: as little personal data as possible is stored.
    _ignored = frozenset(
        {"Total Spent", "Total Orders", "Note", "Province"}
        | {
            f"{prefix}{name}"
            for prefix in ("", "Default Address ")
            for name in ("Address1", "Address2", "Zip")
        }
    )
    columns = tuple(name for names in (*_fields.values(), *_attributes.values()) for name in names)

    def canonical_header(self, header: Sequence[str]) -> list[str]:
        """Also recognize columns that are ignored; otherwise they would become attributes."""
        ignored = {column_key(column): column for column in self._ignored}
        return [ignored.get(column_key(name), name) for name in super().canonical_header(header)]

    def missing_columns(self, header: Sequence[str]) -> list[str]:
        """Return the missing columns of address, names and consent, of which the last has two names."""
        consent = self._fields["newsletter"]
        missing = [name for name in ("Email", "First Name", "Last Name") if name not in header]
        return missing if set(consent) & set(header) else [*missing, consent[0]]

    def target_field(self, column: str) -> str:
        """Return the field of a column. Columns that Shopify does not define become attributes."""
        for name, columns in self._fields.items():
            if column in columns:
                return name
        for name, columns in self._attributes.items():
            if column in columns:
                return f"{ATTRIBUTE} {name}"
        is_own = column not in self._ignored and column not in CUSTOMERS.csv_columns
        return f"{ATTRIBUTE} {column}" if is_own and is_valid_attribute_name(column) else ""

    def translate(self, rows: Sequence[Row]) -> Iterable[Sequence[KindRow]]:
        """Return customers. One that was created by an order is found by e-mail address."""
        fields = [
            {name: _first_value(row, columns) for name, columns in self._fields.items()} for row in rows
        ]
        known = existing_customers("email", (normalized_email(row["email"]) for row in fields))
        by_id = existing_customers("customer_id", (row["customer_id"] for row in fields))
        return [
            ((CUSTOMERS, self._customer(row, of_row, known, by_id)),)
            for row, of_row in zip(rows, fields, strict=True)
        ]

    def _customer(
        self,
        row: Row,
        fields: dict[str, str],
        known: Mapping[str, ExistingCustomer],
        by_id: Mapping[str, ExistingCustomer],
    ) -> Row:
        address = normalized_email(fields["email"])
        there = matching_customer(fields["customer_id"], address, by_id, known)
        if there:
            fields["customer_id"] = there.customer_id
        fields["customer_id"] = fields["customer_id"] or address or normalized_phone(fields)
        # Customers who were never asked also have “no”, so it only ends a subscription.
        wants = fields["newsletter"].lower() == "yes"
        ended = "unsubscribed" if there and there.is_subscribed else ""
        fields["newsletter"] = "subscribed" if wants else ended
        attributes = {name: _first_value(row, columns) for name, columns in self._attributes.items()}
        attributes["tags"] = tag_list(attributes["tags"])
        own = {
            name: _strip_apostrophe(value)
            for name, value in row.items()
            if name not in self.columns and self.target_field(name)
        }
        return own | attributes | fields


class ShopifyOrders(Format):
    """``orders_export.csv``."""

    name = "shopify_orders"
    label = "Shopify: orders (orders_export.csv)"
    _order: Mapping[str, str] = {
        "Name": "order_id",
        "Created at": "placed_at",
        "Total": "total",
        "Discount Amount": "discount_total",
        "Refunded Amount": "refunded_total",
        "Currency": "currency",
        "Discount Code": "coupon_code",
    }
    _line: Mapping[str, str] = {
        "Lineitem sku": "sku",
        "Lineitem name": "name",
        "Lineitem quantity": "quantity",
        "Lineitem price": "unit_price",
        "Vendor": "brand",
    }
    _others: Mapping[str, str] = {
        "Financial Status": "status",
        "Fulfillment Status": "status",
        "Cancelled at": "status",
        "Email": "customer",
        "Phone": "customer",
        "Billing Phone": "customer",
        "Billing Name": "customer’s name",
        "Billing City": "customer’s city",
        "Billing Country": "customer’s country",
        "Accepts Marketing": "customer’s newsletter",
    }
    # Only an order's first row has these values.
    _of_the_order = ("Financial Status", "Subtotal", "Total", "Currency")
    columns = (*_order, *_line, *_others)
    contents = {
        "Created at": Content.MOMENT,
        **dict.fromkeys(
            ("Total", "Discount Amount", "Refunded Amount", "Lineitem quantity", "Lineitem price"),
            Content.AMOUNT,
        ),
    }

    def missing_columns(self, header: Sequence[str]) -> list[str]:
        needed = ("Name", "Email", "Financial Status", "Total", "Created at", "Lineitem name")
        return [name for name in needed if name not in header]

    def target_field(self, column: str) -> str:
        if column in self._line:
            return f"line’s {self._line[column]}"
        return self._order.get(column) or self._others.get(column, "")

    def translate(self, rows: Sequence[Row]) -> Iterable[Sequence[KindRow]]:
        """Return orders, their lines, and their customers if the address is new."""
        known = existing_customers("email", (normalized_email(row.get("Email", "")) for row in rows))
        nameless = [row for row in rows if not normalized_email(row.get("Email", ""))]
        # Older customers may have the number as it was written, not in the normalized form.
        known |= existing_customers("phone", (_raw_phone(row) for row in nameless))
        known |= existing_customers("phone", map(_order_phone, nameless))
        return [list(self._parts(row, known)) for row in rows]

    def _parts(self, row: Row, known: dict[str, ExistingCustomer]) -> Iterable[KindRow]:
        if any(row.get(name) for name in self._of_the_order):
            address, phone = normalized_email(row.get("Email", "")), _order_phone(row)
            key = address or (written if (written := _raw_phone(row)) in known else phone)
            if key and key not in known:
                yield CUSTOMERS, self._guest(row, key)
                known[key] = ExistingCustomer(key, False)
            order = {name: row.get(column, "") for column, name in self._order.items()}
            order["customer_id"] = known[key].customer_id if key else ""
            order["placed_at"] = _iso_time(order["placed_at"])
            yield ORDERS, order | {"status": _order_status(row)}
        line = {name: row.get(column, "") for column, name in self._line.items()}
        if is_rounded_id(line["sku"]):
            line["sku"] = ""
        if line["sku"] or line["name"]:
            # Lines are identified by their sku, which many shops do not use.
            yield (
                ORDER_LINES,
                line | {"order_id": row.get("Name", ""), "sku": line["sku"] or line["name"][:255]},
            )

    def _guest(self, row: Row, key: str) -> Row:
        first, _, last = row.get("Billing Name", "").rpartition(" ")
        return {
            "customer_id": key,
            "email": row.get("Email", ""),
            "phone": _raw_phone(row),
            "first_name": first,
            "last_name": last,
            "city": row.get("Billing City", ""),
            "country": row.get("Billing Country", ""),
            "newsletter": "subscribed" if row.get("Accepts Marketing", "").lower() == "yes" else "",
        }


def _first_value(row: Row, columns: Iterable[str]) -> str:
    return next((value for column in columns if (value := _strip_apostrophe(row.get(column, "")))), "")


def _strip_apostrophe(value: str) -> str:
    """Remove the apostrophe that keeps spreadsheets from reading an id or a phone number as a number."""
    return value.removeprefix("'").strip()


def _raw_phone(row: Row) -> str:
    return _first_value(row, ("Phone", "Billing Phone"))


def _order_phone(row: Row) -> str:
    return normalized_phone({"phone": _raw_phone(row), "country": row.get("Billing Country", "")})


def _iso_time(time: str) -> str:
    match = _TIME.fullmatch(time)
    if match is None:
        return time  # parsing the row reports the error
    day, clock, hours, minutes = match.groups()
    return f"{day}T{clock}{hours or '+00'}:{minutes or '00'}"


def _order_status(row: Row) -> str:
    financial = row.get("Financial Status", "").lower()
    if row.get("Cancelled at"):
        return "cancelled"
    if financial in _PAID:
        return "fulfilled" if row.get("Fulfillment Status", "").lower() == "fulfilled" else "paid"
    return _STATUSES.get(financial, financial)
