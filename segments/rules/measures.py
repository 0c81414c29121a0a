"""Measures of a customer's records in a period, and how they compare with the population's."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import BigIntegerField, F, Func, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

from customers.models import Customer, Facts

from . import population
from .base import Condition, EvaluationContext, Statistic
from .operators import Moment, Relative
from .population import StatisticValue
from .time_changes import passed_by_statistic_q

INTEGER = BigIntegerField()
ORDER_VALUE = Sum(F("total") - F("refunded_total"), output_field=INTEGER)


class MomentFact(Condition):
    """A question about when something happened that one fact tells."""

    fact: ClassVar[str]
    when: Moment
    sweeps: ClassVar[tuple[Callable[..., list[QuerySet[Any]]], ...]]
    """The records that the fact may be the time of: who has one in a swept band."""

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        """Name whose records a border of the words sweeps."""
        return [query for sweep in self.sweeps for query in sweep(since, until, self.when.spans)]

    def q(self, context: EvaluationContext) -> Q:
        """Ask the fact."""
        return self.when.q(self.value(context), context.at, context.zone)

    def value(self, context: EvaluationContext) -> Any:
        """Give the fact."""
        return context.fact(self.fact)


class RoundedRatio(Func):
    """The ratio of two whole numbers, rounded to a whole number half away from zero."""

    arity = 2
    output_field = INTEGER

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        """Compile: integer division cuts towards zero, so half the divisor is added away from it first."""
        (top, top_params), (bottom, bottom_params) = map(compiler.compile, self.source_expressions)
        sql = f"((2 * CAST({top} AS bigint) + CASE WHEN {top} < 0 THEN -{bottom} ELSE {bottom} END) / (2 * {bottom}))"
        return sql, (*top_params, *top_params, *bottom_params, *bottom_params, *bottom_params)


def aggregate_subquery(records: QuerySet[Any], number: Any) -> Subquery:
    """Sum a customer's records up to one number; missing where there are none."""
    return Subquery(records.values("customer").annotate(number=number).values("number"), output_field=INTEGER)


def coalesce_zero(value: Any) -> Coalesce:
    """Take a missing number for 0."""
    return Coalesce(value, Value(0), output_field=INTEGER)


def buyers_queryset(context: EvaluationContext, value: Any) -> QuerySet[Any]:
    """Give the population: customers with a counting order, ever, and a value, annotated as ``value``."""
    customers = Customer.objects.filter(context.existing_q(), **{f"{context.facts}__order_count__gte": 1})
    return customers.annotate(value=value).filter(value__isnull=False).order_by()


def threshold_statistic(
    relative: Relative, measure: str, value: Callable[[EvaluationContext], Any], *, moves: bool
) -> Statistic:
    """Name the figure that values are compared with; ``measure`` names the value among the figures.

    ``value`` refers to a customer's value at an instant; it ``moves`` where time alone changes it.
    """

    def compute(context: EvaluationContext) -> StatisticValue:
        if relative.value == "average" and not moves and context.facts == "facts":
            return population.average_from_totals(measure)
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
    return Statistic(f"{measure}: {which}", compute, moves, is_kept=which == "average" and not moves)


def relative_q(relative: Relative, cut: Statistic, value: Any, context: EvaluationContext) -> Q:
    """Compare a value with a figure; who is outside the population is neither above nor below."""
    comparison = {
        "above": GreaterThan,
        "below": LessThan,
        "top_percent": GreaterThanOrEqual,
        "bottom_percent": LessThanOrEqual,
    }[relative.word]
    return Q(GreaterThanOrEqual(context.fact("order_count"), 1)) & Q(comparison(value, context.figure(cut)))


def passed_buyers_queryset(
    cut: Statistic, measure: str, value: Any, since: EvaluationContext, until: EvaluationContext
) -> QuerySet[Any]:
    """Name the buyers whose value the figure passes; without a value of their own, by the fact of that name."""
    if value is None:
        return (
            Facts.objects.filter(passed_by_statistic_q(measure, cut, since, until), order_count__gte=1)
            .order_by()
            .values("customer")
        )
    return (
        buyers_queryset(until, value).filter(passed_by_statistic_q("value", cut, since, until)).values("pk")
    )
