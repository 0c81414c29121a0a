"""Measure refreshes, ingestion and the delay from a record to a membership change, as ratios, on its own database.

The shop's clock (`moving_shop`) moves over minutes and days of new records that are ingested, until it is the real
clock in the last part. A full refresh after a refresh must change nothing, and at the end the members are compared with
the records.

Of a pair `minute_vs_…` says how many times cheaper a pass over a minute of new records is, and `day_vs_sql` and
`full_vs_sql` how many times as expensive a pass is as the hand-written full refresh. `idle_vs_selects` compares a pass
with nothing new with twelve times `SELECT 1`.
"""

import argparse
import os
import random
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import columnar
import costs
import hand_written
import harness
from batch_ingestion import measure_ingestion
from django.db.models import Max
from moving_shop import (
    DAY,
    MINUTE,
    SECOND,
    Clock,
    Figures,
    ingest_new_records,
    make_shop,
    ratio_of_medians,
    refresh_everybody,
    refresh_members,
    summarise,
    time_call,
)
from realtime import measure_realtime

from core.db import backends, execution
from customers.facts import update
from customers.models import Customer
from segments.evaluation import live
from segments.models import Membership, Segment
from segments.refresh import verification
from segments_project.server.bundled_servers import redis_server

CUSTOMERS = 100_000
MINUTES, DAYS, FULLS, REBUILDS, IDLE_PASSES, IDLE_SELECTS = 7, 3, 3, 2, 30, 12
SQL_RUNS, COLUMNAR_RUNS = 5, 5
LIVE_LOOKUPS, COMPARED_LOOKUPS = 1_000, 200


# -- The parts


def measure_refreshes() -> Figures:
    """Time refreshes after few new records, after none, of all customers, and after all facts were recomputed."""
    clock = Clock()
    days = DAYS if backends.is_postgresql() else 0
    ingest_new_records(clock, MINUTE)
    refresh_members(clock.at)
    refresh_everybody(clock.at)  # warms up the caches

    minutes, day_long, full = [], [], []
    for number in range(MINUTES):
        minutes.append(_time_refresh(clock, MINUTE))
        if number < FULLS:
            full.append(time_call(lambda: refresh_everybody(clock.at)))
    idle = _measure_idle_passes(clock)
    for _ in range(days):
        day_long.append(_time_refresh(clock, DAY))
        full.append(time_call(lambda: refresh_everybody(clock.at)))
    rebuilt = [time_call(partial(_time_rebuild, clock.at)) for _ in range(REBUILDS)]

    raw = {"minute_s": minutes, "full_s": full, "rebuild_s": rebuilt}
    figures = ratio_of_medians("minute_vs_rebuild", rebuilt, minutes) | ratio_of_medians(
        "minute_vs_full", full, minutes
    )
    if day_long:
        raw["day_s"] = day_long
        figures |= ratio_of_medians("day_vs_rebuild", rebuilt, day_long)
    in_s = {name: summarise(values) for name, values in raw.items()}
    return figures | idle | {"raw": in_s | idle["raw"]}


def _measure_idle_passes(clock: Clock) -> Figures:
    """Count the statements of a pass with nothing new, and compare its time with that of trivial statements."""
    passes, processor, selects = [], [], []
    for _ in range(IDLE_PASSES):
        clock.move(SECOND)
        before = time.process_time()
        passes.append(1000 * time_call(lambda: refresh_members(clock.at)))
        processor.append(1000 * (time.process_time() - before))
        selects.append(1000 * time_call(_select_ones))
    clock.move(SECOND)
    with costs.recorded_statements() as statements:
        refresh_members(clock.at)
    figures = {
        "idle_statements": len(statements),
        "idle_ms": round(median(passes), 2),
        "idle_vs_selects": round(median(passes) / median(selects), 2),
    }
    harness.log(f"  a pass with nothing new: {figures}")
    return figures | {
        "raw": {
            "idle_ms": summarise(passes),
            "idle_python_ms": summarise(processor),
            "selects_ms": summarise(selects),
        }
    }


def _select_ones() -> None:
    for _ in range(IDLE_SELECTS):
        execution.execute("SELECT 1")


def _time_refresh(clock: Clock, length: timedelta) -> float:
    """Return the seconds of the refresh alone."""
    ingest_new_records(clock, length)
    changed = 0

    def act() -> None:
        nonlocal changed
        changed = refresh_members(clock.at)

    seconds = time_call(act)
    harness.log(f"  {length} of news: {seconds:.4f} s, {changed} members changed")
    return seconds


def _time_rebuild(at: datetime) -> None:
    update.recompute_all(at)
    refresh_everybody(at)


def measure_sql() -> Figures:
    """Compare a full refresh with the best hand-written SQL."""
    at = Clock().at
    figures = hand_written.compare(lambda: _require_changes(at), at, SQL_RUNS)
    return {"full_vs_sql": figures.pop("ratio"), "raw": figures}


