"""Attributes and event properties as texts that every database compares in the same way.

An encoded value begins with its kind: ``t`` text (case-folded), ``n`` number, ``d`` date and time, ``l`` list of texts,
``x`` anything else. Encoded values of one kind sort like the values: ``<`` on bytes is ``<`` on numbers of any size and
precision. Values of different kinds never mix.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from .text_cleaning import to_nfc

TEXT, NUMBER, DATETIME, LIST, OTHER = "t", "n", "d", "l", "x"
LIST_SEPARATOR = "\x1f"
"""Surrounds each element of an encoded list. No element contains it."""
MAX_LIST_ELEMENTS, MAX_ELEMENT_LENGTH, MAX_LIST_LENGTH = 250, 255, 32_768

_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EXPONENT_BIAS = 5000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


@lru_cache(maxsize=4096)
def json_key(name: str) -> str:
    """Return the key of a value in the JSON column: safe in a JSON path, and never a list index."""
    return "_" + quote(to_nfc(name), safe="")


def fold_case(text: str) -> str:
    """Fold case in any script: NFC(casefold(NFC(text)))."""
    return text.lower() if text.isascii() else to_nfc(to_nfc(text).casefold())


def encode_text(text: str) -> str:
    return TEXT + fold_case(text)


def encode_datetime(moment: datetime) -> str:
    """Encode an instant with a fixed width, so that bytes sort like time."""
    return DATETIME + moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0")


def encode_number(number: Decimal) -> str:
    """Encode a number so that bytes sort like numbers.

    The parts are sign, biased exponent and digits. The digits of a negative number are complemented and followed by a
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
    """Return a text as it is encoded in lists."""
    return fold_case(text).replace(LIST_SEPARATOR, " ")


def encode_list(elements: Iterable[str]) -> str:
    """Encode a list of texts, with each element between two separators."""
    folded = dict.fromkeys(map(encode_list_element, elements))
    return LIST + LIST_SEPARATOR + "".join(element + LIST_SEPARATOR for element in folded)


def parse_list(value: Any) -> list[str] | None:
    """Return a JSON list of texts, numbers and booleans as a list of texts, or None for any other value.

    Empty and null elements are left out. Raises ValueError if the list is too long.
    """
    if not isinstance(value, list):
        return None
    texts = [_element(one) for one in value]
    if None in texts:
        return None
    kept = list(dict.fromkeys(text for text in texts if text))
    if len(kept) > MAX_LIST_ELEMENTS or any(len(text) > MAX_ELEMENT_LENGTH for text in kept):
        raise ValueError(
            f"a list can contain at most {MAX_LIST_ELEMENTS} texts of at most {MAX_ELEMENT_LENGTH} characters"
        )
    return kept


def _element(value: Any) -> str | None:
    """Return an element as text (empty for null), or None if a list of texts cannot contain it."""
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
    """Return a list as JSON, as in the cell of a CSV file."""
    return dump_json(list(elements))


def _list_in(text: str) -> list[str] | None:
    """Return the elements of a cell that contains a JSON list, or None."""
    if not text.endswith("]"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parse_list(value)


def encode_json_value(value: Any) -> str | None:
    """Encode a JSON value with the type it was sent with. Return None for null, which is a missing value."""
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
            return _encode_float(value)
        case _:
            return OTHER


def encode_properties(properties: Mapping[str, Any]) -> dict[str, str]:
    """Encode the top-level members of a JSON object, without nulls."""
    encoded = {}
    for name, value in properties.items():
        kind = type(value)
        if kind is str:
            encoded[json_key(name)] = TEXT + (value.lower() if value.isascii() else fold_case(value))
        elif kind is float:
            encoded[json_key(name)] = _encode_float(value)
        elif value is not None:
            encoded[json_key(name)] = encode_json_value(value) or OTHER
    return encoded


@lru_cache(maxsize=4096)
def _encode_float(number: float) -> str:
    return encode_number(Decimal(repr(number)))


def parse_attribute(text: str, zone: tzinfo) -> tuple[Any, str]:
    """Parse an attribute's text as a number, an ISO date or a JSON list of texts, else as text.

    Return the JSON value to show and the encoded value. ``01234`` stays a text, such as a postal code. A date is
    midnight in the shop's time zone. Raises ValueError for a list that is too long.
    """
    if text.startswith("[") and (elements := _list_in(text)):
        return elements, encode_list(elements)
    if _PLAIN_NUMBER.fullmatch(text):
        try:
            number = Decimal(text)
        except InvalidOperation:
            return text, encode_text(text)
        value: Any = int(text) if "." not in text and len(text) < 16 else float(text)
        return (value if Decimal(repr(value)) == number else text), encode_number(number)
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
    """Return the instant at which a day begins in a time zone."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def end_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the last microsecond of a day: a record of the next midnight is not of this day."""
    return start_of_day(day + timedelta(days=1), zone) - timedelta(microseconds=1)


_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":")
).encode  # created once, since it is called for each row


def dump_json(value: Any) -> str:
    """Return compact JSON with non-ASCII characters as they are."""
    return _encode(value)
