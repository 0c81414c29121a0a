"""Measure tracking: how fast messages are acknowledged, and what it costs to process a backlog.

Four client processes post batches of 100 messages to gunicorn with two workers, in turn with the same bodies to a bare
view (`bare_inbox`): `accept_vs_bare` says how many times as long the product takes. The messages wait in the inbox,
because no worker runs. Then one process drains them, facts included, in five parts. The processor time of an event, of
Python and PostgreSQL, is compared with that of `COPY` of the same rows of `customers_event` into a table with the same
columns and indexes (`drain_vs_copy`), and the seconds with those of multi-row inserts (`ratio`). To compare two
checkouts, divide their `drain_us`.

With `--latency-ms`, only this is measured: one or several drains whose statements each take that much longer, as with a
database on another machine. Half of the messages are of browsers, each in a request of its own, and half of a server,
in requests of ten. Divide the `distant_events_per_s` of several `--drains` by those of one.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import bare_inbox
import costs
import harness
from django.db import connection
from drain import MAX_DRAINS, Figures, make_source, measure_distant_drains, measure_drain
from tracking_traffic import EVENTS_A_REQUEST, cut, make_requests, running_server, time_clients

from core.db import execution
from segments_project.server.bundled_servers import redis_server

EVENTS, CLIENTS, RUNS = 200_000, 4, 3
ROUNDS, COPIES = 5, 3
INSERT_BATCH_SIZE = 1_000


def measure_endpoint(options: argparse.Namespace) -> Figures:
    """Send the same requests to the product, which fills the inbox, and to the bare view, in turns."""
    _, key = make_source()
    bare_inbox.create_table()
    connection.close()
    product_s = bare_s = 0.0
    with running_server("segments_project.wsgi") as product, running_server("bare_inbox") as bare:
        for requests in _rounds(options.events):
            product_s += time_clients(product, key, requests)
            bare_s += time_clients(bare, key, requests)
    return {
        "events_per_s": options.events / product_s,
        "bare_events_per_s": options.events / bare_s,
        "accept_vs_bare": product_s / bare_s,
    }


def _rounds(events: int) -> list[list[list[bytes]]]:
    """Return the requests of each client in each round."""
    numbers = range(events // CLIENTS)
    requests_a_round = -(-len(numbers) // (ROUNDS * EVENTS_A_REQUEST))
    return [
        [make_requests(client, part) for client in range(CLIENTS)]
        for part in cut(numbers, requests_a_round * EVENTS_A_REQUEST)
    ]


# -- What the drain is held against


def measure_copy(options: argparse.Namespace) -> Figures:
    """Copy the same rows, in the same order, into a table with the same indexes, and once more with its foreign key."""
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY (SELECT * FROM customers_event ORDER BY id) TO STDOUT (FORMAT binary)") as rows,
    ):
        blocks = [bytes(block) for block in rows]
    _make_bare_table(with_foreign_key=False)
    alone = _copy_us(blocks, options.events)
    _make_bare_table(with_foreign_key=True)
    return {"copy_us": alone, "copy_with_foreign_key_us": _copy_us(blocks, options.events)}


def _copy_us(blocks: Sequence[bytes], events: int) -> float:
    """Return the processor time of a row, in microseconds."""
    total = costs.Cost()
    for _ in range(COPIES):
        execution.execute("TRUNCATE bare")
        total += costs.cost_of(lambda: _copy_rows(blocks))
    return 1e6 * total.processor / COPIES / events


def _copy_rows(blocks: Sequence[bytes]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY bare FROM STDIN (FORMAT binary)") as copy,
    ):
        for block in blocks:
            copy.write(block)


def measure_bare_inserts(options: argparse.Namespace) -> Figures:
    """Insert the same rows, a thousand per statement and transaction. Return the seconds."""
    rows = execution.fetch_all("SELECT * FROM customers_event ORDER BY id")
    columns = len(rows[0])
    place = "(" + ", ".join(["%s"] * columns) + ")"
    _make_bare_table(with_foreign_key=True)
    started = time.perf_counter()
    for start in range(0, len(rows), INSERT_BATCH_SIZE):
        part = rows[start : start + INSERT_BATCH_SIZE]
        values = ", ".join([place] * len(part))
        execution.execute(f"INSERT INTO bare VALUES {values}", [cell for row in part for cell in row])
    return {"bare_s": time.perf_counter() - started}


def _make_bare_table(*, with_foreign_key: bool) -> None:
    execution.execute("DROP TABLE IF EXISTS bare")
    execution.execute("CREATE TABLE bare (LIKE customers_event INCLUDING ALL)")
    if with_foreign_key:
        execution.execute("ALTER TABLE bare ADD FOREIGN KEY (customer_id) REFERENCES customers_customer (id)")


PARTS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "accepted": measure_endpoint,
    "drained": measure_drain,
    "copied": measure_copy,
    "inserted": measure_bare_inserts,
}
DISTANT_PARTS = {"distant": measure_distant_drains}


# -- Running the parts


def run(options: argparse.Namespace) -> Figures:
    """Run all parts on a new database. Return their figures and the ratios between them."""
    arguments = ["--events", str(options.events), "--drains", str(options.drains)]
    if options.latency_ms:
        arguments += ["--latency-ms", str(options.latency_ms)]
    figures: Figures = {}
    with harness.database("postgresql") as url, redis_server() as redis:
        os.environ |= {"REDIS_URL": redis.url, "INBOX_DRAINS": str(options.drains)}
        for name in DISTANT_PARTS if options.latency_ms else PARTS:
            part = harness.run_part(url, "--run", name, *arguments)
            harness.log(f"  {name:<10} {_rounded(part)}")
            figures |= part
    if not options.latency_ms:
        figures["ratio"] = figures["drain_s"] / figures["bare_s"]
        figures["drain_vs_copy"] = figures["drain_us"] / figures["copy_us"]
    return figures


def medians(runs: Sequence[Figures]) -> Figures:
    """Return the median of each figure. Lists are taken item by item."""
    return {name: _median([one[name] for one in runs]) for name in runs[0]}


def _median(values: Sequence[Any]) -> Any:
    if isinstance(values[0], list):
        return [_median(items) for items in zip(*values, strict=True)]
    return median(values)


def _rounded(figures: Figures) -> Figures:
    return {name: value if isinstance(value, list) else round(value, 2) for name, value in figures.items()}


def main() -> None:
    """Start the parts, or run as a part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N")
    parser.add_argument("--times", type=int, default=RUNS, metavar="N")
    parser.add_argument("--latency-ms", type=float, metavar="MS", help="added to each statement of a drain")
    parser.add_argument(
        "--drains", type=int, default=1, metavar="N", help="processes that drain side by side"
    )
    parser.add_argument("--run", choices=[*PARTS, *DISTANT_PARTS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.events < CLIENTS or options.events % CLIENTS:
        parser.error(f"--events: {CLIENTS} clients share them, so enter a multiple of that")
    if options.drains > 1 and not options.latency_ms:
        parser.error("--drains: is measured with --latency-ms")
    if not 1 <= options.drains <= MAX_DRAINS:
        parser.error(f"--drains: at most {MAX_DRAINS} can drain the inbox at a time")
    if harness.is_part():
        harness.print_result((PARTS | DISTANT_PARTS)[options.run](options))
        return
    runs = []
    for number in range(1, options.times + 1):
        harness.log(f"-- run {number}")
        runs.append(run(options))
    figures = _rounded(medians(runs))
    asked = {"drains": options.drains, "latency_ms": options.latency_ms} if options.latency_ms else {}
    harness.print_result({"benchmark": "ingest", "events": options.events, **asked, **figures})


if __name__ == "__main__":
    main()
