"""The shapes of what arrives: each kind's columns, and how a row of text becomes a checked record.

A record is a tuple in the order of its kind's ``columns``; None in it means "not given", which changes
nothing in an existing row.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from core.values import decimals, email_addresses, phone_numbers, sortable_values
from core.values.regexes import FIRST_YEAR, LAST_YEAR
from core.values.text_cleaning import clean_text, to_nfc
from customers.models import Customer, Order
from customers.models.customer import ANONYMOUS_PREFIX

Record = tuple[Any, ...]

MAX_TEXT, MAX_NAME, MAX_EMAIL, MAX_PROPERTIES = 255, 1000, email_addresses.MAX_EMAIL_LENGTH, 65_536

ORDER_STATUSES = frozenset(Order.Status.values)
CONSENT_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("true", "yes", "1", "subscribed"), Customer.Newsletter.SUBSCRIBED.value),
    **dict.fromkeys(("false", "no", "0", "unsubscribed"), Customer.Newsletter.UNSUBSCRIBED.value),
    "never": Customer.Newsletter.NEVER.value,
}
"""The words, in lower case, that state a consent in files, the API and messages."""
_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,15})?", re.ASCII)
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
CURRENCY_CODE = re.compile(r"[A-Z]{3}")
_BETWEEN_THOUSANDS = re.compile(r"(?<=\d) (?=\d{3}(?!\d))", re.ASCII)
_ROUNDED_ID = re.compile(r"[+-]?\d(?:[.,]\d+)?[eE]\+\d{2,3}", re.ASCII)


class InvalidRow(ValueError):
    """A row that cannot be taken; the message says what to change, and begins with the column where one is to blame."""

    def __init__(self, reason: str, column: str = "") -> None:
        super().__init__(reason)
        self.column = column or reason.partition(":")[0]


@dataclass(frozen=True)
class Shop:
    """What reading needs to know of the shop."""

    zone: ZoneInfo
    currency: str


@dataclass(frozen=True)
class Kind:
    """One kind of record: its columns in staging and in CSV, and how to read a row of text.

    ``key`` names the columns that identify a record; a row with the same key sent again updates it. ``essential``
    names those that a row is refused for; any other value that cannot be read is left out.
    """

    name: str
    columns: tuple[str, ...]
    csv_columns: tuple[str, ...]
    required: tuple[str, ...]
    key: tuple[str, ...]
    essential: frozenset[str]
    read: Callable[[Mapping[str, str], Shop], Record]


def read_row(
    kind: Kind, row: Mapping[str, str], shop: Shop, left_out: list[str]
) -> tuple[Mapping[str, str], Record]:
    """Read a row without the optional values that cannot be read; return what is left of it, and the record.

    Append to ``left_out`` why each value was left out. Raise Refused where an essential value cannot be read.
    """
    phone = row.get("phone") if kind is CUSTOMERS else None
    if phone and row.get("country") and not phone.startswith("+"):
        row = {**row, "phone": _to_international(phone, row["country"])}
    while True:
        try:
            return row, kind.read(row, shop)
        except InvalidRow as refused:
            column = refused.column
            if column in kind.essential or column not in row:
                raise
            left_out.append(str(refused))
            row = {name: value for name, value in row.items() if name != column}


def _to_international(phone: str, country: str) -> str:
    """Write a number of a customer's country as the whole world dials it."""
    try:
        return phone_numbers.normalize_phone(phone, country)
    except ValueError:
        return phone  # the reader says what is wrong with it


CUSTOMER_CSV_COLUMNS = (
    "customer_id", "email", "phone", "first_name", "last_name", "country", "city", "language",
    "birth_date", "newsletter", "subscribed_at", "first_seen", "source",
)  # fmt: skip


def read_customer(row: Mapping[str, str], shop: Shop) -> Record:
    """Read a customer; columns that are none of a customer's are attributes."""
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
        read_optional(row, "first_name"),
        read_optional(row, "last_name"),
        *(text for pair in places for text in pair),
        birth_date.isoformat() if birth_date else None,
        birth_date.month * 100 + birth_date.day if birth_date else None,
        newsletter,
        read_moment(row, "subscribed_at", shop.zone),
        read_moment(row, "first_seen", shop.zone),
        sortable_values.dump_json(shown),
        sortable_values.dump_json(encoded),
    )


