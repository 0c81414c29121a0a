"""Importing CSV files of records: rows are parsed and written in batches, and invalid rows are rejected."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import BinaryIO

from django.db import transaction

from core.db import temporary_tables
from core.wakeup import notify_on_commit
from customers.facts import update
from customers.ingestion import line_writer, writer
from customers.ingestion.results import RejectedRow
from customers.rows.kinds import CUSTOMERS, EVENTS, KINDS, ORDER_LINES, ORDERS
from customers.rows.settings import ShopSettings
from customers.signals import records_changed

from .csv_reader import Cells, NumberedRow, read_rows
from .formats import Format, PlainFormat
from .import_report import ImportReport, WarningCounts
from .row_batches import ParsedBatch, parse_batch, read_format_header
from .shopify import ShopifyCustomers, ShopifyOrders

ROWS_BATCH_SIZE = 10_000
_CURRENCY = ORDERS.columns.index("currency")

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        PlainFormat(CUSTOMERS, "Customers"),
        PlainFormat(ORDERS, "Orders"),
        PlainFormat(ORDER_LINES, "Order lines"),
        PlainFormat(EVENTS, "Events"),
        ShopifyCustomers(),
        ShopifyOrders(),
    )
}


@dataclass(frozen=True)
class ImportPreview:
    """The first rows of a file, and the rows that the import would reject."""

    header: Sequence[str]
    rows: Sequence[tuple[int, Cells]]
    refused: Sequence[RejectedRow]
    read: int
    warnings: Sequence[str]


def import_file(
    format: Format,
    stream: BinaryIO,
    shop: ShopSettings,
    *,
    on_rejected: Callable[[RejectedRow], None] = lambda _: None,
    progress: Callable[[ImportReport], None] = lambda _: None,
    source: str = "CSV",
    update_facts: bool = True,
) -> ImportReport:
    """Import a stream of CSV, in batches of ten thousand rows. Importing it again leads to the same result.

    ``on_rejected`` is called for each rejected row, with its cells; ``progress`` after each batch. At the end the facts
    of the affected customers are updated, unless ``update_facts`` is False: then they stay queued.
    Raises InvalidFile if the header is invalid.
    """
    report = ImportReport()
    numbered = read_rows(stream)
    header, report.warnings = read_format_header(format, numbered)
    counts = WarningCounts()
    line_writer.start_line_numbering()
    while batch := list(islice(numbered, ROWS_BATCH_SIZE)):
        refused = _ingest(parse_batch(format, header, batch, shop), report, counts, source)
        report.read += len(batch)
        report.refused += len(refused)
        if refused:
            _report_rejected(refused, batch, on_rejected)
        progress(report)
    report.warnings += counts.warnings(report, shop)
    if report.created > ROWS_BATCH_SIZE // 10:
        # Without new statistics, the query planner assumes that the tables are still small.
        for table in (
            "customers_customer",
            "customers_identity",
            "customers_order",
            "customers_orderline",
            "customers_event",
        ):
            temporary_tables.analyze_table(table)
    if update_facts:
        report.facts_updated = update.update_facts()
    notify_on_commit(records_changed)
    return report


def _report_rejected(
    refused: Mapping[int, RejectedRow],
    batch: Iterable[NumberedRow],
    on_rejected: Callable[[RejectedRow], None],
) -> None:
    """Report rejected rows in the order of the file, each with its cells if they are readable."""
    for line, cells in batch:
        if rejected_row := refused.get(line):
            on_rejected(rejected_row if isinstance(cells, str) else replace(rejected_row, cells=tuple(cells)))


def preview_file(format: Format, stream: BinaryIO, shop: ShopSettings, limit: int) -> ImportPreview:
    """Import the first rows in a transaction that is rolled back, so that the result is that of the import.

    Raises InvalidFile.
    """
    numbered = read_rows(stream)
    report, counts = ImportReport(), WarningCounts()
    header, report.warnings = read_format_header(format, numbered)
    batch = list(islice(numbered, limit))
    with transaction.atomic():
        line_writer.start_line_numbering()
        rejected_rows = _ingest(parse_batch(format, header, batch, shop), report, counts, "preview")
        transaction.set_rollback(True)
    shown = [(line, cells) for line, cells in batch if not isinstance(cells, str)]
    refused = [rejected_rows[line] for line in sorted(rejected_rows)]
    return ImportPreview(header, shown, refused, len(batch), report.warnings + counts.warnings(report, shop))


def _ingest(
    batch: ParsedBatch, report: ImportReport, counts: WarningCounts, source: str
) -> dict[int, RejectedRow]:
    """Ingest a batch, add it to the report, and return the rejected rows by line."""
    refused = batch.refused
    orders = batch.records.get(ORDERS.name, ())
    counts.currencies.update(record[_CURRENCY] for _, record in orders if record[_CURRENCY])
    # A row counts once, even if it holds several records.
    skipped: set[int] = set()
    for name, of_kind in batch.records.items():
        outcome = writer.ingest(KINDS[name], of_kind, source=source, notify=False)
        report.created += outcome.created
        report.updated += outcome.updated
        skipped.update(outcome.skipped)
        report.kept_unsubscribed += outcome.kept_unsubscribed
        report.over_attribute_limit += outcome.over_attribute_limit
        for rejected_row in outcome.rejected:
            refused.setdefault(rejected_row.line, rejected_row)
    counts.skipped_values.add(batch)
    report.skipped += len(skipped)
    return refused


def guess_format(header: Sequence[str]) -> Format | None:
    """Return the format that has all required columns and knows most of the others; exact names count more."""
    fitting = [one for one in FORMATS.values() if not one.missing_columns(one.canonical_header(header))]

    def known(one: Format) -> tuple[int, int]:
        columns = set(one.columns)
        return len(columns & set(header)), len(columns & set(one.canonical_header(header)))

    return max(fitting, key=known, default=None)
