"""For whom time alone can change an answer: whoever has a record in the band that a border of time sweeps.

A border so far behind the instant sweeps, from one instant to a later one, the band between its two places. The
instant itself is a border too: records dated ahead come to exist when it passes them.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet

from customers.models import Customer, Event, Facts, Order

from .base import EvaluationContext, Statistic
from .late_params import LateParam
from .lookups import MAX_BIGINT, MIN_BIGINT

NO_DELAY = timedelta()


def orders_in_window(
    since: EvaluationContext, until: EvaluationContext, spans: Iterable[timedelta] = ()
) -> list[QuerySet[Any]]:
    """Name whoever has an order in a swept band."""
    return records_in_window(Order.objects.all(), "placed_at", since, until, spans)


def events_in_window(
    since: EvaluationContext,
    until: EvaluationContext,
    spans: Iterable[timedelta] = (),
    name: str | None = None,
) -> list[QuerySet[Any]]:
    """Name whoever has an event, of one name or any, in a swept band."""
    events = Event.objects.filter(name=name) if name else Event.objects.all()
    return records_in_window(events, "occurred_at", since, until, spans)


def first_seen_in_window(
    since: EvaluationContext, until: EvaluationContext, spans: Iterable[timedelta] = ()
) -> list[QuerySet[Any]]:
    """Name whoever was first seen in a swept band."""
    return records_in_window(Facts.objects.all(), "first_seen_at", since, until, spans)


def records_in_window(
    records: QuerySet[Any],
    column: str,
    since: EvaluationContext,
    until: EvaluationContext,
    spans: Iterable[timedelta] = (),
) -> list[QuerySet[Any]]:
    """Name the customers of the records whose moment lies in a band that a border sweeps."""
    owner = "pk" if records.model is Customer else "customer"
    return [
        records.filter(Q(**{f"{column}__gt": since.at - span}), Q(**{f"{column}__lte": until.at - span}))
        .order_by()
        .values(owner)
        for span in dict.fromkeys([NO_DELAY, *spans])
    ]


def passed_by_statistic_q(
    column: str,
    figure: Statistic,
    since: EvaluationContext,
    until: EvaluationContext,
    read: Callable[[Any], Any] = lambda figure: figure,
    ends: tuple[Any, Any] = (MIN_BIGINT, MAX_BIGINT),
) -> Q:
    """Ask for the values that a moving figure passes: from where it was to where it is, or all without either.

    ``read`` makes of the figure what the column compares with, ``ends`` are the column's least and greatest values.
    """
    least, greatest = ends

    def low(earlier: EvaluationContext, later: EvaluationContext) -> Any:
        return span(earlier, later)[0]

    def high(earlier: EvaluationContext, later: EvaluationContext) -> Any:
        return span(earlier, later)[1]

    def span(earlier: EvaluationContext, later: EvaluationContext) -> tuple[Any, Any]:
        was, cut = earlier.figures.get(figure.name), figure.of(later)
        if was is None or cut is None:
            return (greatest, least) if was is cut and figure.name in earlier.figures else (least, greatest)
        moved = read(was), read(cut)
        return (greatest, least) if moved[0] == moved[1] else (min(moved), max(moved))

    return Q(
        **{f"{column}__gte": LateParam(low, since, until)},
        **{f"{column}__lte": LateParam(high, since, until)},
    )
