"""Asking the database: comparisons that are false on a missing value, and their exact complements."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import BooleanField, Func, Q, Value
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, IsNull, LessThan, LessThanOrEqual

from core.values import sortable_values

Question = Q
MIN_BIGINT, MAX_BIGINT = -(2**63), 2**63 - 1


class NotTrue(Func):
    """The exact complement of a condition: true where it is false, and where it is NULL."""

    template = "(%(expressions)s) IS NOT TRUE"
    arity = 1
    conditional = True
    output_field = BooleanField()

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        """Compile; a condition known to be empty or full is complemented here."""
        try:
            return super().as_sql(compiler, connection, **extra)
        except EmptyResultSet:
            raise FullResultSet from None
        except FullResultSet:
            raise EmptyResultSet from None


class Bytewise(Func):
    """A text that compares by its bytes, whatever the database's collation."""

    template = "%(expressions)s"
    arity = 1

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Name the collation; SQLite compares bytes in any case."""
        return super().as_sql(compiler, connection, template='(%(expressions)s) COLLATE "C"', **extra)


class HoldsAny(Func):
    """Ask a list in its comparable form whether it holds one of some texts; False for what is no list, and missing."""

    # The texts are one parameter: a thousand comparisons would be too deep a tree for SQLite.
    exists, found = "EXISTS", "> 0"
    conditional = True
    output_field = BooleanField()

    def __init__(self, value: Any, texts: Iterable[str]) -> None:
        super().__init__(value, Value(json.dumps(list(dict.fromkeys(texts)))))

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        """Compile; the texts are read from the parameter by the database."""
        value, texts = self.get_source_expressions()
        value_sql, value_params = compiler.compile(value)
        texts_sql, texts_params = compiler.compile(texts)
        listed, position = "json_each({})", "instr({}, value)"
        if connection.vendor == "postgresql":
            listed = "jsonb_array_elements_text(CAST({} AS jsonb)) AS listed (value)"
            position = "strpos({}, listed.value)"
        sql = (
            f"(COALESCE(substr({value_sql}, 1, 1), '') = '{sortable_values.LIST}' AND {self.exists} (SELECT 1 FROM"
            f" {listed.format(texts_sql)} WHERE {position.format(value_sql)} {self.found}))"
        )
        return sql, (*value_params, *texts_params, *value_params)


class HoldsAll(HoldsAny):
    """Ask a list in its comparable form whether it holds all of some texts."""

    exists, found = "NOT EXISTS", "= 0"


def not_true_q(question: Q) -> Q:
    """Complement a question: whoever it is not true of."""
    return Q(NotTrue(question))


def constant_q(answer: bool) -> Q:
    """Answer alike for everybody."""
    return Q(Value(answer, output_field=BooleanField()))


@dataclass(frozen=True)
class Range:
    """An interval of numbers, moments or texts; an end that is None is open to infinity."""

    low: Any = None
    high: Any = None
    above_low: bool = False  # the low end itself is outside
    below_high: bool = False  # the high end itself is outside

    def q(self, value: Any, encode: Callable[[Any], Any] = lambda bound: bound) -> Q:
        """Ask whether a value lies inside; False where it is missing."""
        if self.low is None and self.high is None:
            return Q(IsNull(value, False))
        if self.low is not None and self.low == self.high and not (self.above_low or self.below_high):
            return Q(Exact(value, encode(self.low)))
        question = Q()
        if self.low is not None:
            question &= Q((GreaterThan if self.above_low else GreaterThanOrEqual)(value, encode(self.low)))
        if self.high is not None:
            question &= Q((LessThan if self.below_high else LessThanOrEqual)(value, encode(self.high)))
        return question

    def in_units(self, scale: int) -> "Range":
        """Give the same interval for a column of whole numbers that counts in 1/scale: both ends included."""
        low, high = self.low, self.high
        if low is not None:
            scaled = low * scale
            whole = int(scaled.to_integral_value(rounding="ROUND_CEILING"))
            low = whole + 1 if self.above_low and whole == scaled else whole
            low = min(max(low, MIN_BIGINT), MAX_BIGINT)
        if high is not None:
            scaled = high * scale
            whole = int(scaled.to_integral_value(rounding="ROUND_FLOOR"))
            high = whole - 1 if self.below_high and whole == scaled else whole
            high = min(max(high, MIN_BIGINT), MAX_BIGINT)
        return Range(low, high)

    @property
    def is_empty(self) -> bool:
        """Tell whether no value of whole numbers lies inside."""
        return self.low is not None and self.high is not None and self.high < self.low
