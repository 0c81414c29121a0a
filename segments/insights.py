"""Insights for staff: the history of segments, the revenue of their members, and overlaps.

History is read from daily counts and totals, so it is fast for any number of members. Queries that read each member run
in requests of their own, with a time limit.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Sum, Value

from core.db import execution, temporary_tables, time_limits
from core.values.decimals import from_units
from customers.facts.totals import read_totals
from customers.models import Facts

from .evaluation.context import shop_zone
from .models import Segment
from .models.membership import Change, DailyChangeCount, Membership

QUERY_SECONDS = 2.0
"""The time limit of a query that reads each member."""
SAMPLE_SIZE = 10_000
"""How many members of a large segment are compared with other segments."""
WEEK, MONTH = 7, 30
ENTERED, LEFT = Change.Kind.ENTERED, Change.Kind.LEFT

_MEMBERS = Membership._meta.db_table
_SPREAD, _NUMBERS = 2_654_435_761, 2**32  # multiplied by it, consecutive keys are spread evenly


# -- Over time


@dataclass(frozen=True)
class SegmentDay:
    """One day of a segment: its size at the end, and how many customers entered and left, by cause."""

    day: date
    size: int
    entered: Mapping[str, int]
    left: Mapping[str, int]


def segment_days(segment: Segment, at: datetime, count: int) -> list[SegmentDay]:
    """Return the last days of a segment up to today: fewer if it is younger, none before its first refresh."""
    if segment.refreshed_at is None:
        return []
    today = _shop_day(at)
    moved: dict[tuple[date, str], dict[str, int]] = defaultdict(dict)
    counts_by_day = DailyChangeCount.objects.filter(segment=segment, day__gt=today - timedelta(days=count))
    for day, change, cause, customers in counts_by_day.values_list("day", "change", "cause", "customers"):
        moved[day, change][cause] = customers
    first = _first_day(segment, {day for day, _ in moved}, today, count)
    size = segment.size
    days = []
    # Backwards from the present size: the size before a day is the size after it, minus entered, plus left.
    for day in (today - timedelta(days=back) for back in range((today - first).days + 1)):
        entered, left = moved[day, ENTERED], moved[day, LEFT]
        days.append(SegmentDay(day, size, entered, left))
        size += sum(left.values()) - sum(entered.values())
    return days[::-1]


@dataclass(frozen=True)
class Movement:
    """How many customers entered and left in some days, without the first refresh of the segment."""

    entered: int = 0
    left: int = 0


@dataclass(frozen=True)
class Trend:
    """A segment's sizes at the end of up to thirty days, and how many entered and left in a week and a month.

    ``since_a_week`` is the growth in seven days, None if the segment is younger.
    """

    sizes: tuple[int, ...]
    since_a_week: int | None
    week: Movement
    month: Movement


def segment_trends(segments: Iterable[Segment], at: datetime) -> dict[int, Trend]:
    """Return the trend of each refreshed segment by its key, with one statement."""
    refreshed = {segment.pk: segment for segment in segments if segment.refreshed_at}
    today = _shop_day(at)
    moved: dict[int, dict[date, dict[str, tuple[int, int]]]] = defaultdict(lambda: defaultdict(dict))
    counts_by_day = DailyChangeCount.objects.filter(
        segment__in=refreshed, day__gt=today - timedelta(days=MONTH)
    )
    for key, day, change, everybody, initial in counts_by_day.values_list(
        "segment_id", "day", "change"
    ).annotate(
        everybody=Sum("customers"),
        initial=Sum("customers", filter=Q(cause=Change.Cause.INITIAL), default=0),
    ):
        moved[key][day][change] = everybody, everybody - initial
    return {key: _trend(segment, moved[key], today) for key, segment in refreshed.items()}


def _trend(segment: Segment, moved: Mapping[date, Mapping[str, tuple[int, int]]], today: date) -> Trend:
    first = _first_day(segment, set(moved), today, MONTH)
    sizes = [segment.size]
    for day in (today - timedelta(days=back) for back in range((today - first).days)):
        entered, left = (moved.get(day, {}).get(change, (0, 0))[0] for change in (ENTERED, LEFT))
        sizes.append(sizes[-1] + left - entered)

    def moved_in(days: int) -> Movement:
        recent = [of_day for day, of_day in moved.items() if day > today - timedelta(days=days)]
        entered, left = (
            sum(of_day.get(change, (0, 0))[1] for of_day in recent) for change in (ENTERED, LEFT)
        )
        return Movement(entered, left)

    return Trend(
        sizes=tuple(reversed(sizes)),
        since_a_week=segment.size - sizes[WEEK] if len(sizes) > WEEK else None,
        week=moved_in(WEEK),
        month=moved_in(MONTH),
    )


def _first_day(segment: Segment, with_changes: set[date], today: date, count: int) -> date:
    """Return the first of the last days on which the segment existed. Its first refresh may be for an earlier day."""
    first = min({_shop_day(segment.created_at), today} | with_changes)
    return max(first, today - timedelta(days=count - 1))


def _shop_day(instant: datetime) -> date:
    return instant.astimezone(shop_zone()).date()


# -- The members


@dataclass(frozen=True)
class MemberRevenue:
    """The orders and revenue of the members, and the revenue of the shop."""

    members: int
    buyers: int
    orders: int
    revenue: Decimal
    shop_revenue: Decimal

    @property
    def per_member(self) -> Decimal | None:
        """The revenue per member, None without members."""
        return _mean(self.revenue, self.members)

    @property
    def per_order(self) -> Decimal | None:
        """The revenue per order, None without orders."""
        return _mean(self.revenue, self.orders)

    @property
    def share(self) -> float | None:
        """The share of the shop's revenue, None without revenue."""
        return float(self.revenue / self.shop_revenue) if self.shop_revenue > 0 else None


