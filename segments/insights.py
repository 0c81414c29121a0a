"""What became of segments over time, and what their members are worth: figures for staff to read.

What is read for every page is bounded, however many members and changes there are: tallies by day, one row of
totals. What has to look at each member is asked apart, and given up after some seconds.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Q, Sum

from core.db import execution, temporary_tables, time_limits
from core.values.decimals import from_units
from customers.models import Customer, Facts, Totals

from .evaluation.context import shop_zone
from .models import Segment
from .models.membership import Change, DailyChangeCount, Membership

QUERY_SECONDS = 2.0
"""Seconds that somebody waits for a question about each member."""
SAMPLE_SIZE = 10_000
"""Members of a large segment who stand for all when it is compared with the others."""
WEEK, MONTH = 7, 30
ENTERED, LEFT = Change.Kind.ENTERED, Change.Kind.LEFT

_MEMBERS = Membership._meta.db_table
_SPREAD, _NUMBERS = 2_654_435_761, 2**32  # multiplied by it, keys in a row are spread evenly over the numbers


# -- Over time


@dataclass(frozen=True)
class SegmentDay:
    """One day of a segment: its members at the end, and how many entered and left, by cause."""

    day: date
    size: int
    entered: Mapping[str, int]
    left: Mapping[str, int]


def segment_days(segment: Segment, now: datetime, count: int) -> list[SegmentDay]:
    """Give the last days of a segment up to today, fewer where it is younger; none before its first refresh."""
    if segment.refreshed_at is None:
        return []
    today = _shop_day(now)
    moved: dict[tuple[date, str], dict[str, int]] = defaultdict(dict)
    tallies = DailyChangeCount.objects.filter(segment=segment, day__gt=today - timedelta(days=count))
    for day, change, cause, customers in tallies.values_list("day", "change", "cause", "customers"):
        moved[day, change][cause] = customers
    first = _first_day(segment, {day for day, _ in moved}, today, count)
    size = segment.size
    found = []
    # From the present size backwards: what was before is what is now, less who entered, and those who left.
    for day in (today - timedelta(days=back) for back in range((today - first).days + 1)):
        entered, left = moved[day, ENTERED], moved[day, LEFT]
        found.append(SegmentDay(day, size, entered, left))
        size += sum(left.values()) - sum(entered.values())
    return found[::-1]


@dataclass(frozen=True)
class Movement:
    """How many entered and left within some days, but for the first filling of a segment."""

    entered: int = 0
    left: int = 0


@dataclass(frozen=True)
class Trend:
    """A segment's sizes at the end of each of up to thirty days, and who came and went in a week and a month.

    ``since_a_week`` is by how much it grew in seven days, None where it is younger.
    """

    sizes: tuple[int, ...]
    since_a_week: int | None
    week: Movement
    month: Movement


def segment_trends(segments: Iterable[Segment], now: datetime) -> dict[int, Trend]:
    """Give the trend of each segment that was refreshed, by its key, in one statement."""
    refreshed = {segment.pk: segment for segment in segments if segment.refreshed_at}
    today = _shop_day(now)
    moved: dict[int, dict[date, dict[str, tuple[int, int]]]] = defaultdict(lambda: defaultdict(dict))
    tallies = DailyChangeCount.objects.filter(segment__in=refreshed, day__gt=today - timedelta(days=MONTH))
    for key, day, change, everybody, initial in tallies.values_list("segment_id", "day", "change").annotate(
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
        some = [of_day for day, of_day in moved.items() if day > today - timedelta(days=days)]
        entered, left = (sum(of_day.get(change, (0, 0))[1] for of_day in some) for change in (ENTERED, LEFT))
        return Movement(entered, left)

    return Trend(
        sizes=tuple(reversed(sizes)),
        since_a_week=segment.size - sizes[WEEK] if len(sizes) > WEEK else None,
        week=moved_in(WEEK),
        month=moved_in(MONTH),
    )


def _first_day(segment: Segment, with_changes: set[date], today: date, count: int) -> date:
    """Give the first of the last days on which there was a segment; it may be filled as of an earlier day."""
    first = min({_shop_day(segment.created_at), today} | with_changes)
    return max(first, today - timedelta(days=count - 1))


def _shop_day(instant: datetime) -> date:
    return instant.astimezone(shop_zone()).date()


# -- The members


@dataclass(frozen=True)
class MemberRevenue:
    """What the members have bought, and the whole shop."""

    members: int
    buyers: int
    orders: int
    revenue: Decimal
    everybodys_revenue: Decimal

    @property
    def a_member(self) -> Decimal | None:
        """Give the revenue a member, None where there are none."""
        return _mean(self.revenue, self.members)

    @property
    def an_order(self) -> Decimal | None:
        """Give the revenue an order, None where there are none."""
        return _mean(self.revenue, self.orders)

    @property
    def share(self) -> float | None:
        """Give the members' share of the shop's revenue, None where there is none."""
        return float(self.revenue / self.everybodys_revenue) if self.everybodys_revenue > 0 else None


def member_revenue(segment: Segment, seconds: float) -> MemberRevenue:
    """Add up what the members have bought; raises StatementTimeout."""
    members = Membership.objects.filter(segment=segment).values("customer_id")
    with time_limits.time_limit(seconds):
        sums = Facts.objects.filter(customer_id__in=members).aggregate(
            members=Count("pk"),
            buyers=Count("pk", filter=Q(order_count__gt=0)),
            orders=Sum("order_count", default=0),
            revenue=Sum("total_spent", default=0),
        )
        everybody = Totals.objects.values_list("total_spent", flat=True).first() or 0
    sums["revenue"] = from_units(int(sums["revenue"]))
    return MemberRevenue(**sums, everybodys_revenue=from_units(everybody))


def _mean(total: Decimal, count: int) -> Decimal | None:
    return round(total / count, 2) if count else None


@dataclass(frozen=True)
class Overlap:
    """How many members of a segment are members of another one too."""

    other: Segment
    common: int
    share: float
    share_of_other: float


@dataclass(frozen=True)
class Overlaps:
    """Where else the members are, most first; estimated from so many members where it says ``drawn``."""

    found: list[Overlap]
    drawn: int | None = None


def find_overlaps(segment: Segment, seconds: float) -> Overlaps:
    """Count the members who are in each other segment too; raises StatementTimeout.

    Of a large segment some ten thousand members are drawn, by a number made from their keys, and stand for all.
    """
    one_in = max(1, segment.size // SAMPLE_SIZE)
    with time_limits.time_limit(seconds):
        # A table of its own: a planner cannot guess how many it is, and would read all memberships there are.
        temporary_tables.create_temporary_table("drawn", "customer_id bigint PRIMARY KEY")
        drawn = execution.execute(
            f"""INSERT INTO drawn SELECT customer_id FROM {_MEMBERS}
                WHERE segment_id = %s AND customer_id * {_SPREAD} %% {_NUMBERS} < %s""",
            [segment.pk, _NUMBERS // one_in],
        )
        counts: dict[int, int] = dict(
            execution.fetch_all(
                f"""SELECT m.segment_id, count(*) FROM drawn d JOIN {_MEMBERS} m ON m.customer_id = d.customer_id
                    WHERE m.segment_id <> %s GROUP BY m.segment_id""",
                [segment.pk],
            )
        )
        others = Segment.objects.in_bulk(counts)
    # Nobody is drawn where the size lags behind members that are gone: there is nothing to count then either.
    each = max(segment.size, drawn) / drawn if one_in > 1 and drawn else 1.0
    found = [
        Overlap(
            other,
            round(counts[key] * each),
            counts[key] / drawn,
            min(1.0, counts[key] * each / max(other.size, 1)),
        )
        for key, other in others.items()
    ]
    found.sort(key=lambda overlap: (-overlap.common, overlap.other.name))
    return Overlaps(found, drawn if one_in > 1 else None)


@dataclass(frozen=True)
class CustomerCounts:
    """How many customers the shop can reach, and how many visitors it cannot."""

    known: int
    anonymous: int


def count_customers(seconds: float) -> CustomerCounts:
    """Count the customers; raises StatementTimeout."""
    with time_limits.time_limit(seconds):
        known = Customer.objects.existing().known().count()
        everybody = Customer.objects.existing().count()
    return CustomerCounts(known, everybody - known)
