"""Parsing of event properties: JSON, with the product or products in it."""

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.values import decimals, sortable_values
from core.values.text_cleaning import to_nfc

from .cells import MAX_PROPERTIES, InvalidRow, read_text

_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,15})?", re.ASCII)
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


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
        raise InvalidRow("properties: contains an invalid character (NUL, or half of a surrogate pair)")
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


def _product_value(properties: Mapping[str, Any]) -> int | None:
    """Return price × quantity in ten-thousandths; None without a price. A missing quantity counts as 1."""
    price = _to_decimal(properties.get("price"))
    if price is None:
        return None
    quantity = _to_decimal(properties.get("quantity"))
    value = Fraction(price) * (1 if quantity is None else Fraction(quantity))
    return decimals.round_half_away(value * decimals.SCALE) if abs(value) <= decimals.MAX_AMOUNT else None


def _product_quantity(properties: Mapping[str, Any]) -> int | None:
    """Return the quantity in ten-thousandths; None if it is 1, missing, or too large."""
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
    """Return the case-folded sku, name, category and brand; a missing one is empty."""
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
