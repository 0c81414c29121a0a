"""A shop whose time moves forward: it is created in SQL, gets new records, and is refreshed at its own clock.

The shop (`shop_in_sql`) ends some days ago. Its clock is passed to every refresh and never goes back.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

import harness
import shop_in_sql
from django.db.models import Max

from core.db import backends, execution
from customers.facts import update
from customers.models import Customer, Event, Order
from segments import segment_store
from segments.models import Membership, Segment
from segments.refresh.engine import refresh_all

HEAD_START = timedelta(days=10)
"""How long ago the shop's history ends. The rest of this time is filled with records before the last part."""

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)

Figures = dict[str, Any]


def make_shop(customers: int) -> Figures:
    """Create the shop with its facts and members, unless the database has one already."""
    harness.migrate()
    raw = {}
    if Customer.objects.exists():
        harness.log("The database has a shop already")
    else:
        until = (datetime.now(UTC) - HEAD_START).replace(microsecond=0)
        harness.log(f"Creating a shop of {customers:,} customers whose history ends at {until}")
        raw["build_s"] = round(time_call(lambda: shop_in_sql.build(customers, until)), 1)
        raw["first_facts_s"] = round(time_call(lambda: update.recompute_all(until)), 1)
        segment_store.install_templates()
        raw["first_members_s"] = round(time_call(lambda: refresh_members(until)), 1)
        if backends.is_postgresql():
            execution.execute("VACUUM ANALYZE")
            execution.execute("CHECKPOINT")
        harness.log(f"  {raw}")
    return {
        "customers": Customer.objects.count(),
        "orders": Order.objects.count(),
        "events": Event.objects.count(),
        "memberships": Membership.objects.count(),
        "raw": raw,
    }


class Clock:
    """The clock of the shop, which never goes back nor past the real time."""

    def __init__(self) -> None:
        refreshed = Segment.objects.aggregate(latest=Max("refreshed_at"))["latest"]
        known = [instant for instant in (update.facts_updated_until(), refreshed) if instant]
        if not known:
            raise SystemExit("there is no shop with members in this database")
        self.at = max(known)

    def move(self, length: timedelta) -> tuple[datetime, datetime]:
        """Move forward. Return the instants before and after."""
        since, self.at = self.at, self.at + length
        if self.at > datetime.now(UTC):
            raise SystemExit("the shop's time has caught up with the clock: give an empty folder")
        return since, self.at


def time_call(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def refresh_members(at: datetime, *, full: bool = False) -> int:
    """Refresh all segments. Return how many members changed."""
    _, outcomes = refresh_all(at=at, full=full)
    for outcome in outcomes:
        if outcome.error:
            raise SystemExit(f"{outcome.segment.slug}: {outcome.error}")
    return sum(outcome.entered + outcome.left for outcome in outcomes)


def refresh_everybody(at: datetime) -> None:
    """Run a full refresh that must change nothing."""
    if changed := refresh_members(at, full=True):
        raise SystemExit(
            f"a full refresh at {at} found {changed} members that the pass before had left wrong"
        )


def ingest_new_records(clock: Clock, length: timedelta) -> None:
    """Move the clock, and ingest what a shop of this size gets meanwhile."""
    size = Customer.objects.count()
    since, until = clock.move(length)
    shop_in_sql.ingest(shop_in_sql.news(since, until, **shop_in_sql.proportional(size, since, until)))


def summarise(values: Sequence[float]) -> Figures:
    """Return the median, the fastest and the slowest of several runs."""
    shown = {"median": median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 5) for name, value in shown.items()} | {"runs": len(values)}


def ratio_of_medians(name: str, slow: Sequence[float], fast: Sequence[float]) -> Figures:
    """Return the median of the first divided by that of the second."""
    ratio = median(slow) / median(fast)
    harness.log(f"{name}: {median(slow):.4f} s / {median(fast):.4f} s = {ratio:.2f}")
    return {name: round(ratio, 2)}
