"""Compare the import of a CSV file of orders with `bulk_create`, which assumes that every row is new.

Each run has its own process and its own empty database. `bulk_create_s` is plain Django code that writes the same
customers and orders. It omits the rest of an import: rejecting rows with line and reason, keeping values where cells
are empty, identity resolution, and the queue for facts. Facts are timed separately.

`other_notation` imports the same orders from a file with semicolons, decimal commas and DD/MM/YYYY, in Windows-1252.
"""

import argparse
import csv
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import harness

from customers.facts import update
from customers.imports import csv_files, detection
from customers.models import Customer, Order
from customers.rows.kinds import ORDERS
from customers.rows.settings import shop_settings
from segments_project.demo.history import SampleShop

ROWS = 200_000
RUNS = 3
BATCH_SIZE = 500
"""Rows of one bulk_create: the fastest of 100, 500, 2,000 and 10,000 on both databases."""


# -- The competitors


def run_import(path: Path, batch: int) -> dict[str, float]:
    """Import as the command does, and time the facts separately."""
    started = time.perf_counter()
    with path.open("rb") as stream:
        report = csv_files.import_file(
            csv_files.FORMATS["orders"], stream, shop_settings(), update_facts=False
        )
    imported = time.perf_counter()
    peak = peak_memory_mb()
    update.update_facts()
    facts_updated = time.perf_counter()
    if report.refused or report.created != report.read:
        raise SystemExit(f"not every row was imported: {report}")
    return {"seconds": imported - started, "facts": facts_updated - imported, "peak": peak}


def run_other_notation(path: Path, batch: int) -> dict[str, float]:
    """Import a file in another notation, and time its detection separately."""
    started = time.perf_counter()
    with path.with_name("other.csv").open("rb") as stream:
        detected = detection.detect(stream)
        found = time.perf_counter()
        report = csv_files.import_file(
            csv_files.FORMATS[detected.kind],
            stream,
            shop_settings(),
            update_facts=False,
            dialect=detected.dialect,
        )
    if report.refused or report.created != report.read:
        raise SystemExit(f"not every row was imported: {report}")
    done = time.perf_counter()
    return {"seconds": done - started, "detection": found - started, "peak": peak_memory_mb()}


def run_bulk_create(path: Path, batch: int) -> dict[str, float]:
    """Import the same file with plain Django, in chunks that keep memory small."""
    started = time.perf_counter()
    now = datetime.now(UTC)
    with path.open(encoding="utf-8", newline="") as stream:
        met = dict.fromkeys(row["customer_id"] for row in csv.DictReader(stream))
    Customer.objects.bulk_create(
        (Customer(customer_id=customer_id, recorded_at=now) for customer_id in met),
        batch,
        ignore_conflicts=True,
    )
    customers = dict(Customer.objects.values_list("customer_id", "id"))
    ready = time.perf_counter()
    with path.open(encoding="utf-8", newline="") as stream:
        orders = (order_from_row(row, customers) for row in csv.DictReader(stream))
        while chunk := list(islice(orders, 10_000)):
            Order.objects.bulk_create(chunk, batch)
    done = time.perf_counter()
    return {"seconds": done - started, "orders": done - ready, "peak": peak_memory_mb()}


def order_from_row(row: dict[str, str], customers: dict[str, int]) -> Order:
    return Order(  # type: ignore[misc]  # the exact decimals of the model are typed as floats
        order_id=row["order_id"],
        customer_id=customers[row["customer_id"]],
        placed_at=datetime.fromisoformat(row["placed_at"]),
        status=row["status"] or Order.Status.PAID,
        total=Decimal(row["total"] or 0),
        discount_total=Decimal(row["discount_total"] or 0),
        refunded_total=Decimal(row["refunded_total"] or 0),
        currency=row["currency"],
        coupon_code=row["coupon_code"],
        coupon_code_folded=row["coupon_code"].casefold(),
    )


COMPETITORS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "import": run_import,
    "bulk_create": run_bulk_create,
    "other_notation": run_other_notation,
}


