"""Comparisons in the database that are false on a missing value, and their exact complements."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models import BooleanField, Func, Q, Value
from django.db.models.lookups import Exact, GreaterThan, GreaterThanOrEqual, IsNull, LessThan, LessThanOrEqual

from core.values import sortable_values

MIN_BIGINT, MAX_BIGINT = -(2**63), 2**63 - 1


class NotTrue(Func):
    """The exact complement of a condition: true where it is false, and where it is NULL."""

    template = "(%(expressions)s) IS NOT TRUE"
    arity = 1
    conditional = True
    output_field = BooleanField()

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        """Compile. The complement of an empty condition is full, and vice versa."""
        try:
            return super().as_sql(compiler, connection, **extra)
        except EmptyResultSet:
            raise FullResultSet from None
        except FullResultSet:
            raise EmptyResultSet from None


class Bytewise(Func):
    """A text that is compared by its bytes, whatever the collation of the database."""

    template = "%(expressions)s"
    arity = 1

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Add the collation. SQLite always compares bytes."""
        return super().as_sql(compiler, connection, template='(%(expressions)s) COLLATE "C"', **extra)


class HoldsAny(Func):
    """Whether a list in its sortable form contains one of some texts; false on other types and missing values."""

    # The texts are one parameter: a thousand comparisons would be too deep a tree for SQLite.
    exists, found = "EXISTS", "> 0"
    conditional = True
    output_field = BooleanField()

    def __init__(self, value: Any, texts: Iterable[str]) -> None:
        super().__init__(value, Value(json.dumps(list(dict.fromkeys(texts)))))

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        """Compile. The database unpacks the texts from one JSON parameter."""
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
    """Whether a list in its sortable form contains all of some texts."""

    exists, found = "NOT EXISTS", "= 0"


def not_true_q(query: Q) -> Q:
    """Return the exact complement: rows for which the query is false or NULL."""
    return Q(NotTrue(query))


def constant_q(answer: bool) -> Q:
    """Return a query that is true, or false, for every row."""
    return Q(Value(answer, output_field=BooleanField()))


@dataclass(frozen=True)
class Range:
    """An interval of numbers, moments or texts. A bound of None means unbounded."""

    low: Any = None
    high: Any = None
    excludes_low: bool = False  # the bound itself is outside
    excludes_high: bool = False  # the bound itself is outside

    def q(self, value: Any, encode: Callable[[Any], Any] = lambda bound: bound) -> Q:
        """Build the query of values inside the interval. It is false on a missing value."""
        if self.low is None and self.high is None:
            return Q(IsNull(value, False))
        if self.low is not None and self.low == self.high and not (self.excludes_low or self.excludes_high):
            return Q(Exact(value, encode(self.low)))
        query = Q()
        if self.low is not None:
            query &= Q((GreaterThan if self.excludes_low else GreaterThanOrEqual)(value, encode(self.low)))
        if self.high is not None:
            query &= Q((LessThan if self.excludes_high else LessThanOrEqual)(value, encode(self.high)))
        return query

    def in_units(self, scale: int) -> "Range":
        """Return the interval for a column of whole numbers in units of 1/scale, with both bounds included."""
        low, high = self.low, self.high
        if low is not None:
            scaled = low * scale
            whole = int(scaled.to_integral_value(rounding="ROUND_CEILING"))
            low = whole + 1 if self.excludes_low and whole == scaled else whole
            low = min(max(low, MIN_BIGINT), MAX_BIGINT)
        if high is not None:
            scaled = high * scale
            whole = int(scaled.to_integral_value(rounding="ROUND_FLOOR"))
            high = whole - 1 if self.excludes_high and whole == scaled else whole
            high = min(max(high, MIN_BIGINT), MAX_BIGINT)
        return Range(low, high)

    @property
    def is_empty(self) -> bool:
        return self.low is not None and self.high is not None and self.high < self.low
