"""Population statistics at one instant: averages, medians, percentiles, quintile cuts.

The population is the customers with at least one counting order and a value. Every statistic is a whole number in
the unit of the value (ten-thousandths for amounts, microseconds since 1970 for moments), or None if the population is
empty.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.db.models import Count, F, QuerySet, Sum, Window
from django.db.models.functions import RowNumber

from core.values.decimals import round_half_away
from customers.facts.totals import Totals, read_totals

StatisticValue = int | list[int] | None

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class PopulationStatistics(dict[str, StatisticValue]):
    """Statistics by name. Each is computed when it is first needed, and stored with the refresh that used it.

    ``totals`` are the totals of buyers, if they are read already.
    """

    def __init__(self, *given: Any, totals: Totals | None = None) -> None:
        super().__init__(*given)
        self.totals = totals

    def get_or_compute(self, name: str, compute: Callable[[], StatisticValue]) -> StatisticValue:
        if name not in self:
            self[name] = compute()
        return self[name]


def average_from_totals(fact: str, totals: Totals | None = None) -> int | None:
    """Return the mean of a fact over the buyers, from the sums that fact updates maintain; None without buyers.

    ``totals`` are these sums, if the caller has read them already.
    """
    totals = totals or read_totals()
    if totals is None or not totals.buyers:
        return None
    return round_half_away(Fraction(getattr(totals, fact), totals.buyers))


def average(values: QuerySet[Any]) -> int | None:
    """Return the mean of ``value`` over a queryset, rounded half away from zero."""
    totals = values.aggregate(total=Sum("value"), count=Count("pk"))
    return round_half_away(Fraction(int(totals["total"]), totals["count"])) if totals["count"] else None


def median(values: QuerySet[Any]) -> int | None:
    """Return the median: the middle value, or the mean of the middle two, rounded half away from zero."""
    count = values.count()
    if not count:
        return None
    middle = {(count + 1) // 2, count // 2 + 1}
    ranked = _at_ranks(values, middle)
    return round_half_away(Fraction(sum(ranked[rank] for rank in middle), len(middle)))


def top_threshold(values: QuerySet[Any], percent: Decimal) -> int | None:
    """Return the smallest value in the top: of n values the ceil(percent/100 · n)-th largest."""
    count = values.count()
    if not count:
        return None
    rank = count - _share_rank(percent, count) + 1
    return _at_ranks(values, {rank})[rank]


def bottom_threshold(values: QuerySet[Any], percent: Decimal) -> int | None:
    """Return the largest value in the bottom: the ceil(percent/100 · n)-th smallest."""
    count = values.count()
    if not count:
        return None
    rank = _share_rank(percent, count)
    return _at_ranks(values, {rank})[rank]


def quintile_cuts(values: QuerySet[Any]) -> list[Fraction] | None:
    """Return the cuts at 20, 40, 60 and 80 %, interpolated linearly at position p·(n-1), not rounded.

    Source: Hyndman and Fan (1996), Sample Quantiles in Statistical Packages, definition 7.
    """
    count = values.count()
    if not count:
        return None
    positions = [Fraction(fifth * (count - 1), 5) for fifth in (1, 2, 3, 4)]
    lower = [int(position) for position in positions]
    ranked = _at_ranks(values, {rank for low in lower for rank in (low + 1, min(low + 2, count))})
    return [
        ranked[low + 1] + (position - low) * (ranked[min(low + 2, count)] - ranked[low + 1])
        for low, position in zip(lower, positions, strict=True)
    ]


def to_microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(microseconds_since: int) -> datetime:
    return EPOCH + microseconds_since * MICROSECOND


def _share_rank(percent: Decimal, count: int) -> int:
    exact = Fraction(percent) * count / 100
    return -(-exact.numerator // exact.denominator)


def _at_ranks(values: QuerySet[Any], ranks: Iterable[int]) -> dict[int, int]:
    ranked = (
        values.annotate(rank=Window(RowNumber(), order_by=F("value").asc()))
        .filter(rank__in=sorted(set(ranks)))
        .values_list("rank", "value")
    )
    return {
        rank: to_microseconds(value) if isinstance(value, datetime) else int(value) for rank, value in ranked
    }
