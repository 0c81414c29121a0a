"""Customers for whom time alone can change an answer: those with a record in a window of time.

``within_last: "30d"`` has a border 30 days before the instant. Between two instants the border passes a window, and
only records in that window enter or leave the period. The instant is a border too: a record dated ahead begins to
count when the instant passes it.

If nothing more is recorded, the answer about one customer is constant between such instants, its **borders**.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.db.models import DateTimeField, ExpressionWrapper, F, Q, QuerySet

from core.db.sql import Query
from customers.models import Customer, Event, Facts, Order

from .context import EvaluationContext, Statistic
from .late_params import LateParam
from .lookups import MAX_BIGINT, MIN_BIGINT

NO_DELAY = timedelta()


def orders_in_window(
    since: EvaluationContext, until: EvaluationContext, spans: Iterable[timedelta] = ()
) -> list[QuerySet[Any]]:
    """Select customers with an order in a window."""
    return records_in_window(
        Order.objects.all(), "placed_at", since, until, spans, with_new=not until.has_indexed_moments
    )


def events_in_window(
    since: EvaluationContext,
    until: EvaluationContext,
    spans: Iterable[timedelta] = (),
    name: str | None = None,
) -> list[QuerySet[Any]]:
    """Select customers with an event in a window, of one name or of any."""
    events = Event.objects.filter(name=name) if name else Event.objects.all()
    return records_in_window(
        events, "occurred_at", since, until, spans, with_new=not until.has_indexed_moments
    )


def first_seen_in_window(
    since: EvaluationContext, until: EvaluationContext, spans: Iterable[timedelta] = ()
) -> list[QuerySet[Any]]:
    """Select customers who were first seen in a window."""
    return records_in_window(Facts.objects.all(), "first_seen_at", since, until, spans)


def facts_in_window(
    name: str, since: EvaluationContext, until: EvaluationContext, spans: Iterable[timedelta]
) -> list[QuerySet[Any]]:
    """Select customers with a moment among their facts in a window, if these moments are indexed."""
    return [
        customer_keys(
            until.facts_rows().filter(
                Q(**{f"{name}__gt": since.at - span}), Q(**{f"{name}__lte": until.at - span})
            )
        )
        for span in spans
    ]


def records_in_window(
    records: QuerySet[Any],
    column: str,
    since: EvaluationContext,
    until: EvaluationContext,
    spans: Iterable[timedelta] = (),
    *,
    with_new: bool = True,
) -> list[QuerySet[Any]]:
    """Select the customers of records whose moment lies in a window; one query for each border.

    ``spans`` are the distances of the borders from the instant. The instant itself is always a border, and so is the
    instant of the records, if the contexts look ahead of it. Without ``with_new``, these two are left out: customers
    with new records are evaluated anyway.
    """
    delays = dict.fromkeys([NO_DELAY, *spans, until.span_ahead] if with_new else spans)
    return [
        customer_keys(
            records.filter(Q(**{f"{column}__gt": since.at - span}), Q(**{f"{column}__lte": until.at - span}))
        )
        for span in delays
    ]


def borders_of_rows(
    rows: QuerySet[Any],
    column: str,
    spans: Iterable[timedelta],
    context: EvaluationContext,
    within: timedelta,
) -> list[Query]:
    """Select the instants that are one of the spans after the moment of a row, as ``Rule.borders`` does."""
    key = "pk" if rows.model is Customer else "customer"
    rows = context.limited(rows, key)
    return [
        rows.filter(
            Q(**{f"{column}__gt": context.at - span}), Q(**{f"{column}__lte": context.at - span + within})
        )
        .order_by()
        .values(
            key=F(key),
            border=ExpressionWrapper(F(column) + (span - context.span_ahead), output_field=DateTimeField()),
        )
        for span in dict.fromkeys(spans)
    ]


def customer_keys(records: QuerySet[Any]) -> QuerySet[Any]:
    """Select the keys of the customers of some records, or of customers. The column has the same name for all."""
    return records.order_by().values(key=F("pk" if records.model is Customer else "customer"))


def passed_by_statistic_q(
    column: str,
    statistic: Statistic,
    since: EvaluationContext,
    until: EvaluationContext,
    convert: Callable[[Any], Any] = lambda value: value,
    bounds: tuple[Any, Any] = (MIN_BIGINT, MAX_BIGINT),
) -> Q:
    """Build the query of values between the former and the present value of a statistic.

    If one of the two is missing, all values match. ``convert`` converts the statistic to the column's type.
    ``bounds`` are the column's smallest and largest values.
    """
    smallest, largest = bounds

    def low(earlier: EvaluationContext, later: EvaluationContext) -> Any:
        return span(earlier, later)[0]

    def high(earlier: EvaluationContext, later: EvaluationContext) -> Any:
        return span(earlier, later)[1]

    def span(earlier: EvaluationContext, later: EvaluationContext) -> tuple[Any, Any]:
        was, now = earlier.statistics.get(statistic.name), statistic.value_in(later)
        if was is None or now is None:
            is_unchanged = was is now and statistic.name in earlier.statistics
            return (largest, smallest) if is_unchanged else (smallest, largest)
        moved = convert(was), convert(now)
        return (largest, smallest) if moved[0] == moved[1] else (min(moved), max(moved))

    return Q(
        **{f"{column}__gte": LateParam(low, since, until)},
        **{f"{column}__lte": LateParam(high, since, until)},
    )