def _read_attribute(name: str, value: str, zone: ZoneInfo) -> tuple[Any, str]:
    """Read an attribute; only a list may be longer than a text."""
    text = read_text(value, name, sortable_values.MAX_LIST_LENGTH if value.startswith("[") else MAX_NAME)
    try:
        shown, encoded = sortable_values.parse_attribute(text, zone)
    except ValueError as error:
        raise InvalidRow(f"{name}: {error}", name) from None
    if not isinstance(shown, list):
        read_text(text, name, MAX_NAME)
    return shown, encoded


def can_name_attribute(name: str) -> bool:
    """Tell whether an attribute can have this name."""
    return 1 <= len(name) <= 100 and "\x00" not in name


def read_order(row: Mapping[str, str], shop: Shop) -> Record:
    """Read an order."""
    currency = clean_text(row.get("currency", "")).upper()
    if currency and not CURRENCY_CODE.fullmatch(currency):
        raise InvalidRow(f"currency: {currency!r} is no code of three letters, such as EUR")
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


def read_line(row: Mapping[str, str], shop: Shop) -> Record:
    """Read an order line; its key is ``=`` and the given id, or else left to ingestion to number."""
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


def read_event(row: Mapping[str, str], shop: Shop) -> Record:
    """Read an event."""
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


def read_properties(text: str) -> tuple[Any, ...]:
    text = to_nfc(text)
    if len(text) > MAX_PROPERTIES:
        raise InvalidRow(f"properties: longer than {MAX_PROPERTIES} characters")
    try:
        values = _decode(text)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise InvalidRow(f"properties: not valid JSON ({error})") from None
    if values == []:
        values, text = {}, "{}"  # PHP writes an empty object as an empty list
    if not isinstance(values, dict):
        raise InvalidRow('properties: expected a JSON object, such as {"price": 9.5}')
    if "\\u" in text and (_NUL_ESCAPE.search(text) or not _is_encodable(values)):
        raise InvalidRow("properties: contains what no text can hold (a NUL, or half a surrogate pair)")
    products = values.get("products")
    listed = (
        [product_texts(item) for item in products if isinstance(item, dict)]
        if isinstance(products, list)
        else []
    )
    return (
        read_text(text, "properties", MAX_PROPERTIES),
        sortable_values.dump_json(sortable_values.encode_properties(values)),
        *product_texts(values),
        sortable_values.dump_json(listed) if listed else None,
        _product_value(values),
        _product_quantity(values),
    )


def _parse_number(text: str) -> Decimal:
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 300:
        raise ValueError(f"the number {text[:20]} is out of range")
    return number


_decode = json.JSONDecoder(
    parse_float=_parse_number, parse_int=_parse_number, parse_constant=_parse_number
).decode


def _is_encodable(values: Any) -> bool:
    try:
        json.dumps(values, ensure_ascii=False, default=str).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True


def _product_value(properties: Mapping[str, Any]) -> int | None:
    """Price × quantity in ten-thousandths; a missing price is 0, a missing quantity 1."""
    price = _to_decimal(properties.get("price"))
    if price is None:
        return None
    quantity = _to_decimal(properties.get("quantity"))
    value = Fraction(price) * (1 if quantity is None else Fraction(quantity))
    return decimals.round_half_away(value * decimals.SCALE) if abs(value) <= decimals.MAX_AMOUNT else None


def _product_quantity(properties: Mapping[str, Any]) -> int | None:
    """Quantity in ten-thousandths; None where it is 1, missing, or no number that can be kept."""
    quantity = _to_decimal(properties.get("quantity"))
    if quantity is None or abs(quantity) > decimals.MAX_AMOUNT:
        return None
    units = decimals.to_units(quantity)
    return None if units == decimals.SCALE else units


def _to_decimal(value: Any) -> Decimal | None:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = Decimal(value)
    return value if isinstance(value, Decimal) else None


