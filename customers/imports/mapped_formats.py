"""Formats of files that are not ours: contacts, who need no id, and orders with their lines and customers.

Their columns are fields that staff or a known export map columns to.
"""

from collections.abc import Iterable, Mapping, Sequence

from core.values import decimals, sortable_values
from customers.rows.cells import CONSENT_WORDS, is_rounded_id
from customers.rows.kinds import CUSTOMERS, ORDER_LINES, ORDERS

from .customer_lookup import (
    ExistingCustomer,
    existing_customers,
    matching_customer,
    normalized_email,
    normalized_phone,
)
from .dialects import ATTRIBUTE
from .formats import Format, KindRow, PlainFormat, Row
from .notations import split_full_name, split_last_first_name

_SUBSCRIBED, _UNSUBSCRIBED = "subscribed", "unsubscribed"
_OWNERS = ("customer_id", "email", "phone")
_NO_CUSTOMER = frozenset({"", "0"})  # shop systems write 0 for guests


class Contacts(Format):
    """Customers who are known by an id, an e-mail address or a phone number.

    One without an id is the customer with the address, who may be in a row above; otherwise the address becomes the id.
    """

    name = "contacts"
    is_mapped = True
    label = "Contacts: customers by e-mail address"
    _own = ("full_name", "last_first_name", "accepts_newsletter", "confirmed_at", "unsubscribed_at", "tags")
    columns = (*CUSTOMERS.csv_columns, *_own)

    def missing_columns(self, header: Sequence[str]) -> list[str]:
        return [] if set(_OWNERS) & set(header) else [" or ".join(_OWNERS)]

    def target_field(self, column: str) -> str:
        if column == "tags":
            return f"{ATTRIBUTE} {column}"
        return column if column in self.columns or not column else f"{ATTRIBUTE} {column}"

    def check_columns(self, header: Sequence[str]) -> list[str]:
        return PlainFormat(CUSTOMERS, self.label).check_columns(
            [name for name in header if name not in self.columns]
        )

    def translate(self, rows: Sequence[Row]) -> Iterable[Sequence[KindRow]]:
        emails = [normalized_email(row.get("email", "")) for row in rows]
        is_by_phone = not all(emails)  # parsing phone numbers takes long
        phones = [normalized_phone(row) if is_by_phone else "" for row in rows]
        by_id = existing_customers("customer_id", (row.get("customer_id", "") for row in rows))
        by_address = existing_customers("email", emails)
        by_address |= existing_customers("phone", phones)
        return [
            ((CUSTOMERS, self._customer(row, [one for one in addresses if one], by_id, by_address)),)
            for row, *addresses in zip(rows, emails, phones, strict=True)
        ]

    def _customer(
        self,
        row: Row,
        addresses: Sequence[str],
        by_id: dict[str, ExistingCustomer],
        by_address: dict[str, ExistingCustomer],
    ) -> Row:
        address = next(iter(addresses), "")
        there = matching_customer(row.get("customer_id", ""), address, by_id, by_address)
        fields = {name: value for name, value in row.items() if name not in self._own}
        fields["customer_id"] = there.customer_id if there else fields.get("customer_id") or address
        fields |= _names(row)
        if row.get("tags"):
            fields["tags"] = tag_list(row["tags"])
        was_subscribed = bool(there and there.is_subscribed)
        fields |= _consent(row, is_subscribed=was_subscribed)
        # The rows below find this customer as they would in the next batch.
        said = CONSENT_WORDS.get(fields.get("newsletter", "").lower())
        known = ExistingCustomer(
            fields["customer_id"], was_subscribed if said is None else said == _SUBSCRIBED
        )
        if known.customer_id:
            by_id[known.customer_id] = known
            for one in addresses:
                if by_address.setdefault(one, known).customer_id == known.customer_id:
                    by_address[one] = known
        return fields


