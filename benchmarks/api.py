"""Compare the response times of the API with those of a minimal view of the framework.

Gunicorn with two workers serves two clients, which keep their connections open and send each kind of request in turn,
so that other load on the machine affects all kinds alike. Then all members of the largest segment are streamed, and
the memory of the server's processes is measured. The processor time is measured without a server
(`api_processor_time`): `live_own_ms` and its like are milliseconds beyond those of the minimal view.
"""

import argparse
import multiprocessing
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import api_processor_time
import harness
import psutil
from api_requests import ApiRequest, endless_requests, prepare
from moving_shop import make_shop

from segments_project.server.bundled_servers import free_port, redis_server, signal_on_parent_death

CUSTOMERS = 100_000
CLIENTS, ROUNDS, REQUESTS_A_ROUND = 2, 6, 50
WARM_UP_REQUESTS = 20
STREAMED_MEMBERS = 300_000


# -- The clients and the server


def run_client(port: int, shop: dict[str, Any], number: int, results: Any) -> None:
    """Send each kind of request in turn over one connection, and report the seconds of each by name."""
    server = HTTPConnection("127.0.0.1", port)
    everything = endless_requests(shop, random.Random(number))
    del everything["plain"]  # the server has all middleware
    taken: dict[str, list[float]] = {name: [] for name in everything}
    for asked in everything.values():
        for _ in range(WARM_UP_REQUESTS):
            time_request(server, next(asked))
    for _ in range(ROUNDS):
        for name, asked in everything.items():
            taken[name] += [time_request(server, next(asked)) for _ in range(REQUESTS_A_ROUND)]
    results.put(taken)


def time_request(server: HTTPConnection, asked: ApiRequest) -> float:
    """Send a request. Return the seconds until the whole response has arrived."""
    headers = {"Authorization": f"Bearer {asked.key}", "Content-Type": "application/json"}
    started = time.perf_counter()
    server.request(asked.method, asked.address, asked.body, headers)
    response = server.getresponse()
    content = response.read()
    seconds = time.perf_counter() - started
    if response.status != 200:
        raise SystemExit(f"{asked.method} {asked.address} answered {response.status}: {content[:300]!r}")
    return seconds


@contextmanager
def running_server(url: str) -> Iterator[tuple[int, psutil.Process]]:
    """Serve the project and the minimal view. Yield the port and the server's main process."""
    port = free_port()
    command = f"gunicorn api_server --bind 127.0.0.1:{port} --workers 2 --threads 4 --keep-alive 60 --no-control-socket"
    web = subprocess.Popen(
        [sys.executable, "-m", *command.split()],
        env={
            **os.environ,
            harness.PART_VARIABLE: url,
            "PYTHONPATH": f"{harness.ROOT}{os.pathsep}{Path(__file__).parent}",
        },
        cwd=harness.ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        preexec_fn=signal_on_parent_death(15),
    )
    try:
        wait_for_server(port)
        yield port, psutil.Process(web.pid)
    finally:
        web.terminate()
        web.wait()


def wait_for_server(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            server = HTTPConnection("127.0.0.1", port)
            server.request("GET", "/healthz")
            if server.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
        if time.monotonic() > until:
            raise SystemExit("the server does not respond")


# -- What is measured


def measure_requests(port: int, shop: dict[str, Any]) -> dict[str, Any]:
    """Run the clients. Return requests per second, medians and 95th percentiles by name."""
    results: Any = multiprocessing.Queue()
    clients = [
        multiprocessing.Process(target=run_client, args=(port, shop, number, results))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    taken = [results.get() for _ in clients]
    for client in clients:
        client.join()
    figures = {}
    for name in taken[0]:
        seconds = [value for times in taken for value in times[name]]
        figures[name] = {
            "requests_per_s": round(CLIENTS * len(seconds) / sum(seconds), 1),
            "median_ms": round(1000 * median(seconds), 2),
            "p95_ms": round(1000 * quantiles(seconds, n=20)[-1], 2),
        }
        harness.log(f"  {name:<12} {figures[name]}")
    return figures


def measure_stream(port: int, web: psutil.Process, shop: dict[str, Any]) -> dict[str, Any]:
    """Stream the members. Return the peak growth of memory of the server's processes."""
    idle = memory_bytes(web)
    server = HTTPConnection("127.0.0.1", port)
    headers = {"Authorization": f"Bearer {shop['reader']}"}
    started = time.perf_counter()
    server.request("GET", f"/api/v1/segments/{shop['largest']}/members/?format=ndjson", headers=headers)
    response = server.getresponse()
    rows, most = 0, idle
    while rows < STREAMED_MEMBERS and response.readline():
        rows += 1
        if rows % 5_000 == 0:
            most = max(most, memory_bytes(web))
    seconds = time.perf_counter() - started
    server.close()
    figures = {"rows": rows, "rows_per_s": round(rows / seconds), "more_mb": round((most - idle) / 2**20, 1)}
    harness.log(f"  stream       {figures}")
    return figures


def memory_bytes(web: psutil.Process) -> int:
    """Return the memory of the largest of the server's processes, in bytes."""
    return max(int(one.memory_info().rss) for one in web.children())


def prepare_and_measure() -> dict[str, Any]:
    """Return what the clients need to know, and the processor time of requests in this process."""
    shop = prepare()
    return {"shop": shop, "figures": api_processor_time.measure(shop)}


def main() -> None:
    """Start the servers and the parts, each in its own process, or run as a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, metavar="N")
    parser.add_argument(
        "--folder", type=Path, help="keep the database there; the shop in it is used again by the next run"
    )
    parser.add_argument("--run", choices=["make", "prepare"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if harness.is_part():
        harness.print_result(make_shop(options.customers) if options.run == "make" else prepare_and_measure())
        return
    os.environ["API_RATES"] = "reading=0,writing=0,costly=0,visitors=0"
    with harness.database("postgresql", options.folder) as url, redis_server() as redis:
        os.environ["REDIS_URL"] = redis.url
        made = harness.run_part(url, "--run", "make", "--customers", str(options.customers))
        prepared = harness.run_part(url, "--run", "prepare")
        shop = prepared["shop"]
        with running_server(url) as (port, web):
            figures = measure_requests(port, shop)
            stream = measure_stream(port, web, shop)
    counts = {name: made[name] for name in ("customers", "orders", "events", "memberships")}
    harness.print_result(
        {
            "benchmark": "api",
            **counts,
            "live_vs_bare": round(figures["live"]["median_ms"] / figures["bare"]["median_ms"], 2),
            **prepared["figures"],
            **figures,
            "stream": stream,
        }
    )


if __name__ == "__main__":
    main()
