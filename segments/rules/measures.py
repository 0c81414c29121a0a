"""Aggregates of a customer's records in a period, and comparisons with the population."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import BigIntegerField, F, Func, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

from core.db.sql import Query
from customers.models import Customer

from . import population
from .base import Condition
from .context import EvaluationContext, Statistic
from .operators import Moment, Relative
from .population import StatisticValue
from .time_changes import borders_of_rows, customer_keys, facts_in_window, passed_by_statistic_q

INTEGER = BigIntegerField()
ORDER_VALUE = Sum(F("total") - F("refunded_total"), output_field=INTEGER)


class MomentFact(Condition):
    """A condition on the moment that one fact holds."""

    fact: ClassVar[str]
    when: Moment
    records: ClassVar[tuple[Callable[..., list[QuerySet[Any]]], ...]]
    """The functions of ``time_changes`` for the records whose moment the fact may hold."""

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        if until.has_indexed_moments:
            return facts_in_window(self.fact, since, until, self.when.spans)
        return [query for in_window in self.records for query in in_window(since, until, self.when.spans)]

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        return borders_of_rows(context.facts_rows(), self.fact, self.when.spans, context, within)

    def q(self, context: EvaluationContext) -> Q:
        return self.when.q(self.value(context), context.at, context.zone)

    def value(self, context: EvaluationContext) -> Any:
        return context.fact(self.fact)


class RoundedRatio(Func):
    """The ratio of two whole numbers, rounded to a whole number, half away from zero."""

    arity = 2
    output_field = INTEGER

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        """Compile. Integer division truncates towards zero, so half the divisor is first added away from zero."""
        (top, top_params), (bottom, bottom_params) = map(compiler.compile, self.source_expressions)
        sql = f"((2 * CAST({top} AS bigint) + CASE WHEN {top} < 0 THEN -{bottom} ELSE {bottom} END) / (2 * {bottom}))"
        return sql, (*top_params, *top_params, *bottom_params, *bottom_params, *bottom_params)


def aggregate_subquery(records: QuerySet[Any], number: Any) -> Subquery:
    """Aggregate a customer's records to one number; NULL without records."""
    return Subquery(records.values("customer").annotate(number=number).values("number"), output_field=INTEGER)


def coalesce_zero(value: Any) -> Coalesce:
    return Coalesce(value, Value(0), output_field=INTEGER)


def buyers_queryset(context: EvaluationContext, value: Any) -> QuerySet[Any]:
    """Return the population: customers with at least one counting order and a value, annotated as ``value``."""
    customers = Customer.objects.filter(context.existing_q(), **{f"{context.facts}__order_count__gte": 1})
    return customers.annotate(value=value).filter(value__isnull=False).order_by()


def threshold_statistic(
    relative: Relative, measure: str, value: Callable[[EvaluationContext], Any], *, changes_with_time: bool
) -> Statistic:
    """Return the statistic that values are compared with. ``measure`` identifies the value.

    ``value`` returns the expression of a customer's value in a context. ``changes_with_time`` tells whether time alone
    can change it.
    """

    def compute(context: EvaluationContext) -> StatisticValue:
        if relative.value == "average" and not changes_with_time and context.has_totals:
            return population.average_from_totals(measure, context.statistics.totals)
        values = buyers_queryset(context, value(context))
        match relative.word, relative.value:
            case ("top_percent", percent):
                return population.top_threshold(values, percent)
            case ("bottom_percent", percent):
                return population.bottom_threshold(values, percent)
            case (_, "average"):
                return population.average(values)
            case _:
                return population.median(values)

    which = relative.value if relative.word in ("above", "below") else f"{relative.word} {relative.value}"
    return Statistic(
        f"{measure}: {which}",
        compute,
        changes_with_time,
        is_from_totals=which == "average" and not changes_with_time,
    )


def relative_q(relative: Relative, threshold: Statistic, value: Any, context: EvaluationContext) -> Q:
    """Compare a value with a statistic. A customer outside the population is neither above nor below."""
    comparison = {
        "above": GreaterThan,
        "below": LessThan,
        "top_percent": GreaterThanOrEqual,
        "bottom_percent": LessThanOrEqual,
    }[relative.word]
    return Q(GreaterThanOrEqual(context.fact("order_count"), 1)) & Q(
        comparison(value, context.statistic(threshold))
    )


def passed_buyers_queryset(
    threshold: Statistic, measure: str, value: Any, since: EvaluationContext, until: EvaluationContext
) -> QuerySet[Any]:
    """Select the buyers whose value the statistic passes. Without ``value``, the fact named by ``measure`` is used."""
    if value is None:
        passed = passed_by_statistic_q(measure, threshold, since, until)
        return customer_keys(until.facts_rows().filter(passed, order_count__gte=1))
    buyers = buyers_queryset(until, value)
    return customer_keys(buyers.filter(passed_by_statistic_q("value", threshold, since, until)))
