"""Free values (attributes, event properties) in a form that compares alike on every database.

A value becomes one text that begins with its kind: ``t`` text (case-folded), ``n`` number,
``d`` moment, ``x`` anything else. Texts of one kind sort as their values do, so ``<`` on bytes is
``<`` on numbers of any size and precision, and a value of another kind never falls in between.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from .text_cleaning import to_nfc

TEXT, NUMBER, MOMENT, OTHER = "t", "n", "d", "x"

_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EXPONENT_BIAS = 5000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")


@lru_cache(maxsize=4096)
def key(name: str) -> str:
    """Name a value inside the JSON column: safe in a JSON path, and never taken for a list index."""
    return "_" + quote(to_nfc(name), safe="")


def fold(text: str) -> str:
    """Fold case in any script: NFC(casefold(NFC(text))), so that one spelling of a letter counts like another."""
    return text.lower() if text.isascii() else to_nfc(to_nfc(text).casefold())


def of_text(text: str) -> str:
    """Encode a text."""
    return TEXT + fold(text)


def of_moment(moment: datetime) -> str:
    """Encode an instant; fixed width, so that bytes sort as time does."""
    return MOMENT + moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rjust(26, "0")


def of_number(number: Decimal) -> str:
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


def of_json(value: Any) -> str | None:
    """Encode a JSON value with the kind it was sent with; None for null, which is a missing value."""
    match value:
        case None:
            return None
        case str():
            return of_text(value)
        case bool():
            return OTHER
        case int() | Decimal():
            return of_number(Decimal(value))
        case float():
            return of_number(Decimal(repr(value)))
        case _:
            return OTHER


def of_properties(properties: Mapping[str, Any]) -> dict[str, str]:
    """Encode the top level of a JSON object, leaving nulls out."""
    encoded = ((key(name), of_json(value)) for name, value in properties.items())
    return {name: value for name, value in encoded if value is not None}


def typed(text: str, zone: tzinfo) -> tuple[Any, str]:
    """Read an attribute's text as the number or ISO date it is, else as text.

    Gives the JSON value to show and its comparable form. ``01234`` stays text, as a postal code does;
    a date is midnight in the shop's zone.
    """
    if _PLAIN_NUMBER.fullmatch(text):
        try:
            number = Decimal(text)
        except InvalidOperation:
            return text, of_text(text)
        shown: Any = int(text) if "." not in text and len(text) < 16 else float(text)
        return (shown if Decimal(repr(shown)) == number else text), of_number(number)
    if _ISO_DATE.match(text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return text, of_text(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        if 1000 <= moment.year <= 9000:
            return text, of_moment(moment)
    return text, of_text(text)


def start_of_day(day: date, zone: tzinfo) -> datetime:
    """Give the instant at which a day begins in the shop's zone."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":")
).encode  # made once: it is asked for each row


def dump(value: Any) -> str:
    """Write JSON for a column, readable in any script."""
    return _encode(value)
