"""Operators of the rule language, the same in every filter: for numbers, shares, comparisons and moments.

A class is a kind of operator. It is parsed from exactly one of its words, such as ``{"at_least": 2}``, and returns the
query and the English phrase for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Self
from zoneinfo import ZoneInfo

from django.db.models import Q, Value
from django.db.models.lookups import IsNull
from pydantic import TypeAdapter

from core.durations import duration_text
from core.values import sortable_values

from . import values
from .errors import RuleError
from .formatting import format_number
from .late_params import ColumnInstant, LateInstant
from .lookups import Bytewise, Range, not_true_q


@dataclass(frozen=True)
class Operator:
    """An operator: one word of its kind, and the value to compare with."""

    word: str
    value: Any

    words: ClassVar[Mapping[str, TypeAdapter[Any]]]

    @classmethod
    def parse_inline(cls, given: Mapping[str, Any], path: str) -> Self:
        """Parse the one word of this kind among the given keys. Keys of other kinds are ignored."""
        found = [word for word in cls.words if word in given]
        if len(found) != 1:
            listed = ", ".join(cls.words)
            raise RuleError(
                path, f"expected exactly one of {listed}" + (f"; found {', '.join(found)}" if found else "")
            )
        [word] = found
        return cls(word, values.parse_value(cls.words[word], given[word], f"{path}.{word}"))

    @classmethod
    def parse(cls, given: Any, path: str) -> Self:
        """Parse an object with exactly one word of this kind and no other keys."""
        if not isinstance(given, dict):
            raise RuleError(path, "expected an object with one of " + ", ".join(cls.words))
        for name in given:
            if name not in cls.words:
                raise RuleError(
                    f"{path}.{name}", "is not a word here; expected one of " + ", ".join(cls.words)
                )
        return cls.parse_inline(given, path)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        return {
            "title": cls.__name__,
            "type": "object",
            "properties": {word: adapter.json_schema() for word, adapter in cls.words.items()},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        }


class Number(Operator):
    """Comparisons of a number."""

    words = {
        "is": values.NUMBER,
        "is_not": values.NUMBER,
        "at_least": values.NUMBER,
        "more_than": values.NUMBER,
        "at_most": values.NUMBER,
        "less_than": values.NUMBER,
        "between": values.NUMBERS,
    }

    @property
    def is_negative(self) -> bool:
        """Whether values outside the range match."""
        return self.word == "is_not"

    @property
    def range(self) -> Range:
        match self.word:
            case "at_least":
                return Range(low=self.value)
            case "more_than":
                return Range(low=self.value, excludes_low=True)
            case "at_most":
                return Range(high=self.value)
            case "less_than":
                return Range(high=self.value, excludes_high=True)
            case "between":
                return Range(*self.value)
            case _:
                return Range(self.value, self.value)

    def q(self, value: Any, scale: int = 1) -> Q:
        """Build the query on a column of whole numbers in units of 1/scale. ``is_not`` is true on a missing value."""
        query = self.range.in_units(scale).q(value)
        return not_true_q(query) if self.is_negative else query

    def encoded_q(self, value: Any) -> Q:
        """Build the query on a free value in its sortable form. A value that is not a number counts as missing."""
        encode = sortable_values.encode_number
        bounds = self.range
        # An open interval ends where the numbers end in the sortable form.
        low = sortable_values.NUMBER if bounds.low is None else encode(bounds.low)
        high = chr(ord(sortable_values.NUMBER) + 1) if bounds.high is None else encode(bounds.high)
        encoded = Range(low, high, bounds.excludes_low, bounds.excludes_high or bounds.high is None)
        query = encoded.q(Bytewise(value), Value)
        return not_true_q(query) if self.is_negative else query

    def holds(self, number: int) -> bool:
        bounds = self.range.in_units(1)
        inside = (bounds.low is None or number >= bounds.low) and (
            bounds.high is None or number <= bounds.high
        )
        return inside != self.is_negative

    def phrase(self, noun: str = "", write: Callable[[Decimal], str] | None = None) -> str:
        """Return the phrase, such as "at least 2 orders". ``write`` formats the numbers."""
        write = write or format_number
        if self.word == "between":
            low, high = self.value
            return f"between {write(low)} and {write(high)}" + (f" {noun}s" if noun else "")
        words = {"is": "exactly", "is_not": "not exactly"}
        phrase = f"{words.get(self.word, self.word.replace('_', ' '))} {write(self.value)}"
        return phrase + (f" {noun}{'' if self.value == 1 else 's'}" if noun else "")


class Share(Number):
    """Comparisons of a share between 0 and 1."""

    words = {word: values.SHARES if word == "between" else values.SHARE for word in Number.words}

    def phrase(self, noun: str = "", write: Callable[[Decimal], str] | None = None) -> str:
        """Return the phrase with percentages, such as "at least 50 %"."""
        return super().phrase(noun, write or (lambda share: f"{format_number(share * 100)} %"))


class Relative(Operator):
    """Comparisons of a number with the population."""

    words = {
        "above": values.choice("average", "median"),
        "below": values.choice("average", "median"),
        "top_percent": values.PERCENTAGE,
        "bottom_percent": values.PERCENTAGE,
    }

    def phrase(self, threshold: str = "") -> str:
        """Return the phrase, such as "above the average", or with a threshold "above the average of 151.00 EUR"."""
        if self.word in ("above", "below"):
            return f"{self.word} the {self.value}" + (f" of {threshold}" if threshold else "")
        end, bound = ("top", "at least") if self.word == "top_percent" else ("bottom", "at most")
        return f"among the {end} {format_number(self.value)} %" + (
            f" ({bound} {threshold})" if threshold else ""
        )


class Moment(Operator):
    """Comparisons of a moment."""

    words = {
        "within_last": values.SPAN,
        "not_within_last": values.SPAN,
        "before": values.DAY,
        "on_or_after": values.DAY,
        "between": values.PERIOD,
        "ever": values.FLAG,
    }

    def range(self, at: datetime, zone: ZoneInfo) -> Range:
        """Return the interval of instants, seen from ``at``. It is unbounded for ``ever``."""
        match self.word:
            case "within_last":
                return Range(at - self.value, at, excludes_low=True)
            case "not_within_last":
                return Range(high=at - self.value)
            case "before":
                return Range(high=start_of_day(self.value, zone), excludes_high=True)
            case "on_or_after":
                return Range(low=start_of_day(self.value, zone))
            case "between":
                first, last = self.value
                return Range(
                    start_of_day(first, zone),
                    start_of_day(last + timedelta(days=1), zone),
                    excludes_high=True,
                )
            case _:
                return Range()

    @property
    def is_never(self) -> bool:
        return self.word == "ever" and not self.value

    def q(self, value: Any, at: datetime, zone: ZoneInfo) -> Q:
        """Build the query on an instant. It is false on a missing instant, except for ``ever: false``."""
        if self.is_never:
            return Q(IsNull(value, True))
        return self.range(at, zone).q(value)

    def encoded_q(self, value: Any, at: datetime, zone: ZoneInfo) -> Q:
        """Build the query on a free value in its sortable form. A value that is not a moment counts as missing."""
        bounds = self.range(at, zone)
        low = Value(sortable_values.DATETIME) if bounds.low is None else encoded_instant(bounds.low)
        high = (
            Value(chr(ord(sortable_values.DATETIME) + 1))
            if bounds.high is None
            else encoded_instant(bounds.high)
        )
        query = Range(low, high, bounds.excludes_low, bounds.excludes_high or bounds.high is None).q(
            Bytewise(value)
        )
        return not_true_q(query) if self.is_never else query

    @property
    def spans(self) -> tuple[timedelta, ...]:
        """The distances from the instant of borders that move with it."""
        return (self.value,) if self.word in ("within_last", "not_within_last") else ()

    def phrase(self) -> str:
        """Return the phrase, such as "in the last 30 days"."""
        match self.word:
            case "within_last":
                return f"in the last {duration_text(self.value)}"
            case "not_within_last":
                return f"longer than {duration_text(self.value)} ago"
            case "before":
                return f"before {self.value}"
            case "on_or_after":
                return f"on or after {self.value}"
            case "between":
                return f"between {self.value[0]} and {self.value[1]}"
            case _:
                return "ever" if self.value else "never"


class Period(Moment):
    """The period in which orders or events are counted."""

    words = {
        word: adapter for word, adapter in Moment.words.items() if word not in ("ever", "not_within_last")
    }


def encoded_instant(moment: datetime | LateInstant | ColumnInstant) -> Any:
    """Return an instant in the sortable form of free values."""
    if isinstance(moment, ColumnInstant):
        return moment.encoded()
    encode = sortable_values.encode_datetime
    return moment.mapped(encode) if isinstance(moment, LateInstant) else Value(encode(moment))


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    return sortable_values.start_of_day(day, zone)
