"""Parsing of event properties: JSON, with the product or products in it."""

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from unicodedata import is_normalized

from core.values import decimals, sortable_values
from core.values.text_cleaning import to_nfc

from .cells import MAX_PROPERTIES, InvalidRow, read_text

_LARGE_INTEGER: Final[int] = 10**300

_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,15})?", re.ASCII)
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def read_properties(text: str) -> tuple[Any, ...]:
    """Return the columns of an event that are read from its properties, a JSON object as text."""
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
        raise InvalidRow("properties: contains an invalid character (NUL, or half of a surrogate pair)")
    return _columns(values, read_text(text, "properties", MAX_PROPERTIES))


def read_decoded_properties(values: Mapping[str, Any], text: str) -> tuple[Any, ...]:
    """Return the same as ``read_properties(text)``; ``values`` are what ``json.loads`` returns for the text."""
    is_plain = (
        len(text) <= MAX_PROPERTIES
        and "\\u" not in text
        and is_normalized("NFC", text)
        and all(map(_is_plain, values.values()))
    )
    return _columns(values, text) if is_plain else read_properties(text)


def _is_plain(value: Any) -> bool:
    """Return whether a value is a text, a boolean, null, or a number that is surely in range."""
    if isinstance(value, int):
        return abs(value) < _LARGE_INTEGER
    return value is None or isinstance(value, str | float)


def _columns(values: Mapping[str, Any], text: str) -> tuple[Any, ...]:
    products = values.get("products")
    listed = (
        [product_texts(item) for item in products if isinstance(item, dict)]
        if isinstance(products, list)
        else []
    )
    return (
        text,
        sortable_values.dump_json(sortable_values.encode_properties(values)),
        *product_texts(values),
        sortable_values.dump_json(listed) if listed else None,
        *_product_amounts(_to_decimal(values.get("price")), _to_decimal(values.get("quantity"))),
    )


def _parse_number(text: str) -> Decimal:
    """Return the number, if other programs can read it, too: if it is in the range of a double."""
    number = Decimal(text)
    if not number.is_finite() or abs(number.adjusted()) > 324 or math.isinf(float(number)):
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


def _product_amounts(price: Decimal | None, quantity: Decimal | None) -> tuple[int | None, int | None]:
    """Return price × quantity, and the quantity, in ten-thousandths. One that is too large is None.

    The value is None without a price; a missing quantity counts as 1. The quantity is None if it is 1 or missing.
    """
    value = price if price is None or quantity is None else decimals.EXACT.multiply(price, quantity)
    value_units, units = _to_units(value), _to_units(quantity)
    return value_units, None if units == decimals.SCALE else units


def _to_units(value: Decimal | None) -> int | None:
    if value is None or not -decimals.MAX_AMOUNT <= value <= decimals.MAX_AMOUNT:
        return None
    return decimals.to_units(value)


def _to_decimal(value: Any) -> Decimal | None:
    match value:
        case Decimal():
            return value
        case float():
            return Decimal(repr(value))
        case int() if not isinstance(value, bool):
            return Decimal(value)
        case str() if _DECIMAL.fullmatch(value):
            return Decimal(value)
    return None


def product_texts(properties: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return the case-folded sku, name, category and brand; a missing one is empty."""
    return (
        _fold_product_text(properties.get("sku")) or _fold_product_text(properties.get("product_id")),
        _fold_product_text(properties.get("name")),
        _fold_product_text(properties.get("category")),
        _fold_product_text(properties.get("brand")),
    )


def _fold_product_text(value: Any) -> str:
    if isinstance(value, str):
        return sortable_values.fold_case(value)[:3000]
    if isinstance(value, Decimal):
        return str(value) if value.as_tuple().exponent == 0 else repr(float(value))
    if isinstance(value, float):
        return repr(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
