"""Measure refreshes, ingestion and the delay from a record to a membership change, as ratios, on its own database.

The shop (`shop_in_sql`) ends some days ago. Its clock is passed to every refresh and only moves forward: over minutes
and days of new records that are ingested, until it is the real clock in the last part. A full refresh after a refresh
must change nothing, and at the end the members are compared with the records.
"""

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import hand_written
import harness
import shop_in_sql
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max

from core.db import backends, execution, temporary_tables
from customers.facts import update
from customers.ingestion import writer
from customers.models import Customer, Event, Identity, Order
from customers.rows.kinds import EVENTS
from customers.rows.parsing import Record
from customers.rows.settings import shop_settings
from segments import segment_store
from segments.evaluation import live
from segments.models import Change, Membership, Refresh, Segment
from segments.refresh import verification
from segments.refresh.engine import refresh_all
from segments_project.celery import app
from segments_project.demo.catalogue import PAGES, PRODUCTS
from segments_project.server.bundled_servers import redis_server, signal_on_parent_death

CUSTOMERS = 100_000
HEAD_START = timedelta(days=10)
"""How long ago the shop's history ends. The rest of this time is filled with records before the last part."""

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
MINUTES, DAYS, FULLS, REBUILDS, IDLE_PASSES = 7, 3, 3, 2, 30
SQL_RUNS = 5
LIVE_LOOKUPS, COMPARED_LOOKUPS = 1_000, 200
BATCHES, BATCH_SIZE = 15, 1_000
EVENTS_A_SECOND, REALTIME_EVENTS, WARM_UP = 20, 1_200, 200

Figures = dict[str, Any]
ExpectedChange = tuple[str, str, str]
"""The customer's public id, the segment's slug, and whether the customer enters."""


# -- What the parts share


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
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


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


# -- The parts


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
    idle = []
    for _ in range(IDLE_PASSES):
        clock.move(SECOND)
        idle.append(1000 * time_call(lambda: refresh_members(clock.at)))
    for _ in range(days):
        day_long.append(_time_refresh(clock, DAY))
        full.append(time_call(lambda: refresh_everybody(clock.at)))
    rebuilt = [time_call(partial(_time_rebuild, clock.at)) for _ in range(REBUILDS)]

    raw = {"minute_s": minutes, "full_s": full, "idle_ms": idle, "rebuild_s": rebuilt}
    figures = ratio_of_medians("minute_vs_rebuild", rebuilt, minutes) | ratio_of_medians(
        "minute_vs_full", full, minutes
    )
    if day_long:
        raw["day_s"] = day_long
        figures |= ratio_of_medians("day_vs_rebuild", rebuilt, day_long)
    figures["idle_ms"] = round(median(idle), 2)
    return figures | {"raw": {name: summarise(values) for name, values in raw.items()}}


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


def _require_changes(at: datetime) -> None:
    if not refresh_members(at, full=True):
        raise SystemExit("the full refresh left wrong members as they were")


def measure_ingestion() -> Figures:
    """Compare the ingestion of batches of events, facts included, with bare inserts of the same rows."""
    clock = Clock()
    seconds: dict[str, list[float]] = {"ingest": [], "insert": []}
    for number in range(BATCHES + 1):
        for name, act in (("ingest", _time_ingested_batch), ("insert", _time_inserted_batch)):
            since, until = clock.move(MINUTE)
            batch = shop_in_sql.news(since, until, events=BATCH_SIZE, orders=0, seed=number)[EVENTS]
            taken = act(batch, clock)
            if number:  # warms up the caches
                seconds[name].append(taken)
    figures = ratio_of_medians("ingest_vs_insert", seconds["ingest"], seconds["insert"])
    return figures | {"raw": {f"{name}_s": summarise(values) for name, values in seconds.items()}}


def _time_ingested_batch(batch: shop_in_sql.Numbered, clock: Clock) -> float:
    def act() -> None:
        outcome = writer.ingest(EVENTS, batch)
        if outcome.created != BATCH_SIZE:
            raise SystemExit(f"of {BATCH_SIZE} events {outcome.created} were created")
        update.update_facts(clock.at)

    taken = time_call(act)
    refresh_members(clock.at)  # as a worker does meanwhile
    return taken


def _time_inserted_batch(batch: shop_in_sql.Numbered, clock: Clock) -> float:
    """Insert the rows and delete them again, because the facts do not contain them."""
    before = Event.objects.aggregate(latest=Max("pk"))["latest"]
    rows = _bare_rows([record for _, record in batch])
    taken = time_call(lambda: _insert_rows(rows))
    execution.execute("DELETE FROM customers_event WHERE id > %s", [before])
    return taken


