"""Batches of tracking messages like those of a web shop, and clients that send them to a server."""

import base64
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import harness

from segments_project.server.bundled_servers import free_port, signal_on_parent_death

EVENTS_A_REQUEST = 100
EVENTS_A_VISIT = 10
BROWSERS_AT_A_TIME = 50
EVENT_NAMES = ("Page Viewed", "Product Viewed", "Product Viewed", "Product Added", "Search")
STARTS_AT = datetime(2026, 6, 1, tzinfo=UTC)


# -- What is sent


def make_requests(client: int, numbers: range) -> list[bytes]:
    """Return request bodies: ten events per visit, two percent of them by known customers."""
    chance = random.Random(f"{client}/{numbers.start}")
    return [
        json.dumps({"batch": [make_message(chance, client, number) for number in part]}).encode()
        for part in cut(numbers, EVENTS_A_REQUEST)
    ]


def make_small_requests(numbers: range) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield requests as (kind of the source, messages), as they come in while a shop is open.

    Half of the visits are of browsers, fifty at a time, each of whose events is a request of its own. The others are
    sent by a server, each visit in one request.
    """
    chance = random.Random("small")
    for part in cut(numbers, 2 * BROWSERS_AT_A_TIME * EVENTS_A_VISIT):
        visits = cut(part, EVENTS_A_VISIT)
        browsers, servers = visits[::2], visits[1::2]
        for place in range(EVENTS_A_VISIT):
            for visit in browsers:
                if place < len(visit):
                    yield "browser", [make_message(chance, 0, visit[place])]
            for visit in servers[place::EVENTS_A_VISIT]:
                yield "server", [make_message(chance, 0, number) for number in visit]


def cut(numbers: range, length: int) -> list[range]:
    """Cut a range into parts of at most this length."""
    return [numbers[start : start + length] for start in range(0, len(numbers), length)]


def make_message(chance: random.Random, client: int, number: int) -> dict[str, Any]:
    visit = number // EVENTS_A_VISIT
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


# -- The servers and their clients


@contextmanager
def running_server(application: str) -> Iterator[int]:
    """Serve an application as the product is served, by two processes, on this part's database. Yield the port."""
    port = free_port()
    command = f"gunicorn --config python:segments_project.server.gunicorn_config --workers 2 --bind 127.0.0.1:{port}"
    web = subprocess.Popen(
        [sys.executable, "-m", *command.split(), application],
        env={**os.environ, "PYTHONPATH": f"{harness.ROOT}{os.pathsep}{Path(__file__).parent}"},
        cwd=harness.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=signal_on_parent_death(15),
    )
    try:
        _wait_for_server(port)
        yield port
    finally:
        web.terminate()
        web.wait()


def _wait_for_server(port: int) -> None:
    """Wait until both workers have surely responded, so that none is still starting."""
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


def time_clients(port: int, key: str, requests: Sequence[Sequence[bytes]]) -> float:
    """Send each client's requests one after another, the clients side by side. Return the seconds."""
    ready = multiprocessing.Barrier(len(requests) + 1)
    clients = [multiprocessing.Process(target=_run_client, args=(port, key, one, ready)) for one in requests]
    for client in clients:
        client.start()
    ready.wait(60)
    started = time.perf_counter()
    for client in clients:
        client.join()
    seconds = time.perf_counter() - started
    if any(client.exitcode for client in clients):
        raise SystemExit("a client failed")
    return seconds


def _run_client(port: int, key: str, bodies: Sequence[bytes], ready: Any) -> None:
    headers = {
        "Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(),
        "Content-Type": "application/json",
    }
    server = HTTPConnection("127.0.0.1", port)
    server.connect()
    ready.wait(60)
    for body in bodies:
        server.request("POST", "/v1/batch", body, headers)
        response = server.getresponse()
        if response.read() != b'{"success": true}':
            raise SystemExit(f"answered {response.status}")
