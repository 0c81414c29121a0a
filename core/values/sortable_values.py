"""Free values (attributes, event properties) in a form that compares alike on every database.

A value becomes one text that begins with its kind: ``t`` text (case-folded), ``n`` number,
``d`` moment, ``l`` list of texts, ``x`` anything else. Texts of one kind sort as their values do, so ``<`` on bytes is
``<`` on numbers of any size and precision, and a value of another kind never falls in between.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from .text_cleaning import to_nfc

TEXT, NUMBER, DATETIME, LIST, OTHER = "t", "n", "d", "l", "x"
LIST_SEPARATOR = "\x1f"
"""Stands before, between and behind the elements of a list, and in none of them."""
MAX_LIST_ELEMENTS, MAX_ELEMENT_LENGTH, MAX_LIST_LENGTH = 250, 255, 32_768

_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EXPONENT_BIAS = 5000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


@lru_cache(maxsize=4096)
def json_key(name: str) -> str:
    """Name a value inside the JSON column: safe in a JSON path, and never taken for a list index."""
    return "_" + quote(to_nfc(name), safe="")


def fold_case(text: str) -> str:
    """Fold case in any script: NFC(casefold(NFC(text))), so that one spelling of a letter counts like another."""
    return text.lower() if text.isascii() else to_nfc(to_nfc(text).casefold())


def encode_text(text: str) -> str:
    """Encode a text."""
    return TEXT + fold_case(text)


def encode_datetime(moment: datetime) -> str:
    """Encode an instant; fixed width, so that bytes sort as time does."""
    return DATETIME + moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0")


def encode_number(number: Decimal) -> str:
    """Encode a number so that bytes sort as numbers do.

    Sign, biased exponent, digits; a negative number has its digits complemented and closed by a
    character above every digit, so that -1.5 sorts before -1.
    """
    sign, digits, _ = number.as_tuple()
    exponent = number.adjusted() + _EXPONENT_BIAS
    mantissa = "".join(map(str, digits)).strip("0")
    if not mantissa:
        return NUMBER + "1"
    if not 0 <= exponent < 10_000:
        return OTHER
    body = f"{exponent:04d}{mantissa}"
    return f"{NUMBER}0{body.translate(_COMPLEMENT)}:" if sign else f"{NUMBER}2{body}"


def encode_list_element(text: str) -> str:
    """Fold a text as the elements of lists are."""
    return fold_case(text).replace(LIST_SEPARATOR, " ")


def encode_list(elements: Iterable[str]) -> str:
    """Encode a list of texts, so that one that holds an element holds it between two edges."""
    folded = dict.fromkeys(map(encode_list_element, elements))
    return LIST + LIST_SEPARATOR + "".join(element + LIST_SEPARATOR for element in folded)


def parse_list(value: Any) -> list[str] | None:
    """Return the elements of a JSON list of texts, numbers and truth values as texts; None for any other value.

    Empty elements, and what is null, are left out. Raise ValueError for more than a list can hold.
    """
    if not isinstance(value, list):
        return None
    texts = [_element(one) for one in value]
    if None in texts:
        return None
    kept = list(dict.fromkeys(text for text in texts if text))
    if len(kept) > MAX_LIST_ELEMENTS or any(len(text) > MAX_ELEMENT_LENGTH for text in kept):
        raise ValueError(
            f"a list holds at most {MAX_LIST_ELEMENTS} texts of at most {MAX_ELEMENT_LENGTH} characters"
        )
    return kept


def _element(value: Any) -> str | None:
    """Return an element as text, empty where there is nothing of it; None for what no list of texts can hold."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return to_nfc(value.replace(LIST_SEPARATOR, " ").replace("\x00", "").strip())
        case int() | float() | Decimal():
            number = Decimal(str(value))
            return (
                format(number, "f").removesuffix(".0") if number.is_finite() and abs(number) < 10**30 else ""
            )
    return None


def list_as_json(elements: Iterable[str]) -> str:
    """Write a list as the cell of a file holds it: as JSON."""
    return dump_json(list(elements))


def _list_in(text: str) -> list[str] | None:
    """Return the elements of a cell that holds a list."""
    if not text.endswith("]"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parse_list(value)


def encode_json_value(value: Any) -> str | None:
    """Encode a JSON value with the kind it was sent with; None for null, which is a missing value."""
    match value:
        case None:
            return None
        case str():
            return encode_text(value)
        case bool():
            return OTHER
        case int() | Decimal():
            return encode_number(Decimal(value))
        case float():
            return encode_number(Decimal(repr(value)))
        case _:
            return OTHER


def encode_properties(properties: Mapping[str, Any]) -> dict[str, str]:
    """Encode the top level of a JSON object, leaving nulls out."""
    encoded = ((json_key(name), encode_json_value(value)) for name, value in properties.items())
    return {name: value for name, value in encoded if value is not None}


def parse_attribute(text: str, zone: tzinfo) -> tuple[Any, str]:
    """Read an attribute's text as the number, ISO date or JSON list of texts it is, else as text.

    Gives the JSON value to show and its comparable form. ``01234`` stays text, as a postal code does;
    a date is midnight in the shop's zone. Raise ValueError for a list that is too long.
    """
    if text.startswith("[") and (elements := _list_in(text)):
        return elements, encode_list(elements)
    if _PLAIN_NUMBER.fullmatch(text):
        try:
            number = Decimal(text)
        except InvalidOperation:
            return text, encode_text(text)
        shown: Any = int(text) if "." not in text and len(text) < 16 else float(text)
        return (shown if Decimal(repr(shown)) == number else text), encode_number(number)
    if _ISO_DATE.match(text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text, encode_text(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        if 1000 <= moment.year <= 9000:
            return text, encode_datetime(moment)
    return text, encode_text(text)


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """Give the instant at which a day begins in the shop's zone."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":")
).encode  # made once: it is asked for each row


def dump_json(value: Any) -> str:
    """Write JSON for a column, readable in any script."""
    return _encode(value)