BARE_COLUMNS = {
    name: "text" for name in EVENTS.columns if name not in ("customer_id", "anonymous_id", "products")
}
BARE_COLUMNS |= {"customer_id": "bigint", "occurred_at": "timestamptz"}
BARE_COLUMNS |= dict.fromkeys(("product_value", "product_quantity"), "bigint")
JSON_COLUMNS = ("properties", "properties_comparable")


def _bare_rows(records: list[Record]) -> list[tuple[Any, ...]]:
    """Return the rows with the key of their customer. Rows of a new visitor use some existing key."""
    named = [dict(zip(EVENTS.columns, record, strict=True)) for record in records]
    ids = {event["customer_id"] or event["anonymous_id"] for event in named}
    keys = dict(Identity.objects.filter(value__in=ids).values_list("value", "customer_id"))
    others = list(Customer.objects.order_by("-pk").values_list("pk", flat=True)[: len(named)])
    for event, other in zip(named, others, strict=True):
        event["customer_id"] = keys.get(event["customer_id"] or event["anonymous_id"], other)
    return [tuple(event[name] for name in BARE_COLUMNS) for event in named]


def _insert_rows(rows: list[tuple[Any, ...]]) -> None:
    values = [f"CAST({name} AS jsonb)" if name in JSON_COLUMNS else name for name in BARE_COLUMNS]
    with transaction.atomic():
        temporary_tables.create_temporary_table(
            "bare_events", ", ".join(f"{name} {kind}" for name, kind in BARE_COLUMNS.items())
        )
        temporary_tables.load_rows("bare_events", tuple(BARE_COLUMNS), rows)
        execution.execute(
            f"INSERT INTO customers_event ({', '.join(BARE_COLUMNS)}) SELECT {', '.join(values)} FROM bare_events"
        )


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


# -- Real time


def measure_realtime() -> Figures:
    """Measure the time from the commit of an event to the commit of the change it causes, with a running worker."""
    _fill_history_until_now()
    chosen = _choose_events(REALTIME_EVENTS + WARM_UP)
    with _running_worker(), _watch_changes() as seen:
        _ingest_at_pace(chosen[:WARM_UP], seen)
        warm = Refresh.objects.aggregate(latest=Max("pk"))["latest"]
        committed = _ingest_at_pace(chosen[WARM_UP:], seen)
    waited = sorted(seen[change] - moment for change, moment in committed.items())
    within = sum(seconds <= 1 for seconds in waited) / len(waited)
    p95 = quantiles(waited, n=20)[-1]
    runs = Refresh.objects.filter(pk__gt=warm, finished_at__isnull=False)
    took = [(run.finished_at - run.started_at).total_seconds() for run in runs if run.finished_at]
    harness.log(f"realtime: p95 {p95:.3f} s, {within:.1%} within a second")
    return {
        "realtime_p95_s": round(p95, 3),
        "realtime_within_1s": round(within, 4),
        "raw": {
            "events": len(waited),
            "events_a_second": EVENTS_A_SECOND,
            "wait_s": summarise(waited),
            "pass_s": summarise(took),
        },
    }


def _fill_history_until_now() -> None:
    """Ingest what a shop of this size would have got until now, day by day."""
    clock = Clock()
    while (left := datetime.now(UTC) - clock.at) > SECOND:
        ingest_new_records(clock, min(left, DAY))
        refresh_members(clock.at)
        harness.log(f"  the shop is at {clock.at:%Y-%m-%d %H:%M}")


def _choose_events(count: int) -> list[tuple[str, str, ExpectedChange]]:
    """Choose events. Return the customer, the name and the expected change of each."""
    draw = random.Random("realtime")
    lost = _printed(Membership.objects.filter(segment__slug="lost").values_list("customer", flat=True))
    waiting = Membership.objects.filter(segment__slug="waiting").values_list("customer", flat=True)
    others = Customer.objects.existing().values_list("pk", flat=True)
    idle = sorted(set(_printed(others)) - set(_printed(waiting)) - set(lost))
    some = count * 45 // 100
    chosen: list[tuple[str, str, ExpectedChange]] = [
        *(
            (whose, "Page Viewed", (whose, "lost", "left"))
            for whose in draw.sample(lost, min(len(lost), some))
        ),
        *(
            (whose, "Product Added", (whose, "waiting", "entered"))
            for whose in draw.sample(idle, min(len(idle), some))
        ),
    ]
    while len(chosen) < count:
        whose = f"anonymous:{draw.getrandbits(128):032x}"
        chosen.append((whose, "Page Viewed", (whose, "anonymous", "entered")))
    draw.shuffle(chosen)
    return chosen


