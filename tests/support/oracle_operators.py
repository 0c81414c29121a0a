"""The parameter kinds of rules, read word by word: what each asks of one value, in exact arithmetic.

A missing value is None throughout. Numbers are fractions, moments are datetimes in UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import Any
from unicodedata import normalize
from zoneinfo import ZoneInfo

Words = Mapping[str, Any]

NUMBER = frozenset({"is", "is_not", "at_least", "more_than", "at_most", "less_than", "between"})
RELATIVE = frozenset({"above", "below", "top_percent", "bottom_percent"})
MOMENT = frozenset({"within_last", "not_within_last", "before", "on_or_after", "between", "ever"})
TEXT = frozenset({"is", "is_not", "in", "not_in", "contains", "starts_with", "exists"})

LIST = frozenset({"has", "has_any", "has_all"})

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

# `01234` is no number: its zero would be lost. Nor is `1e5`, which is as likely an article number.
CELL_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
CELL_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
CELL_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
PLAIN_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True)
class Clock:
    """The instant of the evaluation, in UTC, and the zone in which the shop's days begin and end."""

    at: datetime
    zone: ZoneInfo

    def midnight(self, day: date) -> datetime:
        return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)

    def today(self) -> date:
        return self.at.astimezone(self.zone).date()


def the_word(words: Words, kind: Set[str]) -> tuple[str, Any]:
    """The one word of a kind among a filter's parameters, and what it is given."""
    [word] = kind & words.keys()
    return word, words[word]


# Numbers ------------------------------------------------------------------------------------------


def exact(number: int | float | Decimal) -> Fraction:
    """A JSON number or an amount as it was written: 0.1 is one tenth, not the binary float beside it."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def rounded(value: Fraction) -> Fraction:
    """To four places, halves away from zero."""
    size = Fraction(floor(abs(value) * 10_000 + Fraction(1, 2)), 10_000)
    return -size if value < 0 else size


def mean(values: list[Fraction]) -> Fraction:
    return rounded(sum(values, Fraction(0)) / len(values))


def median(values: list[Fraction]) -> Fraction:
    ordered, half = sorted(values), len(values) // 2
    return mean([ordered[half]] if len(ordered) % 2 else [ordered[half - 1], ordered[half]])


def number(words: Words, value: Fraction | None) -> bool:
    word, operand = the_word(words, NUMBER)
    if value is None:
        return word == "is_not"
    match word:
        case "is":
            return value == exact(operand)
        case "is_not":
            return value != exact(operand)
        case "at_least":
            return value >= exact(operand)
        case "more_than":
            return value > exact(operand)
        case "at_most":
            return value <= exact(operand)
        case "less_than":
            return value < exact(operand)
        case _:
            low, high = operand
            return exact(low) <= value <= exact(high)


def relative(words: Words, values: Mapping[str, Fraction], population: Mapping[str, Fraction]) -> set[str]:
    """Whose value stands above, below, at the top or at the bottom of the population's values."""
    if not population:
        return set()

    word, operand = the_word(words, RELATIVE)
    ordered = sorted(population.values())
    match word:
        case "above" | "below":
            figure = mean(ordered) if operand == "average" else median(ordered)
            if word == "above":
                return {key for key, value in values.items() if value > figure}
            return {key for key, value in values.items() if value < figure}
        case _:
            how_many = ceil(exact(operand) / 100 * len(ordered))
            if word == "top_percent":
                return {key for key, value in values.items() if value >= ordered[-how_many]}
            return {key for key, value in values.items() if value <= ordered[how_many - 1]}


# Moments ------------------------------------------------------------------------------------------


def span(text: str) -> timedelta:
    return timedelta(**{UNITS[text[-1]]: int(text[:-1])})


def moment(words: Words, value: datetime | None, clock: Clock) -> bool:
    word, operand = the_word(words, MOMENT)
    if word == "ever":
        return (value is not None) == operand
    if value is None:
        return False
    match word:
        case "within_last":
            return clock.at - span(operand) < value <= clock.at
        case "not_within_last":
            return value <= clock.at - span(operand)
        case "before":
            return value < clock.midnight(date.fromisoformat(operand))
        case "on_or_after":
            return value >= clock.midnight(date.fromisoformat(operand))
        case _:
            first, last = map(date.fromisoformat, operand)
            return clock.midnight(first) <= value < clock.midnight(last + timedelta(days=1))


# Text ---------------------------------------------------------------------------------------------


