"""Importing files of records: rows are parsed and written in batches, and invalid rows are rejected."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import BinaryIO

from django.db import transaction

from core.db import temporary_tables
from core.wakeup import notify_on_commit
from customers.facts import update
from customers.ingestion import line_writer, writer
from customers.ingestion.results import RejectedRow
from customers.rows.kinds import KINDS, ORDERS
from customers.rows.settings import ShopSettings
from customers.signals import records_changed

from .catalogue import FORMATS, guess_format
from .conversion import Conversion
from .csv_reader import Cells, NumberedRow
from .dialects import Dialect
from .fields import field_of
from .formats import Format, InvalidFile
from .import_report import ImportReport, WarningCounts, list_lines
from .row_batches import ParsedBatch, check_format_header, parse_batch, read_format_header
from .tables import batches, read_table

__all__ = ["FORMATS", "ImportPreview", "guess_format", "import_file", "preview_file"]

UNDECIDED = "its dates or amounts can be read in two ways; say which way is right"
ROWS_BATCH_SIZE = 10_000
PREVIEW_BYTES = 1 << 24
_CURRENCY = ORDERS.columns.index("currency")


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
    dialect: Dialect | None = None,
) -> ImportReport:
    """Import a file, in batches of ten thousand rows. Importing it again leads to the same result.

    Without a dialect it is a CSV file in our own format; otherwise its rows are converted to that format.

    ``on_rejected`` is called for each rejected row, with its cells; ``progress`` after each batch. At the end the facts
    of the affected customers are updated, unless ``update_facts`` is False: then they stay queued.
    Raises InvalidFile if the header is invalid.
    """
    report = ImportReport()
    numbered = read_table(stream, dialect)
    header, report.warnings, conversion = _open_table(format, numbered, dialect)
    counts = WarningCounts()
    line_writer.start_line_numbering()
    for batch in batches(numbered, ROWS_BATCH_SIZE):
        rows = conversion.apply(batch) if conversion else batch
        refused = _ingest(parse_batch(format, header, rows, shop), report, counts, source, conversion)
        report.read += len(rows)
        report.refused += len(refused)
        if refused:
            _report_rejected(refused, batch, on_rejected)
        progress(report)
    report.warnings += counts.warnings(report, shop) + _total_warnings(conversion)
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


def _open_table(
    format: Format, numbered: Iterator[NumberedRow], dialect: Dialect | None
) -> tuple[list[str], list[str], Conversion | None]:
    """Return the header in our own format, warnings, and the conversion of the rows. Raises InvalidFile."""
    if dialect is None:
        return *read_format_header(format, numbered), None
    if not dialect.is_decided:
        raise InvalidFile(UNDECIDED)
    columns = [str(name) for name in next(numbered)[1]]
    conversion = Conversion(dialect, format, columns, datetime.now(UTC).year)
    if missing := format.missing_columns(conversion.header):
        raise InvalidFile(f"no column becomes {', '.join(_labels(format, missing))}")
    return conversion.header, check_format_header(format, conversion.header), conversion


def _labels(format: Format, missing: Sequence[str]) -> list[str]:
    """Return what staff call missing fields; one of several alternatives is enough."""

    def label(name: str) -> str:
        field = field_of(format.name, name)
        return f"“{field.label}”" if field else name

    return [" or ".join(map(label, names.split(" or "))) for names in missing]


def _total_warnings(conversion: Conversion | None) -> list[str]:
    lines = conversion.total_lines if conversion else []
    return [f"{list_lines(lines)}: totals, which were left out"] if lines else []


def _report_rejected(
    refused: Mapping[int, RejectedRow],
    batch: Iterable[NumberedRow],
    on_rejected: Callable[[RejectedRow], None],
) -> None:
    """Report rejected rows in the order of the file, each with its cells if they are readable."""
    for line, cells in batch:
        if rejected_row := refused.get(line):
            on_rejected(rejected_row if isinstance(cells, str) else replace(rejected_row, cells=tuple(cells)))


def preview_file(
    format: Format, stream: BinaryIO, shop: ShopSettings, limit: int, dialect: Dialect | None = None
) -> ImportPreview:
    """Import the first rows in a transaction that is rolled back, so that the result is that of the import.

    Raises InvalidFile.
    """
    numbered = read_table(stream, dialect, PREVIEW_BYTES)
    report, counts = ImportReport(), WarningCounts()
    header, report.warnings, conversion = _open_table(format, numbered, dialect)
    batch = list(islice(numbered, limit))
    rows = conversion.apply(batch) if conversion else batch
    with transaction.atomic():
        line_writer.start_line_numbering()
        rejected_rows = _ingest(
            parse_batch(format, header, rows, shop), report, counts, "preview", conversion
        )
        transaction.set_rollback(True)
    shown = [(line, cells) for line, cells in rows if not isinstance(cells, str)]
    refused = [rejected_rows[line] for line in sorted(rejected_rows)]
    warnings = report.warnings + counts.warnings(report, shop) + _total_warnings(conversion)
    return ImportPreview(header, shown, refused, len(rows), warnings)


def _ingest(
    batch: ParsedBatch,
    report: ImportReport,
    counts: WarningCounts,
    source: str,
    conversion: Conversion | None,
) -> dict[int, RejectedRow]:
    """Ingest a batch, add it to the report, and return the rejected rows by line, in the words of the file."""
    refused = batch.refused
    orders = batch.records.get(ORDERS.name, ())
    counts.currencies.update(record[_CURRENCY] for _, record in orders if record[_CURRENCY])
    # A row counts once, even if it holds several records.
    skipped: set[int] = set()
    for name, of_kind in batch.records.items():
        outcome = writer.ingest(KINDS[name], of_kind, source=source, notify=False)
        report.add_records(name, outcome.created, outcome.updated)
        skipped.update(outcome.skipped)
        report.kept_unsubscribed += outcome.kept_unsubscribed
        report.over_attribute_limit += outcome.over_attribute_limit
        for rejected_row in outcome.rejected:
            refused.setdefault(rejected_row.line, rejected_row)
    if conversion:
        batch.skipped_values = {
            line: [conversion.in_their_words(reason) for reason in reasons]
            for line, reasons in batch.skipped_values.items()
        }
        refused = {line: conversion.rejected_in_their_words(row) for line, row in refused.items()}
    counts.skipped_values.add(batch)
    report.skipped += len(skipped)
    return refused
