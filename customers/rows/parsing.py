"""Parsing of rows: a row of texts becomes a validated record.

A record is a tuple in the order of its kind's ``columns``. None in it means "not given" and leaves the stored value
as it is.
"""

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from core.values import email_addresses, sortable_values
from core.values.text_cleaning import clean_text, to_nfc
from core.values.unaccent import unaccent
from customers.models import Order

from .cells import (
    MAX_NAME,
    MAX_TEXT,
    InvalidRow,
    check_id,
    read_anonymous_id,
    read_choice,
    read_consent,
    read_customer_id,
    read_date,
    read_email,
    read_folded_pair,
    read_id,
    read_moment,
    read_optional,
    read_phone,
    read_text,
    read_units,
)
from .event_properties import read_properties
from .settings import ShopSettings

Record = tuple[Any, ...]

ORDER_STATUSES = frozenset(Order.Status.values)
CURRENCY_CODE = re.compile(r"[A-Z]{3}")


CUSTOMER_CSV_COLUMNS = (
    "customer_id", "email", "phone", "first_name", "last_name", "country", "city", "language",
    "birth_date", "newsletter", "subscribed_at", "first_seen", "source",
)  # fmt: skip


def read_customer(row: Mapping[str, str], shop: ShopSettings) -> Record:
    """Read a customer. Unknown columns are attributes."""
    email = read_email(row.get("email", ""))
    birth_date = read_date(row, "birth_date", shop.zone)
    newsletter = read_consent(row)
    places = [read_folded_pair(row, column) for column in ("country", "city", "language", "source")]
    shown, encoded = {}, {}
    for name, value in row.items():
        if name not in CUSTOMER_CSV_COLUMNS and value:
            shown[to_nfc(name)], encoded[sortable_values.json_key(name)] = _read_attribute(
                name, value, shop.zone
            )
    return (
        read_customer_id(row),
        email,
        email and email_addresses.fold_email(email),
        read_phone(row.get("phone", "")),
        *_read_name(row, "first_name"),
        *_read_name(row, "last_name"),
        *(text for pair in places for text in pair),
        birth_date.isoformat() if birth_date else None,
        birth_date.month * 100 + birth_date.day if birth_date else None,
        newsletter,
        read_moment(row, "subscribed_at", shop.zone),
        read_moment(row, "first_seen", shop.zone),
        sortable_values.dump_json(shown),
        sortable_values.dump_json(encoded),
    )


def _read_name(row: Mapping[str, str], column: str) -> tuple[str | None, str | None]:
    name = read_optional(row, column)
    return (None, None) if name is None else (name, unaccent(name)[:MAX_TEXT])


def _read_attribute(name: str, value: str, zone: ZoneInfo) -> tuple[Any, str]:
    """Read an attribute. Only a list may be longer than ``MAX_NAME``."""
    text = read_text(value, name, sortable_values.MAX_LIST_LENGTH if value.startswith("[") else MAX_NAME)
    try:
        shown, encoded = sortable_values.parse_attribute(text, zone)
    except ValueError as error:
        raise InvalidRow(f"{name}: {error}", name) from None
    if not isinstance(shown, list):
        read_text(text, name, MAX_NAME)
    return shown, encoded


def read_order(row: Mapping[str, str], shop: ShopSettings) -> Record:
    currency = clean_text(row.get("currency", "")).upper()
    if currency and not CURRENCY_CODE.fullmatch(currency):
        raise InvalidRow(f"currency: {currency!r} is not a three-letter currency code such as EUR")
    return (
        read_id(row, "order_id"),
        read_customer_id(row) if row.get("customer_id") else None,
        read_anonymous_id(row["anonymous_id"]) if row.get("anonymous_id") else None,
        read_moment(row, "placed_at", shop.zone),
        read_choice(row, "status", ORDER_STATUSES),
        read_units(row, "total"),
        read_units(row, "discount_total"),
        read_units(row, "refunded_total"),
        currency or None,
        *read_folded_pair(row, "coupon_code"),
    )


def read_line(row: Mapping[str, str], shop: ShopSettings) -> Record:
    """Read an order line. Its key is ``=`` and the id of the line; lines without an id are numbered by ingestion."""
    check_id(row.get("sku", ""), "sku")
    line_id = check_id(row.get("line_id", ""), "line_id")
    return (
        read_id(row, "order_id"),
        f"={line_id}" if line_id else None,
        *read_folded_pair(row, "sku"),
        *read_folded_pair(row, "name", MAX_NAME),
        *read_folded_pair(row, "category"),
        *read_folded_pair(row, "brand"),
        read_units(row, "quantity"),
        read_units(row, "unit_price"),
    )


def read_event(row: Mapping[str, str], shop: ShopSettings) -> Record:
    customer_id = read_customer_id(row) if row.get("customer_id") else None
    anonymous_id = read_anonymous_id(row["anonymous_id"]) if row.get("anonymous_id") else None
    properties = row.get("properties", "")
    return (
        read_id(row, "message_id"),
        customer_id,
        anonymous_id,
        read_optional(row, "event"),
        read_moment(row, "occurred_at", shop.zone),
        *(read_properties(properties) if properties else (None,) * 9),
    )
