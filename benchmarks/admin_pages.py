"""Measure the database queries of every admin page, on a shop that the benchmark creates.

The exit status is 1 if a statement takes longer than two seconds (PostgreSQL ends it then) or a page needs more than
twenty-five queries.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import harness
from django.db import connection
from django.test import Client
from moving_shop import make_shop

from core.db import backends, execution
from segments_project.server.bundled_servers import redis_server
from tests.support import furnished_shop
from tests.support.admin_pages import MOST_QUERIES, PAGES

CUSTOMERS = 100_000
MAX_SECONDS = 2.0
TIMEOUT_TOLERANCE = 1.1
"""A statement that PostgreSQL ends has run slightly longer than its limit."""

Figures = dict[str, Any]


def measure() -> Figures:
    """Open each page twice and return the figures of the second time, when caches are warm."""
    furnished_shop.furnish_shop()
    client = furnished_shop.logged_in_client(furnished_shop.LOGIN, raise_request_exception=False)
    if backends.is_postgresql():
        execution.execute(f"SET statement_timeout = '{MAX_SECONDS}s'")
    pages = {}
    for page in PAGES:
        _measure_page(client, page.address)
        pages[page.view] = _measure_page(client, page.address)
        harness.log(f"  {_format_figures(page.view, pages[page.view])}")
    return pages


def _measure_page(client: Client, address: str) -> Figures:
    taken: list[tuple[float, str]] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            taken.append((time.perf_counter() - started, " ".join(sql.split())))

    started = time.perf_counter()
    with connection.execute_wrapper(watch):
        response = client.get(address)
        b"".join(response)
    whole = time.perf_counter() - started
    slowest, statement = max(taken, default=(0.0, ""))
    figures: Figures = {
        "status": response.status_code,
        "queries": len(taken),
        "slowest_ms": round(1000 * slowest, 1),
        "total_ms": round(1000 * whole, 1),
    }
    if _find_problems(figures):
        figures["slowest_statement"] = statement[:2_000]
    return figures


def _find_problems(figures: Figures) -> list[str]:
    found = []
    if figures["status"] != 200:
        found.append(f"answers {figures['status']}")
    if figures["slowest_ms"] > 1000 * MAX_SECONDS * TIMEOUT_TOLERANCE:
        found.append(f"a statement takes over {MAX_SECONDS} s")
    if figures["queries"] > MOST_QUERIES:
        found.append(f"asks more than {MOST_QUERIES} statements")
    return found


def _format_figures(view: str, figures: Figures) -> str:
    numbers = f"{figures['queries']:>3} statements, slowest {figures['slowest_ms']:>8.1f} ms"
    return f"{view:<50} {numbers}, page {figures['total_ms']:>8.1f} ms  {', '.join(_find_problems(figures))}"


def main() -> None:
    """Start the servers and the parts, each in its own process, or run as a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, metavar="N")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument(
        "--folder", type=Path, help="keep the database there; the shop in it is used again by the next run"
    )
    parser.add_argument("--run", choices=["make", "measure"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if harness.is_part():
        harness.print_result(make_shop(options.customers) if options.run == "make" else measure())
        return
    with harness.database(options.database, options.folder) as url, redis_server() as redis:
        os.environ["REDIS_URL"] = redis.url
        made = harness.run_part(url, "--run", "make", "--customers", str(options.customers))
        pages = harness.run_part(url, "--run", "measure")
    faults = {view: found for view, figures in pages.items() if (found := _find_problems(figures))}
    shop = {name: made[name] for name in ("customers", "orders", "events", "memberships")}
    harness.print_result(
        {"benchmark": "admin_pages", "database": options.database, **shop, "pages": pages, "faults": faults}
    )
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
