"""The delay from the commit of an event to the commit of the membership change it causes, with a running worker."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from statistics import quantiles
from typing import Any

import harness
import shop_in_sql
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from moving_shop import DAY, SECOND, Clock, Figures, ingest_new_records, refresh_members, summarise

from core.db import execution
from customers.ingestion import writer
from customers.models import Customer
from customers.rows.kinds import EVENTS
from customers.rows.settings import shop_settings
from segments.models import Change, Membership, Refresh, Segment
from segments_project.celery import app
from segments_project.demo.catalogue import PAGES, PRODUCTS
from segments_project.server.bundled_servers import signal_on_parent_death

EVENTS_A_SECOND, REALTIME_EVENTS, WARM_UP = 20, 1_200, 200

ExpectedChange = tuple[str, str, str]
"""The customer's public id, the segment's slug, and whether the customer enters."""


def measure_realtime() -> Figures:
    """Return the 95th percentile of the delay, and the share of changes within a second."""
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
    started = time.perf_counter()
    for number, (whose, name, change) in enumerate(chosen):
        due = started + number / EVENTS_A_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
        _ingest_event(whose, name, partial(_record_commit, committed, change))
    late = time.perf_counter() - started - len(chosen) / EVENTS_A_SECOND
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