def member_revenue(segment: Segment, seconds: float) -> MemberRevenue:
    """Sum up the orders of the members. Raises StatementTimeout."""
    members = Membership.objects.filter(segment=segment).values("customer_id")
    with time_limits.time_limit(seconds):
        sums = Facts.objects.filter(customer_id__in=members).aggregate(
            members=Count("pk"),
            buyers=Count("pk", filter=Q(order_count__gt=0)),
            orders=Sum("order_count", default=0),
            revenue=Sum("total_spent", default=0),
        )
        totals = read_totals()
    sums["revenue"] = from_units(int(sums["revenue"]))
    return MemberRevenue(**sums, shop_revenue=from_units(totals.total_spent if totals else 0))


def _mean(total: Decimal, count: int) -> Decimal | None:
    return round(total / count, 2) if count else None


def sampled_members(segment: Segment, one_in: int) -> QuerySet[Membership]:
    """Return one in so many members, chosen by their keys, or all of them."""
    members = Membership.objects.filter(segment=segment)
    if one_in == 1:
        return members
    place: Any = F("customer_id") * Value(_SPREAD) % Value(_NUMBERS)
    return members.alias(place=place).filter(place__lt=_NUMBERS // one_in)


@dataclass(frozen=True)
class Overlap:
    """How many members of a segment are also members of another segment."""

    other: Segment
    common: int
    share: float
    share_of_other: float


@dataclass(frozen=True)
class Overlaps:
    """The overlaps, largest first. ``sample_size`` is the size of the sample if they are estimated from one."""

    overlaps: list[Overlap]
    sample_size: int | None = None


def find_overlaps(segment: Segment, seconds: float) -> Overlaps:
    """Count the members who are also in each other segment. Raises StatementTimeout.

    For a large segment the counts are estimated from a sample of some ten thousand members, chosen by their keys.
    """
    one_in = max(1, segment.size // SAMPLE_SIZE)
    with time_limits.time_limit(seconds):
        # A temporary table, since the planner would overestimate the sample and read all memberships.
        temporary_tables.create_temporary_table("sampled_members", "customer_id bigint PRIMARY KEY")
        sample_size = execution.execute(
            f"""INSERT INTO sampled_members SELECT customer_id FROM {_MEMBERS}
                WHERE segment_id = %s AND customer_id * {_SPREAD} %% {_NUMBERS} < %s""",
            [segment.pk, _NUMBERS // one_in],
        )
        counts: dict[int, int] = dict(
            execution.fetch_all(
                f"""SELECT segment_id, count(*) FROM {_MEMBERS}
                    WHERE customer_id IN (SELECT customer_id FROM sampled_members) AND segment_id <> %s
                    GROUP BY segment_id""",
                [segment.pk],
            )
        )
        others = Segment.objects.in_bulk(counts)
    # The sample is empty if all members have been erased since the size was stored.
    scale = max(segment.size, sample_size) / sample_size if one_in > 1 and sample_size else 1.0
    overlaps = [
        Overlap(
            other,
            round(counts[key] * scale),
            counts[key] / sample_size,
            min(1.0, counts[key] * scale / max(other.size, 1)),
        )
        for key, other in others.items()
    ]
    overlaps.sort(key=lambda overlap: (-overlap.common, overlap.other.name))
    return Overlaps(overlaps, sample_size if one_in > 1 else None)