def _printed(keys: Any) -> list[str]:
    return sorted(Customer.objects.filter(pk__in=keys).values_list("customer_id", flat=True))


def _ingest_at_pace(
    chosen: Sequence[tuple[str, str, ExpectedChange]], seen: dict[ExpectedChange, float]
) -> dict[ExpectedChange, float]:
    """Ingest the events at an even pace and wait for the changes. Return when each event was committed."""
    committed: dict[ExpectedChange, float] = {}
    begun = time.perf_counter()
    for number, (whose, name, change) in enumerate(chosen):
        due = begun + number / EVENTS_A_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
        _ingest_event(whose, name, partial(_record_commit, committed, change))
    late = time.perf_counter() - begun - len(chosen) / EVENTS_A_SECOND
    if late > 1:
        harness.log(f"  the events were ingested {late:.1f} s later than planned")
    until = time.monotonic() + 60
    while missing := committed.keys() - seen.keys():
        if time.monotonic() > until:
            raise SystemExit(f"{len(missing)} changes were not seen within a minute, such as {missing.pop()}")
        time.sleep(0.1)
    return committed


def _ingest_event(whose: str, name: str, committed: Callable[[], None]) -> None:
    properties = PAGES[0] if name == "Page Viewed" else shop_in_sql.product_properties(PRODUCTS[0])
    moment = datetime.now(UTC).isoformat()
    row = shop_in_sql.event_row(f"{random.getrandbits(128):032x}", whose, name, moment, properties)
    record = EVENTS.read(row, shop_settings())
    with transaction.atomic():
        transaction.on_commit(committed)  # runs before ingestion's own callback, which wakes the worker
        writer.ingest(EVENTS, [(1, record)])


def _record_commit(committed: dict[ExpectedChange, float], change: ExpectedChange) -> None:
    committed[change] = time.perf_counter()


@contextmanager
def _watch_changes() -> Iterator[dict[ExpectedChange, float]]:
    """Poll for changes on a separate connection. Yield when each was first seen."""
    seen: dict[ExpectedChange, float] = {}
    stop = threading.Event()
    latest = Change.objects.aggregate(latest=Max("pk"))["latest"] or 0
    slugs = dict(Segment.objects.values_list("pk", "slug"))

    def watch(latest: int) -> None:
        while not stop.wait(0.01):
            found = execution.fetch_all(
                f"SELECT id, segment_id, public_id, change FROM segments_change WHERE id > {latest} ORDER BY id"
            )
            now = time.perf_counter()
            for key, segment, printed, change in found:
                seen.setdefault((printed, slugs[segment], change), now)
                latest = key
        connection.close()

    thread = threading.Thread(target=watch, args=[latest], daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


@contextmanager
def _running_worker() -> Iterator[None]:
    """Run a worker as `serve` does. It first finishes the tasks of the earlier parts."""
    name = f"benchmark-{os.getpid()}@localhost"
    options = f"--concurrency 2 --without-gossip --without-mingle --hostname {name}"
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "--quiet", "--app", "segments_project", "worker", *options.split()],
        cwd=settings.BASE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=signal_on_parent_death(15),
    )
    try:
        until = time.monotonic() + 60
        while not app.control.ping(destination=[name], timeout=0.5):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the worker did not start")
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# -- Whether all was right


def check_members() -> Figures:
    """Compare all members with a full refresh and with the records. A difference is an error."""
    at = Clock().at
    refresh_members(at)
    refresh_everybody(at)
    verdicts = verification.verify(Segment.objects.all())
    for verdict in verdicts:
        if verdict.skipped or not verdict.is_right:
            raise SystemExit(f"{verdict.segment.slug} is not right: {verdict}")
    members = sum(verdict.compared for verdict in verdicts)
    harness.log(f"All members are right: {members:,} of {len(verdicts)} segments compared with the records")
    return {"verified_memberships": members, "raw": {"waiting": max(v.waiting for v in verdicts)}}


PARTS: dict[str, Callable[[], Figures]] = {
    "passes": measure_refreshes,
    "sql": measure_sql,
    "live": measure_live_segments,
    "ingest": measure_ingestion,
    "realtime": measure_realtime,
}
PARTS_ON_SQLITE = ["passes"]


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
    harness.print_result(figures | {"raw": raw})


if __name__ == "__main__":
    main()