class Sales(Format):
    """Orders with their customers, and a line in each row if the file has lines. Rows of one order stand together."""

    name = "sales"
    is_mapped = True
    label = "Orders, with their customers and lines"
    _customer = (
        "customer_id", "email", "phone", "full_name", "last_first_name", "first_name", "last_name", "country", "city",
        "accepts_newsletter",
    )  # fmt: skip
    _order = tuple(name for name in ORDERS.csv_columns if name != "customer_id")
    _line: Mapping[str, str] = {
        "line_id": "line_id",
        "sku": "sku",
        "product_name": "name",
        "category": "category",
        "brand": "brand",
        "quantity": "quantity",
        "unit_price": "unit_price",
        "line_total": "unit_price",
    }
    columns = (*_order, *_customer, *_line)
    # Only the first row of an order may have these values.
    _of_the_order = ("placed_at", "total", "status")

    def missing_columns(self, header: Sequence[str]) -> list[str]:
        missing = [name for name in ("order_id", "placed_at", "total") if name not in header]
        return missing if set(_OWNERS) & set(header) else [*missing, " or ".join(_OWNERS)]

    def target_field(self, column: str) -> str:
        if column in self._line:
            return f"line’s {self._line[column]}"
        if column in self._customer:
            return "customer" if column in _OWNERS else f"customer’s {column}"
        return column if column in self._order else ""

    def check_columns(self, header: Sequence[str]) -> list[str]:
        return [f"column {name!r} is unknown and was ignored" for name in header if name not in self.columns]

    def translate(self, rows: Sequence[Row]) -> Iterable[Sequence[KindRow]]:
        addresses = [normalized_email(row.get("email", "")) for row in rows]
        phones = [
            "" if address else normalized_phone(row) for row, address in zip(rows, addresses, strict=True)
        ]
        by_id = existing_customers("customer_id", (row.get("customer_id", "") for row in rows))
        by_address = existing_customers("email", addresses)
        by_address |= existing_customers("phone", phones)
        parts: list[Sequence[KindRow]] = []
        previous = ""
        for row, address, phone in zip(rows, addresses, phones, strict=True):
            order_id = row.get("order_id", "")
            of_row: list[KindRow] = []
            if order_id != previous or not order_id:
                if any(row.get(name) for name in self._of_the_order):
                    of_row += self._order_parts(row, address or phone, by_id, by_address)
                previous = order_id
            of_row += self._line_parts(row)
            # A row with nothing but an order's number says nothing new; without a number it is rejected.
            parts.append(of_row or [(ORDERS, {"order_id": order_id, "placed_at": row.get("placed_at", "")})])
        return parts

    def _order_parts(
        self,
        row: Row,
        address: str,
        by_id: dict[str, ExistingCustomer],
        by_address: dict[str, ExistingCustomer],
    ) -> Iterable[KindRow]:
        customer_id = row.get("customer_id", "")
        if customer_id in _NO_CUSTOMER:
            customer_id = ""
        owner = matching_customer(customer_id, address, by_id, by_address)
        if owner is None and (customer_id or address):
            owner = ExistingCustomer(customer_id or address, is_subscribed=False)
            by_id[owner.customer_id] = owner
            if address:
                by_address.setdefault(address, owner)
            contact = {name: row.get(name, "") for name in ("email", "phone", "country", "city")}
            yield (
                CUSTOMERS,
                contact
                | {"customer_id": owner.customer_id}
                | _names(row)
                | _consent(row, is_subscribed=False),
            )
        order = {name: row.get(name, "") for name in self._order}
        order["customer_id"] = owner.customer_id if owner else ""
        if order["status"].casefold() == "closed":
            # Magento closes an order when all of it is refunded, other systems when it is done.
            order["status"] = "refunded" if order["refunded_total"].strip("0.") else "fulfilled"
        yield ORDERS, order

    def _line_parts(self, row: Row) -> Iterable[KindRow]:
        line = {field: row.get(name, "") for name, field in self._line.items() if name != "line_total"}
        if is_rounded_id(line["sku"]):
            line["sku"] = ""
        if not (line["sku"] or line["name"]):
            return
        # Lines are identified by their sku, which many shops do not use.
        line["sku"] = line["sku"] or line["name"][:255]
        if not line["unit_price"] and row.get("line_total"):
            line["unit_price"] = _price_of_one(row["line_total"], line["quantity"])
        yield ORDER_LINES, line | {"order_id": row.get("order_id", "")}


def _names(row: Row) -> dict[str, str]:
    names = {name: row[name] for name in ("first_name", "last_name") if row.get(name)}
    if names:
        return names
    if row.get("full_name"):
        first, last = split_full_name(row["full_name"])
    elif row.get("last_first_name"):
        first, last = split_last_first_name(row["last_first_name"])
    else:
        return {}
    return {"first_name": first, "last_name": last}


def _consent(row: Row, *, is_subscribed: bool) -> dict[str, str]:
    """Return what a row says about the newsletter.

    The “no” of ``accepts_newsletter`` is also that of customers who were never asked, so it only ends a subscription.
    """
    if row.get("unsubscribed_at"):
        return {"newsletter": _UNSUBSCRIBED, "subscribed_at": ""}
    if row.get("confirmed_at"):
        return {"newsletter": _SUBSCRIBED, "subscribed_at": row["confirmed_at"]}
    accepts = row.get("accepts_newsletter", "")
    if not accepts:
        return {}
    if accepts == _SUBSCRIBED:
        return {"newsletter": _SUBSCRIBED}
    return {"newsletter": _UNSUBSCRIBED if accepts == _UNSUBSCRIBED and is_subscribed else ""}


def tag_list(cell: str) -> str:
    """Return tags that are separated by commas as a list. Mailchimp also quotes each of them."""
    tags = [
        tag.strip().strip('"') for tag in cell.split(",") if len(tag) <= sortable_values.MAX_ELEMENT_LENGTH
    ]
    elements = sortable_values.parse_list(tags[: sortable_values.MAX_LIST_ELEMENTS]) or []
    return sortable_values.list_as_json(elements) if elements else ""


def _price_of_one(line_total: str, quantity: str) -> str:
    """Return the price of one piece, or the line's total if there is no quantity to divide it by."""
    try:
        pieces, total = decimals.parse_units(quantity or "1"), decimals.parse_units(line_total)
    except ValueError:
        return line_total  # parsing the row reports the error
    if not pieces:
        return line_total
    return str(decimals.from_units(decimals.to_units(decimals.from_units(total) * decimals.SCALE / pieces)))