def text(words: Words, value: str | None) -> bool:
    word, operand = the_word(words, TEXT)
    if word == "exists":
        return (value is not None) == operand
    if value is None:
        return word in ("is_not", "not_in")

    folded = fold(value)
    match word:
        case "is":
            return folded == fold(operand)
        case "is_not":
            return folded != fold(operand)
        case "in":
            return folded in [fold(one) for one in operand]
        case "not_in":
            return folded not in [fold(one) for one in operand]
        case "contains":
            return fold(operand) in folded
        case _:
            return folded.startswith(fold(operand))


def fold(value: str) -> str:
    """Compared text: NFC(casefold(NFC(x)))."""
    return nfc(nfc(value).casefold())


def nfc(value: str) -> str:
    return normalize("NFC", value)


def named(values: Mapping[str, Any], name: str) -> Any:
    """The value of a name, in whatever spelling."""
    return {nfc(one): value for one, value in values.items()}.get(nfc(name))


# Values of any kind: attributes, and properties of events -----------------------------------------


def value_of_cell(cell: str, clock: Clock) -> str | Fraction | datetime | list[str] | None:
    """An attribute's value out of its raw text: a number, a moment, a list of texts, or the text itself."""
    if not cell:
        return None
    if cell.startswith("["):
        try:
            return [one if isinstance(one, str) else json.dumps(one) for one in json.loads(cell) if one]
        except ValueError:
            return cell
    if CELL_NUMBER.fullmatch(cell):
        return Fraction(cell)
    try:
        if CELL_DATE.fullmatch(cell):
            return clock.midnight(date.fromisoformat(cell))
        if CELL_TIME.fullmatch(cell):
            time = datetime.fromisoformat(cell)
            return (time if time.tzinfo else time.replace(tzinfo=clock.zone)).astimezone(UTC)
    except ValueError:
        # It has the shape of a date, but the calendar has no such day: 2026-02-30 stays text.
        pass
    return cell


def is_json_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def value_of_json(value: Any) -> Any:
    """A property's value: numbers become exact; what is neither text nor number is seen by `exists` alone."""
    return exact(value) if is_json_number(value) else value


def any_kind(words: Words, value: Any, clock: Clock) -> bool:
    """Text, Number or Moment words, by the operand's kind; a value of another kind is a missing one."""
    word, operand = the_word(words, TEXT | NUMBER | MOMENT | LIST)
    sample = operand[0] if word == "between" else operand
    if word in LIST:
        return listed(word, operand, value if isinstance(value, list) else None)
    if word == "exists":
        return (value is not None) == operand
    if word in NUMBER and is_json_number(sample):
        return number({word: operand}, value if isinstance(value, Fraction) else None)
    if word in MOMENT:
        return moment({word: operand}, value if isinstance(value, datetime) else None, clock)
    if isinstance(value, list):
        positive = {"is_not": "is", "not_in": "in"}.get(word, word)
        return any(text({positive: operand}, one) for one in value) == (positive == word)
    return text({word: operand}, value if isinstance(value, str) else None)


def listed(word: str, operand: Any, value: list[str] | None) -> bool:
    """What a list has; what is no list is a missing value."""
    if value is None:
        return False
    asked = {fold(one) for one in ([operand] if word == "has" else operand)}
    found = asked & {fold(one) for one in value}
    return found == asked if word == "has_all" else bool(found)


# Products -----------------------------------------------------------------------------------------

Product = Mapping[str, str | None]


def fits(words: Words | None, products: list[Product]) -> bool:
    """Whether one of the products fits every text asked for; asking for none, no product is needed."""
    if words is None:
        return True
    return any(all(text(asked, product[field]) for field, asked in words.items()) for product in products)


def products_of_event(properties: Mapping[str, Any]) -> list[Product]:
    """The event's properties themselves, and each object of their list `products`."""
    listed = properties.get("products")
    others = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [product_of_json(one) for one in [properties, *others]]


def product_of_json(properties: Mapping[str, Any]) -> Product:
    product = {field: shown(properties.get(field)) for field in ("sku", "name", "category", "brand")}
    if product["sku"] is None:
        product["sku"] = shown(properties.get("product_id"))
    return product


def shown(value: Any) -> str | None:
    """A product's field as text: a number reads as in JSON, other kinds are missing."""
    if is_json_number(value):
        return repr(value) if isinstance(value, float) else str(value)
    return value if isinstance(value, str) else None


def amount_of_json(value: Any) -> Fraction | None:
    """A price or quantity: a JSON number, or text that is a plain decimal number."""
    if is_json_number(value):
        return exact(value)
    if isinstance(value, str) and PLAIN_DECIMAL.fullmatch(value):
        return Fraction(value)
    return None
