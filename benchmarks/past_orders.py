"""Measure imports of orders that are older than the known ones: the cost per row must not grow with the file.

After an older order, the customer's facts are recomputed from the records and every rule is evaluated for them. Each
size is imported into the same shop, whose customers have a later order and an event, in its own process and database.
Import, facts and refresh are timed separately. `level` is the time per row of the largest file divided by that of the
smallest: 1 means constant, and the ratio of the sizes means quadratic cost.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import harness
from django.core.management import call_command

from customers.facts import update
from customers.imports import csv_files
from customers.rows.settings import shop_settings
from segments.refresh.engine import refresh_all

CUSTOMERS = 30_000
SIZES = (3_000, 10_000, 30_000)
ORDERS_PER_CUSTOMER = {"many": 1, "few": 100}
KNOWN_ORDERS_AT = datetime(2026, 6, 1, tzinfo=UTC)
STEPS = ("import_s", "facts_s", "refresh_s")


def write_orders(path: Path, orders: Iterator[tuple[str, str, datetime]]) -> Path:
    """Write a file of orders of 10 each."""
    with path.open("w", encoding="utf-8") as file:
        file.write("order_id,customer_id,placed_at,total\n")
        file.writelines(f"{order},{customer},{at.isoformat()},10\n" for order, customer, at in orders)
    return path


def import_file(kind: str, path: Path) -> None:
    """Import a file without updating facts."""
    with path.open("rb") as stream:
        report = csv_files.import_file(csv_files.FORMATS[kind], stream, shop_settings(), update_facts=False)
    if report.refused or report.created != report.read:
        raise SystemExit(f"not every row was imported: {report}")


def make_shop(folder: Path, customers: int) -> None:
    """Create a shop of customers with one order and one event, and all ready-to-use segments."""
    people = [(f"c{number}", KNOWN_ORDERS_AT + timedelta(seconds=number)) for number in range(customers)]
    import_file(
        "orders", write_orders(folder / "later.csv", ((f"later-{who}", who, at) for who, at in people))
    )
    with (events := folder / "events.csv").open("w", encoding="utf-8") as file:
        file.write("message_id,customer_id,event,occurred_at\n")
        file.writelines(f"m-{who},{who},Product Viewed,{at.isoformat()}\n" for who, at in people)
    import_file("events", events)
    call_command("install_templates", verbosity=0)
    update.update_facts()
    refresh_all()


def import_past_orders(folder: Path, rows: int, per_customer: int) -> dict[str, float]:
    """Import past orders. Return the seconds of each step."""
    past = write_orders(
        folder / "past.csv",
        (
            (
                f"past-{number}",
                f"c{number // per_customer}",
                KNOWN_ORDERS_AT - timedelta(days=1, seconds=number),
            )
            for number in range(rows)
        ),
    )
    steps: list[Callable[[], object]] = [
        lambda: import_file("orders", past),
        update.update_facts,
        refresh_all,
    ]
    seconds = {}
    for name, step in zip(STEPS, steps, strict=True):
        begun = time.perf_counter()
        step()
        seconds[name] = round(time.perf_counter() - begun, 3)
    return seconds


def measure(engine: str, customers: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    """Import each size for few and for many customers on one database. Return seconds and ratios."""
    figures: dict[str, Any] = {}
    for among, per_customer in ORDERS_PER_CUSTOMER.items():
        taken = {}
        for rows in sizes:
            with harness.database(engine) as url:
                taken[rows] = harness.run_part(
                    url, "--customers", str(customers), "--rows", str(rows), "--per", str(per_customer)
                )
            harness.log(f"{engine}, over {among} customers, {rows:>7,} rows: {taken[rows]}")
        least, most = min(sizes), max(sizes)
        level = {step: round(taken[most][step] / most / (taken[least][step] / least), 2) for step in STEPS}
        figures[among] = {"seconds": {str(rows): steps for rows, steps in taken.items()}, "level": level}
        harness.log(f"{engine}, over {among} customers: cost a row, largest over smallest: {level}")
    return figures


def main() -> None:
    """Start the runs, or run as one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=CUSTOMERS, metavar="N", help="of the shop")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="rows of the files")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--per", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if harness.is_part():
        harness.migrate()
        with tempfile.TemporaryDirectory(prefix="segments-benchmark-") as name:
            make_shop(Path(name), options.customers)
            harness.print_result(import_past_orders(Path(name), options.rows, options.per))
        return
    engines = ["sqlite", "postgresql"] if options.database == "both" else [options.database]
    figures = {engine: measure(engine, options.customers, tuple(options.sizes)) for engine in engines}
    harness.print_result({"benchmark": "past_orders", "customers": options.customers, **figures})


if __name__ == "__main__":
    main()
