"""Draining the inbox: the cost of an event, in parts, and drains side by side with a database that is far away."""

import argparse
import json
import multiprocessing
import time
from datetime import UTC, datetime
from typing import Any

import costs
import harness
from django.db import connection
from tracking_traffic import cut, make_small_requests

from core.db import execution
from customers.models import Batch, Event, Facts, Source
from customers.tracking import inbox, request_body, sources
from customers.tracking.messages import BATCH

PARTS = 5
MAX_DRAINS = 16
"""How many processes can drain the inbox side by side."""

Figures = dict[str, Any]


def make_source() -> tuple[Source, str]:
    """Create the tables and a source of messages. Return it with its key."""
    harness.migrate()
    return sources.create_source(Source(name="Shop", kind="server", messages_a_minute=100_000_000))


def measure_drain(options: argparse.Namespace) -> Figures:
    """Drain the inbox in parts, facts included. Return the cost of an event, and the memory after each part."""
    if _waiting() != options.events:
        raise SystemExit("the inbox does not hold what was sent")
    keys = _set_inbox_aside()
    total = costs.Cost()
    us_by_part, mb_by_part = [], []
    for part in cut(range(len(keys)), -(-len(keys) // PARTS)):
        _put_back(keys[part[0]], keys[part[-1]])
        events = _waiting()
        cost = costs.cost_of(inbox.drain)
        total += cost
        us_by_part.append(round(1e6 * cost.processor / events, 1))
        mb_by_part.append(round(costs.memory_mb(), 1))
        harness.log(f"    {events:>7} events: {us_by_part[-1]} µs each, then {mb_by_part[-1]} MB")
    _require_every_event(options.events)
    return {
        "drain_s": total.seconds,
        "drain_python_us": 1e6 * total.python / options.events,
        "drain_postgresql_us": 1e6 * total.postgresql / options.events,
        "drain_us": 1e6 * total.processor / options.events,
        "drain_us_by_part": us_by_part,
        "worker_mb": mb_by_part[-1],
        "worker_mb_by_part": mb_by_part,
    }


def _waiting() -> int:
    return sum(Batch.objects.values_list("size", flat=True))


def _set_inbox_aside() -> list[int]:
    """Move the waiting batches to another table. Return their keys in order."""
    keys = list(Batch.objects.order_by("pk").values_list("pk", flat=True))
    execution.execute("CREATE TABLE benchmark_inbox AS SELECT * FROM customers_batch")
    execution.execute("TRUNCATE customers_batch")
    return keys


def _put_back(first: int, last: int) -> None:
    execution.execute(
        "INSERT INTO customers_batch SELECT * FROM benchmark_inbox WHERE id BETWEEN %s AND %s", [first, last]
    )


def _require_every_event(count: int) -> None:
    if Event.objects.count() != count or sum(Facts.objects.values_list("event_count", flat=True)) != count:
        raise SystemExit("not every event is there once")


def measure_distant_drains(options: argparse.Namespace) -> Figures:
    """Drain the inbox with several processes whose statements each wait. Return events per second.

    The requests are small: see ``make_small_requests``.
    """
    server, _ = make_source()
    browser, _ = sources.create_source(Source(name="Pages", kind="browser", messages_a_minute=100_000_000))
    for kind, messages in make_small_requests(range(options.events)):
        content = {BATCH: messages}
        body = request_body.RequestBody(json.dumps(content), content)
        source = server if kind == "server" else browser
        inbox.store_batch(source, BATCH, body, len(messages), "", datetime.now(UTC))
    connection.close()
    ready = multiprocessing.Barrier(options.drains + 1)
    drains = [
        multiprocessing.Process(target=_drain_from_afar, args=(options.latency_ms / 1000, ready))
        for _ in range(options.drains)
    ]
    for process in drains:
        process.start()
    ready.wait(60)
    started = time.perf_counter()
    for process in drains:
        process.join()
    seconds = time.perf_counter() - started
    if any(process.exitcode for process in drains):
        raise SystemExit("a drain failed")
    _require_every_event(options.events)
    return {"distant_events_per_s": options.events / seconds}


def _drain_from_afar(latency: float, ready: Any) -> None:
    connection.ensure_connection()
    ready.wait(60)
    with costs.added_latency(latency):
        inbox.drain()
