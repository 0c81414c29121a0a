"""Measures of a customer's records in a period, and how they compare with the population's."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import BigIntegerField, F, Func, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from django.db.models.lookups import GreaterThan, GreaterThanOrEqual, LessThan, LessThanOrEqual

from customers.models import Customer

from . import figures
from .asking import always
from .base import AsOf, Condition
from .figures import Figure
from .words import Moment, Relative

WHOLE = BigIntegerField()
ORDER_VALUE = Sum(F("total") - F("refunded_total"), output_field=WHOLE)


class MomentFact(Condition):
    """A question about when something happened that one fact tells."""

    fact: ClassVar[str]
    when: Moment

    def q(self, as_of: AsOf) -> Q:
        """Ask the fact."""
        return self.when.q(self.value(as_of), as_of.at, as_of.zone)

    def value(self, as_of: AsOf) -> Any:
        """Give the fact."""
        return as_of.fact(self.fact)


class RoundedRatio(Func):
    """The ratio of two whole numbers, rounded to a whole number half away from zero."""

    arity = 2
    output_field = WHOLE

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> Any:  # type: ignore[override]
        """Compile: integer division cuts towards zero, so half the divisor is added away from it first."""
        (top, top_params), (bottom, bottom_params) = map(compiler.compile, self.source_expressions)
        sql = f"((2 * CAST({top} AS bigint) + CASE WHEN {top} < 0 THEN -{bottom} ELSE {bottom} END) / (2 * {bottom}))"
        return sql, (*top_params, *top_params, *bottom_params, *bottom_params, *bottom_params)


def one_number(records: QuerySet[Any], number: Any) -> Subquery:
    """Sum a customer's records up to one number; missing where there are none."""
    return Subquery(records.values("customer").annotate(number=number).values("number"), output_field=WHOLE)


def or_zero(value: Any) -> Coalesce:
    """Take a missing number for 0."""
    return Coalesce(value, Value(0), output_field=WHOLE)


def buyers(as_of: AsOf, value: Any) -> QuerySet[Any]:
    """Give the population: customers with a counting order, ever, and a value, annotated as ``value``."""
    customers = Customer.objects.filter(as_of.existing_q(), **{f"{as_of.facts}__order_count__gte": 1})
    return customers.annotate(value=value).filter(value__isnull=False).order_by()


def relative_q(relative: Relative, measure: str, value: Any, as_of: AsOf) -> Q:
    """Compare a value with the population's; ``measure`` names it among the figures.

    Who is outside the population is neither above nor below.
    """
    compute: Callable[[], Figure]
    match relative.word, relative.value:
        case (("above" | "below"), "average"):
            compute = lambda: figures.average(buyers(as_of, value))  # noqa: E731
        case (("above" | "below"), _):
            compute = lambda: figures.median(buyers(as_of, value))  # noqa: E731
        case "top_percent", percent:
            compute = lambda: figures.top(buyers(as_of, value), percent)  # noqa: E731
        case _, percent:
            compute = lambda: figures.bottom(buyers(as_of, value), percent)  # noqa: E731
    which = relative.value if relative.word in ("above", "below") else f"{relative.word} {relative.value}"
    cut = as_of.figures.of(f"{measure}: {which}", compute)
    if cut is None:
        return always(False)
    comparison = {
        "above": GreaterThan,
        "below": LessThan,
        "top_percent": GreaterThanOrEqual,
        "bottom_percent": LessThanOrEqual,
    }[relative.word]
    return Q(GreaterThanOrEqual(as_of.fact("order_count"), 1)) & Q(comparison(value, cut))
