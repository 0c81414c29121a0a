"""Traits of an identify call as the columns of a customer. Unknown traits become attributes."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from core.values import email_addresses, sortable_values
from core.values.text_cleaning import to_nfc
from customers.ingestion.attribute_limit import MAX_ATTRIBUTES
from customers.rows.cells import CONSENT_WORDS, InvalidRow, parse_moment
from customers.rows.kinds import CUSTOMERS, read_row
from customers.rows.settings import ShopSettings

from .messages import TrackedMessage, check_text, object_or_empty

# Values from the context of a message. They fill a column that has no other value.
UTM_SOURCE: Final = "utm_source"
LOCALE: Final = "locale"
CONTEXT_COLUMNS: Final = {UTM_SOURCE: "source", LOCALE: "language"}

_COLUMNS: Final = {
    "email": "email",
    "phone": "phone",
    "firstName": "first_name",
    "lastName": "last_name",
    "birthday": "birth_date",
    "birthDate": "birth_date",
    "dateOfBirth": "birth_date",
    "createdAt": "first_seen",
    "created_at": "first_seen",
    "firstSeen": "first_seen",
    "subscribedAt": "subscribed_at",
    "acceptsMarketing": "newsletter",
    "accepts_marketing": "newsletter",
    **{column: column for column in CUSTOMERS.csv_columns if column != "customer_id"},
}
_ADDRESS_PARTS: Final = ("city", "country")
_MOMENTS: Final = ("first_seen", "subscribed_at")
_IGNORED: Final = ("id", "customer_id", *CONTEXT_COLUMNS)
_MAX_NAME_LENGTH: Final = 100
_MAX_ATTRIBUTES_READ: Final = MAX_ATTRIBUTES + 1  # one more than the limit, so that exceeding it is noticed


def parse_traits(message: TrackedMessage, shop: ShopSettings) -> tuple[dict[str, str], list[str]]:
    """Return the traits of an identify call as cells of a customer's row, and the reasons why others are invalid."""
    traits = {**object_or_empty(message.context.get("traits")), **object_or_empty(message.body.get("traits"))}
    row: dict[str, str] = {}
    problems: list[str] = []
    for name, value in _flattened(traits):
        column = _COLUMNS.get(name, to_nfc(name))
        try:
            if text := _parse_cell(column, value, message.received_at, shop):
                row.setdefault(column, text)
        except InvalidRow as error:
            problems.append(str(error))
    _split_name(row)
    if row.get("newsletter") == "subscribed":
        row.setdefault("subscribed_at", message.at.isoformat())
    row["first_seen"] = min(row.get("first_seen", "~"), message.at.astimezone(UTC).isoformat())
    return _valid_cells(row, shop, problems), problems


def context_traits(message: TrackedMessage) -> dict[str, str]:
    """Return the campaign's source, and the language of an identify call."""
    values = {}
    context = message.context
    source = object_or_empty(context.get("campaign")).get("source")
    if isinstance(source, str) and 0 < len(source.strip()) <= 255 and source.isprintable():
        values[UTM_SOURCE] = source.strip()
    locale = context.get("locale")
    if message.type == "identify" and isinstance(locale, str) and locale[:2].isalpha() and locale.isascii():
        values[LOCALE] = locale.replace("_", "-").partition("-")[0].lower()[:10]
    return values


def _flattened(traits: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in traits.items():
        if name in _IGNORED or value in (None, "", [], {}):
            continue
        if not isinstance(value, dict):
            yield name, value
            continue
        for part, inner in value.items():
            if inner not in (None, "", [], {}):
                yield (part if name == "address" and part in _ADDRESS_PARTS else f"{name}.{part}"), inner


def _parse_cell(column: str, value: Any, received_at: datetime, shop: ShopSettings) -> str:
    try:
        text = value_as_text(value)
    except InvalidRow as error:
        raise InvalidRow(f"{column[:60]}: {error}") from None
    check_text(text, column[:60])
    match column:
        case "email":
            return _parse_email(text)
        case "newsletter":
            return CONSENT_WORDS.get(text.lower(), text)
        case _ if column in _MOMENTS:
            return min(_parse_moment(column, value, text, shop), received_at).isoformat()
    if not 1 <= len(column) <= _MAX_NAME_LENGTH or "\x00" in column:
        raise InvalidRow(f"traits: the name {column[:60]!r} is longer than {_MAX_NAME_LENGTH} characters")
    check_text(column, "traits")
    return text


def _parse_email(text: str) -> str:
    try:
        return email_addresses.normalize_email(text)
    except email_addresses.InvalidEmail as error:
        raise InvalidRow(f"email: {error}") from None


def _parse_moment(column: str, value: Any, text: str, shop: ShopSettings) -> datetime:
    try:
        if isinstance(value, int | float):  # seconds, or milliseconds as in JavaScript
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
        return parse_moment(text, shop.zone)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidRow(f"{column}: {error}") from None


def value_as_text(value: Any) -> str:
    """Return a JSON value as text, as a cell of a file has it. Raises InvalidRow."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return to_nfc(value.strip())
        case float():
            number = Decimal(repr(value))
            if not number.is_finite():
                raise InvalidRow("a number is out of range")
            return format(number, "f").removesuffix(".0")
        case int():
            return str(value)
    try:
        elements = sortable_values.parse_list(value)
    except ValueError as error:
        raise InvalidRow(str(error)) from None
    return (
        json.dumps(value, ensure_ascii=False) if elements is None else sortable_values.list_as_json(elements)
    )


def _split_name(row: dict[str, str]) -> None:
    name = row.pop("name", "")
    if name and "first_name" not in row and "last_name" not in row:
        first, _, last = name.rpartition(" ")
        row["first_name"], row["last_name"] = (first, last) if first else (last, "")
        if not row["last_name"]:
            del row["last_name"]


def _valid_cells(row: dict[str, str], shop: ShopSettings, problems: list[str]) -> dict[str, str]:
    """Skip invalid cells, and attributes beyond the limit."""
    for column in sorted(row.keys() - set(CUSTOMERS.csv_columns))[_MAX_ATTRIBUTES_READ:]:
        del row[column]
    kept, _ = read_row(CUSTOMERS, {"customer_id": "-", **row}, shop, problems)
    return {column: value for column, value in kept.items() if column != "customer_id"}
