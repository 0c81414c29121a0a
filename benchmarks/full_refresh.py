"""Compare a full refresh of the sixteen ready-to-use segments with the best hand-written SQL for the same job.

`hand_written` describes the state that both start from and what they do.
"""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hand_written
import harness

from customers.models import Customer, Event, Order
from segments import segment_store
from segments.models import Membership
from segments.refresh.engine import refresh_all
from segments_project.demo import shop

CUSTOMERS = 100_000
RUNS = 7
AT = datetime(2026, 7, 1, 12, tzinfo=UTC)
"""The end of the shop's history, and the instant of all refreshes."""


def run_refresh() -> None:
    _, outcomes = refresh_all(AT, full=True)
    for outcome in outcomes:
        if outcome.error:
            raise SystemExit(f"{outcome.segment.slug}: {outcome.error}")


def make_shop(customers: int) -> None:
    """Create the shop with right members, unless the database has one already."""
    harness.migrate()
    if shop.demo_shop_exists():
        harness.log("The database has a shop already")
    else:
        harness.log(f"Creating a shop of {customers:,} people; this takes minutes")
        due = time.monotonic()

        def tell(what: str, count: int) -> None:
            nonlocal due
            if time.monotonic() > due:
                due = time.monotonic() + 5
                harness.log(f"  {count:>12,} {what}")

        shop.fill_database(customers, AT, tell)
    segment_store.install_templates()
    hand_written.require_known_segments()
    run_refresh()


def measure(customers: int, times: int, profile: bool) -> dict[str, Any]:
    """Run the refresh and the hand-written variants in turn. Return the figures."""
    make_shop(customers)
    return {
        "benchmark": "full_refresh",
        **hand_written.compare(run_refresh, AT, times, profile=profile),
        "customers": Customer.objects.existing().count(),
        "orders": Order.objects.count(),
        "events": Event.objects.count(),
        "memberships": Membership.objects.count(),
    }


def main() -> None:
    """Start the server and the part, or run as the part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, metavar="N")
    parser.add_argument("--times", type=int, default=RUNS, metavar="N", help="runs of each competitor")
    parser.add_argument("--profile", action="store_true", help="print where the refresh spends its time")
    parser.add_argument(
        "--folder", type=Path, help="keep the database there; the shop in it is used again by the next run"
    )
    options = parser.parse_args()
    if harness.is_part():
        harness.print_result(measure(options.customers, options.times, options.profile))
        return
    with harness.database("postgresql", options.folder) as url:
        arguments = ["--customers", str(options.customers), "--times", str(options.times)]
        harness.print_result(harness.run_part(url, *arguments, *(["--profile"] if options.profile else [])))


if __name__ == "__main__":
    main()