def peak_memory_mb() -> float:
    """Return the peak memory of this process."""
    if Path("/proc/self/status").exists():  # there getrusage includes the memory of the parent process
        [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


# -- The measurement


def write_csv(path: Path, rows: int) -> None:
    """Write orders in the order of time, as a shop exports them, with 2.5 orders per customer."""
    orders = list(islice(order_rows(rows), rows))
    orders.sort(key=lambda row: row["placed_at"])
    with path.open("w", encoding="utf-8", newline="") as stream:
        sheet = csv.DictWriter(stream, ORDERS.csv_columns)
        sheet.writeheader()
        sheet.writerows(orders)


def write_other_notation(path: Path, source: Path) -> None:
    """Write the same orders as a spreadsheet in Italian does."""
    with (
        source.open(encoding="utf-8", newline="") as rows,
        path.open("w", encoding="cp1252", newline="") as stream,
    ):
        sheet = csv.writer(stream, delimiter=";")
        sheet.writerow(
            ["Numero ordine", "Codice cliente", "Data ordine", "Stato", "Totale", "Sconto", "Valuta"]
        )
        for row in csv.DictReader(rows):
            placed_at = datetime.fromisoformat(row["placed_at"]).astimezone(UTC)
            amounts = [f"{row[name] or 0} €".replace(".", ",") for name in ("total", "discount_total")]
            ids = row["order_id"], row["customer_id"]
            sheet.writerow([*ids, f"{placed_at:%d/%m/%Y %H:%M}", row["status"], *amounts, row["currency"]])


def order_rows(rows: int) -> Iterator[dict[str, str]]:
    """Return the orders of a sample shop of that size."""
    people = rows // 2 + 10
    return SampleShop(people, datetime(2026, 7, 1, tzinfo=UTC)).order_rows()


def run_competitor(engine: str, competitor: str, path: Path, batch: int) -> dict[str, float]:
    with harness.database(engine) as url:
        return harness.run_part(url, "--run", competitor, "--file", str(path), "--batch", str(batch))


def measure(engine: str, folder: Path, rows: int, times: int, batch: int) -> dict[str, Any]:
    """Run both in turn on one database. Return the figures."""
    harness.log(f"{engine}: {rows:,} orders, {times} times each")
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in COMPETITORS}

    def once(name: str) -> float:
        runs[name].append(run_competitor(engine, name, folder / "orders.csv", batch))
        return runs[name][-1]["seconds"]

    taken = harness.time_alternately({name: partial(once, name) for name in COMPETITORS}, times)
    twice = run_competitor(engine, "import", folder / "twice.csv", batch)["peak"]
    once_peak = median(one["peak"] for one in runs["import"])
    figures = {
        "import_s": taken["import"],
        "bulk_create_s": taken["bulk_create"],
        "ratio": round(taken["bulk_create"] / taken["import"], 2),
        "bulk_create_orders_only_s": round(median(one["orders"] for one in runs["bulk_create"]), 3),
        "other_notation_s": taken["other_notation"],
        "other_notation_detection_s": round(median(one["detection"] for one in runs["other_notation"]), 3),
        "other_notation_mb": round(median(one["peak"] for one in runs["other_notation"]), 1),
        "facts_s": round(median(one["facts"] for one in runs["import"]), 3),
        "rows_per_s": round(rows / taken["import"]),
        "memory": {
            "mb": round(once_peak, 1),
            "mb_for_twice_the_rows": round(twice, 1),
            "ratio": round(twice / once_peak, 3),
        },
    }
    harness.log(f"{engine}: {figures}")
    return figures


def main() -> None:
    """Write the files and start the runs, or run as one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=ROWS, metavar="N")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--times", type=int, default=RUNS, metavar="N", help="runs of each competitor")
    parser.add_argument("--batch", type=int, default=BATCH_SIZE, help="rows in a statement of bulk_create")
    parser.add_argument("--run", choices=COMPETITORS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if harness.is_part():
        harness.migrate()
        harness.print_result(COMPETITORS[options.run](options.file, options.batch))
        return
    engines = ["sqlite", "postgresql"] if options.database == "both" else [options.database]
    with tempfile.TemporaryDirectory(prefix="segments-benchmark-") as name:
        folder = Path(name)
        harness.log(f"Writing the files, of {options.orders:,} orders and of twice as many")
        write_csv(folder / "orders.csv", options.orders)
        write_csv(folder / "twice.csv", 2 * options.orders)
        write_other_notation(folder / "other.csv", folder / "orders.csv")
        figures = {
            engine: measure(engine, folder, options.orders, options.times, options.batch)
            for engine in engines
        }
    harness.print_result({"benchmark": "import_csv", "orders": options.orders, **figures})


if __name__ == "__main__":
    main()