def measure_columnar() -> Figures:
    """Time ClickHouse with the same segments and records. Without it, leave the figure out."""
    if not columnar.is_installed():
        harness.log("  chdb is not installed (CONTRIBUTING.md says how), so minute_vs_columnar is left out")
        return {"raw": {}}
    at = Clock().at
    refresh_members(at)
    return {"raw": columnar.compare(at, COLUMNAR_RUNS)}


def _require_changes(at: datetime) -> None:
    if not refresh_members(at, full=True):
        raise SystemExit("the full refresh left wrong members as they were")


def measure_live_segments() -> Figures:
    """Compare the live segments of a customer with a look-up of the customer. Some are checked against the members."""
    at = Clock().at
    newest = Customer.objects.aggregate(latest=Max("pk"))["latest"]
    chosen = random.Random("live").sample(range(1, newest + 1), min(newest, 2 * LIVE_LOOKUPS))
    keys = list(Customer.objects.existing().filter(pk__in=chosen).values_list("pk", flat=True))[:LIVE_LOOKUPS]
    random.Random("order").shuffle(keys)
    seconds: dict[str, list[float]] = {"live": [], "lookup": []}
    for number, key in enumerate(keys):
        competitors: list[tuple[str, Callable[[], Any]]] = [
            ("live", partial(live.matching_segments, key, at)),
            ("lookup", partial(Customer.objects.get, pk=key)),
        ]
        for name, act in competitors if number % 2 else reversed(competitors):
            seconds[name].append(time_call(act))
    for key in keys[:COMPARED_LOOKUPS]:
        stored = Membership.objects.filter(customer=key).values_list("segment__slug", flat=True)
        if sorted(live.matching_segments(key, at)) != sorted(stored):
            raise SystemExit(f"live segments of customer {key} are not the stored ones")
    figures = ratio_of_medians("live_vs_lookup", seconds["live"], seconds["lookup"])
    in_ms = {f"{name}_ms": [1000 * value for value in values] for name, values in seconds.items()}
    return figures | {"raw": {name: summarise(values) for name, values in in_ms.items()}}


# -- Whether all was right


def check_members() -> Figures:
    """Compare all members with a full refresh and with the records. A difference is an error."""
    at = Clock().at
    refresh_members(at)
    refresh_everybody(at)
    verdicts = verification.verify(Segment.objects.all())
    for verdict in verdicts:
        if verdict.skipped or not verdict.is_correct:
            raise SystemExit(f"{verdict.segment.slug} is not right: {verdict}")
    members = sum(verdict.compared for verdict in verdicts)
    harness.log(f"All members are right: {members:,} of {len(verdicts)} segments compared with the records")
    return {"verified_memberships": members, "raw": {"waiting": max(v.waiting for v in verdicts)}}


PARTS: dict[str, Callable[[], Figures]] = {
    "passes": measure_refreshes,
    "sql": measure_sql,
    "columnar": measure_columnar,
    "live": measure_live_segments,
    "ingest": measure_ingestion,
    "realtime": measure_realtime,
}
PARTS_ON_SQLITE = ["passes"]


def ratios_between_parts(raw: Mapping[str, Figures]) -> Figures:
    """Return the ratios of passes to what other parts have timed, of those that ran."""
    passes = raw.get("passes", {})
    sql_s, columnar_s = (raw.get(name, {}).get(f"{name}_s") for name in ("sql", "columnar"))
    figures = {}
    if passes and sql_s:
        figures["minute_vs_sql"] = round(sql_s / passes["minute_s"]["median"], 2)
        figures["day_vs_sql"] = round(passes["day_s"]["median"] / sql_s, 2)
    if passes and columnar_s:
        figures["minute_vs_columnar"] = round(columnar_s / passes["minute_s"]["median"], 2)
    return figures


def main() -> None:
    """Start the servers and the parts, each in its own process, or run as a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, metavar="N")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument(
        "--folder", type=Path, help="keep the database there; the shop in it is used again by the next run"
    )
    parser.add_argument("--parts", help=f"some of {', '.join(PARTS)}, with commas (default: all there are)")
    parser.add_argument("--run", choices=["make", *PARTS, "check"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if harness.is_part():
        others = PARTS | {"make": partial(make_shop, options.customers), "check": check_members}
        harness.print_result(others[options.run]())
        return
    there = list(PARTS) if options.database == "postgresql" else PARTS_ON_SQLITE
    parts = options.parts.split(",") if options.parts else there
    if unknown := set(parts) - set(there):
        parser.error(f"{', '.join(unknown)}: not among {', '.join(there)} on {options.database}")

    figures: Figures = {"benchmark": "refresh", "database": options.database}
    raw: Figures = {}
    with harness.database(options.database, options.folder) as url, redis_server() as redis:
        os.environ["REDIS_URL"] = redis.url
        for name in ["make", *(part for part in there if part in parts), "check"]:
            harness.log(f"-- {name}")
            result = harness.run_part(url, "--run", name, "--customers", str(options.customers))
            raw[name] = result.pop("raw")
            figures |= result
    harness.print_result(figures | ratios_between_parts(raw) | {"raw": raw})


if __name__ == "__main__":
    main()
