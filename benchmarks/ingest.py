"""Measure tracking: how fast messages are acknowledged, and how fast a backlog is processed.

Four client processes post batches of 100 messages to gunicorn with two workers. The messages wait in the inbox, because
no worker runs. Then one worker processes them, facts included. This is compared with bare multi-row inserts of the same
rows of `customers_event` into a table with the same columns and indexes, in the same database.
"""

import argparse
import base64
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any

import harness
from django.db import connection

from core.db import execution
from customers.models import Batch, Event, Facts, Source
from customers.tracking import inbox, sources
from segments_project.server.bundled_servers import free_port, redis_server, signal_on_parent_death

EVENTS, CLIENTS, EVENTS_A_REQUEST, RUNS = 200_000, 4, 100, 3
INSERT_BATCH_SIZE = 1_000
EVENT_NAMES = ("Page Viewed", "Product Viewed", "Product Viewed", "Product Added", "Search")
STARTS_AT = datetime(2026, 6, 1, tzinfo=UTC)


# -- What is sent


def make_requests(client: int, count: int) -> list[bytes]:
    """Return request bodies like those of a web shop: ten events per visit, two percent of them by known customers."""
    chance = random.Random(client)
    batches = []
    for start in range(0, count, EVENTS_A_REQUEST):
        batch = [
            make_message(chance, client, number)
            for number in range(start, min(start + EVENTS_A_REQUEST, count))
        ]
        batches.append(json.dumps({"batch": batch}).encode())
    return batches


def make_message(chance: random.Random, client: int, number: int) -> dict[str, Any]:
    visit = number // 10
    product = chance.randrange(2_000)
    ids = {"anonymousId": f"{client:08x}-0000-4000-8000-{visit:012x}"}
    if visit % 50 == 0:
        ids["userId"] = f"customer-{client}-{visit}"
    return {
        "type": "track",
        "messageId": f"{chance.getrandbits(128):032x}",
        "event": EVENT_NAMES[number % len(EVENT_NAMES)],
        "timestamp": (STARTS_AT + timedelta(seconds=10 * number + client)).isoformat(),
        "properties": {
            "product_id": f"p{product}",
            "sku": f"SKU-{product}",
            "name": f"Product number {product}",
            "category": f"Category {product % 30}",
            "price": product / 4,
            "quantity": 1,
        },
        "context": {"library": {"name": "benchmark", "version": "1"}, "locale": "en-GB"},
        **ids,
    }


# -- The clients and the server


def run_client(port: int, key: str, batches: list[bytes]) -> None:
    """Send requests one after another over one connection."""
    headers = {
        "Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(),
        "Content-Type": "application/json",
    }
    server = HTTPConnection("127.0.0.1", port)
    for body in batches:
        server.request("POST", "/v1/batch", body, headers)
        response = server.getresponse()
        if response.read() != b'{"success": true}':
            raise SystemExit(f"answered {response.status}")


def measure_endpoint(count: int) -> dict[str, float]:
    """Fill the inbox through the endpoint. Return events per second."""
    harness.migrate()
    _, key = sources.create_source(Source(name="Shop", kind="server", messages_a_minute=100_000_000))
    connection.close()
    port = free_port()
    command = "gunicorn --config python:segments_project.server.gunicorn_config"
    command += f" --bind 127.0.0.1:{port} segments_project.wsgi"
    web = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        cwd=harness.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=signal_on_parent_death(15),
    )
    try:
        wait_for_server(port)
        sent = [make_requests(client, count // CLIENTS) for client in range(CLIENTS)]
        clients = [multiprocessing.Process(target=run_client, args=(port, key, one)) for one in sent]
        started = time.perf_counter()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        seconds = time.perf_counter() - started
    finally:
        web.terminate()
        web.wait()
    if any(client.exitcode for client in clients):
        raise SystemExit("a client failed")
    return {"events_per_s": count / seconds}


def wait_for_server(port: int) -> None:
    """Wait until both workers have responded, so that none is still starting."""
    until, answered = time.monotonic() + 60, 0
    while answered < 20:
        try:
            server = HTTPConnection("127.0.0.1", port)
            server.request("OPTIONS", "/v1/batch")
            answered += server.getresponse().status == 204
        except OSError:
            time.sleep(0.1)
        if time.monotonic() > until:
            raise SystemExit("the server does not respond")


# -- The drain, and what it is held against


def measure_processing(count: int) -> dict[str, float]:
    """Process the inbox, facts included. Return the seconds."""
    if sum(Batch.objects.values_list("size", flat=True)) != count:
        raise SystemExit("the inbox does not hold what was sent")
    started = time.perf_counter()
    inbox.drain()
    seconds = time.perf_counter() - started
    if Event.objects.count() != count or sum(Facts.objects.values_list("event_count", flat=True)) != count:
        raise SystemExit("not every event is there once")
    return {"seconds": seconds}


def measure_bare_inserts(count: int) -> dict[str, float]:
    """Insert the same rows, a thousand per statement and transaction. Return the seconds."""
    rows = execution.fetch_all("SELECT * FROM customers_event ORDER BY id")
    columns = len(rows[0])
    place = "(" + ", ".join(["%s"] * columns) + ")"
    execution.execute("DROP TABLE IF EXISTS bare")
    execution.execute("CREATE TABLE bare (LIKE customers_event INCLUDING ALL)")
    execution.execute("ALTER TABLE bare ADD FOREIGN KEY (customer_id) REFERENCES customers_customer (id)")
    started = time.perf_counter()
    for start in range(0, len(rows), INSERT_BATCH_SIZE):
        part = rows[start : start + INSERT_BATCH_SIZE]
        values = ", ".join([place] * len(part))
        execution.execute(f"INSERT INTO bare VALUES {values}", [cell for row in part for cell in row])
    return {"seconds": time.perf_counter() - started}


PARTS = {"accepted": measure_endpoint, "drained": measure_processing, "inserted": measure_bare_inserts}


def main() -> None:
    """Start the parts, or run as a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N")
    parser.add_argument("--times", type=int, default=RUNS, metavar="N")
    parser.add_argument("--run", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if harness.is_part():
        harness.print_result(PARTS[options.run](options.events))
        return
    figures: dict[str, list[float]] = {"events_per_s": [], "drain_s": [], "bare_s": []}
    for number in range(1, options.times + 1):
        with harness.database("postgresql") as url, redis_server() as redis:
            os.environ["REDIS_URL"] = redis.url
            run = [harness.run_part(url, "--run", name, "--events", str(options.events)) for name in PARTS]
        for name, part in zip(figures, run, strict=True):
            figures[name].append(next(iter(part.values())))
            harness.log(f"  run {number}  {name:<14} {figures[name][-1]:10.2f}")
    middle = {name: round(sorted(values)[len(values) // 2], 2) for name, values in figures.items()}
    harness.print_result(
        {
            "benchmark": "ingest",
            "events": options.events,
            **middle,
            "ratio": round(middle["drain_s"] / middle["bare_s"], 2),
        }
    )


if __name__ == "__main__":
    main()
