"""The parameter kinds of the rule language, the same words in every filter.

A kind is read from exactly one of its words, such as ``{"at_least": 2}``, and knows how to ask the database
for it and how to say it in English.
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
from .late_params import LateInstant, LateParam
from .lookups import Bytewise, Range, not_true_q


@dataclass(frozen=True)
class Operator:
    """One word of a kind with its value."""

    word: str
    value: Any

    words: ClassVar[Mapping[str, TypeAdapter[Any]]]

    @classmethod
    def read(cls, given: Mapping[str, Any], path: str) -> Self:
        """Read the one word of this kind among what is given; other words are for others to read."""
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
        """Read an object that holds a word of this kind and nothing else."""
        if not isinstance(given, dict):
            raise RuleError(path, "expected an object with one of " + ", ".join(cls.words))
        for name in given:
            if name not in cls.words:
                raise RuleError(
                    f"{path}.{name}", "is not a word here; expected one of " + ", ".join(cls.words)
                )
        return cls.read(given, path)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Give the JSON Schema of an object that holds one word."""
        return {
            "title": cls.__name__,
            "type": "object",
            "properties": {word: adapter.json_schema() for word, adapter in cls.words.items()},
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": False,
        }


class Number(Operator):
    """How a number compares."""

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
        """Tell whether the word asks for what lies outside its range."""
        return self.word == "is_not"

    @property
    def range(self) -> Range:
        """Give the interval the word speaks of."""
        match self.word:
            case "at_least":
                return Range(low=self.value)
            case "more_than":
                return Range(low=self.value, above_low=True)
            case "at_most":
                return Range(high=self.value)
            case "less_than":
                return Range(high=self.value, below_high=True)
            case "between":
                return Range(*self.value)
            case _:
                return Range(self.value, self.value)

    def q(self, value: Any, scale: int = 1) -> Q:
        """Ask a column of whole numbers that counts in 1/scale; ``is_not`` is true on a missing value."""
        question = self.range.in_units(scale).q(value)
        return not_true_q(question) if self.is_negative else question

    def encoded_q(self, value: Any) -> Q:
        """Ask a free value in its comparable form; one that is no number is a missing value."""
        encode = sortable_values.encode_number
        bounds = self.range
        # Without an end of its own the interval ends where the numbers do.
        low = sortable_values.NUMBER if bounds.low is None else encode(bounds.low)
        high = chr(ord(sortable_values.NUMBER) + 1) if bounds.high is None else encode(bounds.high)
        encoded = Range(low, high, bounds.above_low, bounds.below_high or bounds.high is None)
        question = encoded.q(Bytewise(value), Value)
        return not_true_q(question) if self.is_negative else question

    def holds(self, number: int) -> bool:
        """Tell whether a whole number fits."""
        bounds = self.range.in_units(1)
        inside = (bounds.low is None or number >= bounds.low) and (
            bounds.high is None or number <= bounds.high
        )
        return inside != self.is_negative

    def phrase(self, noun: str = "", write: Callable[[Decimal], str] | None = None) -> str:
        """Say it, with what is counted: "at least 2 orders"; ``write`` writes the numbers."""
        write = write or format_number
        if self.word == "between":
            low, high = self.value
            return f"between {write(low)} and {write(high)}" + (f" {noun}s" if noun else "")
        words = {"is": "exactly", "is_not": "not exactly"}
        said = f"{words.get(self.word, self.word.replace('_', ' '))} {write(self.value)}"
        return said + (f" {noun}{'' if self.value == 1 else 's'}" if noun else "")


class Share(Number):
    """How a share compares, which lies between 0 and 1."""

    words = {word: values.SHARES if word == "between" else values.SHARE for word in Number.words}


class Relative(Operator):
    """How a number compares with the buyers' as a whole."""

    words = {
        "above": values.choice("average", "median"),
        "below": values.choice("average", "median"),
        "top_percent": values.PERCENTAGE,
        "bottom_percent": values.PERCENTAGE,
    }

    def phrase(self, figure: str = "") -> str:
        """Say it: "above the average", or with the figure that is compared with, "above the average of 151.00 EUR"."""
        if self.word in ("above", "below"):
            return f"{self.word} the {self.value}" + (f" of {figure}" if figure else "")
        end, bound = ("top", "at least") if self.word == "top_percent" else ("bottom", "at most")
        return f"among the {end} {format_number(self.value)} %" + (f" ({bound} {figure})" if figure else "")


class Moment(Operator):
    """When something happened."""

    words = {
        "within_last": values.SPAN,
        "not_within_last": values.SPAN,
        "before": values.DAY,
        "on_or_after": values.DAY,
        "between": values.PERIOD,
        "ever": values.FLAG,
    }

    def range(self, at: datetime, zone: ZoneInfo) -> Range:
        """Give the interval of instants at ``at``; without ends for ``ever``."""
        match self.word:
            case "within_last":
                return Range(at - self.value, at, above_low=True)
            case "not_within_last":
                return Range(high=at - self.value)
            case "before":
                return Range(high=start_of_day(self.value, zone), below_high=True)
            case "on_or_after":
                return Range(low=start_of_day(self.value, zone))
            case "between":
                first, last = self.value
                return Range(
                    start_of_day(first, zone), start_of_day(last + timedelta(days=1), zone), below_high=True
                )
            case _:
                return Range()

    @property
    def is_never(self) -> bool:
        """Tell whether the word asks for what never happened."""
        return self.word == "ever" and not self.value

    def q(self, value: Any, at: datetime, zone: ZoneInfo) -> Q:
        """Ask an instant; False where it is missing, but for ``ever: false``."""
        if self.is_never:
            return Q(IsNull(value, True))
        return self.range(at, zone).q(value)

    def encoded_q(self, value: Any, at: datetime, zone: ZoneInfo) -> Q:
        """Ask a free value in its comparable form; one that is no moment is a missing value."""
        bounds = self.range(at, zone)
        low = Value(sortable_values.DATETIME) if bounds.low is None else encoded_instant(bounds.low)
        high = (
            Value(chr(ord(sortable_values.DATETIME) + 1))
            if bounds.high is None
            else encoded_instant(bounds.high)
        )
        question = Range(low, high, bounds.above_low, bounds.below_high or bounds.high is None).q(
            Bytewise(value)
        )
        return not_true_q(question) if self.is_never else question

    @property
    def spans(self) -> tuple[timedelta, ...]:
        """Give how far behind the instant its borders move along with it."""
        return (self.value,) if self.word in ("within_last", "not_within_last") else ()

    def phrase(self) -> str:
        """Say it: "in the last 30 days"."""
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
    """Which orders or events count, by their time."""

    words = {
        word: adapter for word, adapter in Moment.words.items() if word not in ("ever", "not_within_last")
    }


def encoded_instant(moment: datetime | LateInstant) -> Value | LateParam:
    """Give an instant in the comparable form of free values."""
    encode = sortable_values.encode_datetime
    return moment.mapped(encode) if isinstance(moment, LateInstant) else Value(encode(moment))


def start_of_day(day: date, zone: ZoneInfo) -> datetime:
    """Give the instant at which a day begins in the shop's zone."""
    return sortable_values.start_of_day(day, zone)