def product_texts(properties: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Give the case-folded sku, name, category and brand; what is lacking is empty."""
    return (
        _fold_product_text(properties.get("sku")) or _fold_product_text(properties.get("product_id")),
        _fold_product_text(properties.get("name")),
        _fold_product_text(properties.get("category")),
        _fold_product_text(properties.get("brand")),
    )


def _fold_product_text(value: Any) -> str:
    if isinstance(value, Decimal):
        value = str(value) if value.as_tuple().exponent == 0 else repr(float(value))
    return sortable_values.fold_case(value)[:3000] if isinstance(value, str) else ""


def read_text(value: str, column: str, most: int = MAX_TEXT) -> str:
    value = to_nfc(value)
    if len(value) > most:
        raise InvalidRow(f"{column}: longer than {most} characters", column)
    if "\x00" in value:
        raise InvalidRow(f"{column}: contains a NUL character", column)
    return value


def read_optional(row: Mapping[str, str], column: str, most: int = MAX_TEXT) -> str | None:
    value = row.get(column)
    return read_text(value, column, most) if value else None


def read_folded_pair(
    row: Mapping[str, str], column: str, most: int = MAX_TEXT
) -> tuple[str | None, str | None]:
    value = read_optional(row, column, most)
    return (None, None) if value is None else (value, sortable_values.fold_case(value))


def read_id(row: Mapping[str, str], column: str) -> str:
    value = row.get(column)
    if not value:
        raise InvalidRow(f"{column}: missing")
    return check_id(value, column)


def is_rounded_id(value: str) -> bool:
    """Tell whether a spreadsheet has rounded an id: ``6.12346E+12`` was one of ten million."""
    return value.isascii() and _ROUNDED_ID.fullmatch(value) is not None


def check_id(value: str, column: str) -> str:
    """Return an id that can be kept; refuse one that a spreadsheet has rounded."""
    if is_rounded_id(value):
        raise InvalidRow(
            f"{column}: {value!r} is an id that a spreadsheet has rounded; format the column as text there,"
            " and export the file again"
        )
    return read_text(value, column)


def read_customer_id(row: Mapping[str, str]) -> str:
    value = read_id(row, "customer_id")
    if value.startswith(ANONYMOUS_PREFIX):
        raise InvalidRow(
            f"customer_id: {value!r} is how a visitor without one is printed; give the shop's own id"
        )
    return value


def read_anonymous_id(value: str) -> str:
    # The printed form needs room for its prefix.
    return read_text(check_id(value, "anonymous_id"), "anonymous_id", MAX_TEXT - len(ANONYMOUS_PREFIX))


def read_email(value: str) -> str | None:
    try:
        return email_addresses.normalize_email(value) or None
    except email_addresses.InvalidEmail as error:
        raise InvalidRow(f"email: {error}") from None


def read_phone(value: str) -> str | None:
    if not value:
        return None
    try:
        return phone_numbers.normalize_phone(value)
    except ValueError as error:
        raise InvalidRow(f"phone: {error}") from None


def read_choice(row: Mapping[str, str], column: str, choices: frozenset[str]) -> str | None:
    value = row.get(column)
    if not value or value in choices:
        return value or None
    word = clean_text(value).casefold()
    if word not in choices:
        raise InvalidRow(f"{column}: {value!r} is not one of {', '.join(sorted(choices))}")
    return word


def read_consent(row: Mapping[str, str]) -> str | None:
    value = row.get("newsletter")
    if not value:
        return None
    if (state := CONSENT_WORDS.get(value.lower())) is None:
        raise InvalidRow(f"newsletter: {value!r} is not one of {', '.join(sorted(CONSENT_WORDS))}")
    return state


def read_units(row: Mapping[str, str], column: str) -> int | None:
    value = row.get(column)
    if not value:
        return None
    try:
        return _parse_units(value)
    except ValueError as error:
        raise InvalidRow(f"{column}: {error}") from None


@lru_cache(maxsize=4096)
def _parse_units(value: str) -> int:
    try:
        return decimals.parse_units(value)
    except ValueError:
        # Spaces between thousands, a typographic minus, marks of direction.
        if (plain := _BETWEEN_THOUSANDS.sub("", clean_text(value))) == value:
            raise
    try:
        return decimals.parse_units(plain)
    except ValueError:
        return decimals.parse_units(value)  # its message names what was given


def read_date(row: Mapping[str, str], column: str, zone: ZoneInfo) -> date | None:
    value = row.get(column)
    if not value:
        return None
    try:
        day = _day(value, zone)
        _check_year(day.year, value)
    except (ValueError, OverflowError) as error:
        reason = error if "between" in str(error) else f"{value!r} is no date; write it as 2026-03-31"
        raise InvalidRow(f"{column}: {reason}") from None
    return day


def _day(value: str, zone: ZoneInfo) -> date:
    """Read a date; an instant is the day that it falls on in the shop."""
    value = clean_text(value)
    if len(value) <= len("2026-03-31"):
        return date.fromisoformat(value)
    return parse_moment(value, zone).astimezone(zone).date()


def read_moment(row: Mapping[str, str], column: str, zone: ZoneInfo) -> str | None:
    value = row.get(column)
    if not value:
        return None
    try:
        return utc_text(value, zone)
    except ValueError as error:
        raise InvalidRow(f"{column}: {error}") from None


@lru_cache(maxsize=4096)
def utc_text(value: str, zone: ZoneInfo) -> str:
    """Turn an ISO 8601 time into UTC as both databases read it; without an offset it is the shop's time."""
    return str(parse_moment(value, zone).replace(tzinfo=None))


def parse_moment(value: str, zone: ZoneInfo) -> datetime:
    """Read an ISO 8601 time as an instant in UTC; raise ValueError with what to change."""
    try:
        moment = datetime.fromisoformat(clean_text(value))
    except ValueError:
        raise ValueError(
            f"{value!r} is no time; write it as 2026-03-31 or 2026-03-31T18:30:00+02:00"
        ) from None
    _check_year(moment.year, value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(UTC)


def _check_year(year: int, value: str) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"{value!r} is not between the years {FIRST_YEAR} and {LAST_YEAR}")


CUSTOMERS = Kind(
    "customers",
    columns=(
        "customer_id", "email", "email_folded", "phone", "first_name", "last_name",
        "country", "country_folded", "city", "city_folded", "language", "language_folded",
        "source", "source_folded", "birth_date", "birthday", "newsletter", "subscribed_at", "first_seen",
        "attributes", "attributes_comparable",
    ),
    csv_columns=CUSTOMER_CSV_COLUMNS,
    required=("customer_id",),
    key=("customer_id",),
    essential=frozenset({"customer_id"}),
    read=read_customer,
)  # fmt: skip
ORDERS = Kind(
    "orders",
    columns=(
        "order_id", "customer_id", "anonymous_id", "placed_at", "status", "total", "discount_total",
        "refunded_total", "currency", "coupon_code", "coupon_code_folded",
    ),
    csv_columns=(
        "order_id", "customer_id", "placed_at", "status", "total", "discount_total", "refunded_total",
        "currency", "coupon_code",
    ),
    required=("order_id", "customer_id", "placed_at"),
    key=("order_id",),
    essential=frozenset({"order_id", "customer_id", "anonymous_id", "placed_at", "status", "total"}),
    read=read_order,
)  # fmt: skip
ORDER_LINES = Kind(
    "order_lines",
    columns=(
        "order_id", "key", "sku", "sku_folded", "name", "name_folded", "category", "category_folded",
        "brand", "brand_folded", "quantity", "unit_price",
    ),
    csv_columns=("order_id", "sku", "name", "category", "brand", "quantity", "unit_price", "line_id"),
    required=("order_id", "sku"),
    key=("order_id", "key"),
    essential=frozenset({"order_id", "line_id", "sku"}),
    read=read_line,
)  # fmt: skip
EVENTS = Kind(
    "events",
    columns=(
        "message_id", "customer_id", "anonymous_id", "name", "occurred_at", "properties",
        "properties_comparable", "sku_folded", "name_folded", "category_folded", "brand_folded",
        "products", "product_value", "product_quantity",
    ),
    csv_columns=("message_id", "customer_id", "anonymous_id", "event", "occurred_at", "properties"),
    required=("message_id", "event", "occurred_at"),
    key=("message_id",),
    essential=frozenset({"message_id", "customer_id", "anonymous_id", "event", "occurred_at", "properties"}),
    read=read_event,
)  # fmt: skip
KINDS = {kind.name: kind for kind in (CUSTOMERS, ORDERS, ORDER_LINES, EVENTS)}


def the_shop() -> Shop:
    """Give the shop as the settings describe it."""
    return Shop(ZoneInfo(settings.TIME_ZONE), settings.SHOP_CURRENCY)
