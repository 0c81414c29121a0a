"""Importing CSV files of records: rows are parsed and written in batches, and invalid rows are rejected."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import BinaryIO

from django.db import transaction

from core.db import temporary_tables
from core.wakeup import notify_on_commit
from customers.facts import update
from customers.ingestion import line_writer, writer
from customers.ingestion.attribute_limit import TOO_MANY_ATTRIBUTES
from customers.ingestion.results import RejectedRow
from customers.rows.cells import InvalidRow
from customers.rows.kinds import CUSTOMERS, EVENTS, KINDS, ORDER_LINES, ORDERS, read_row
from customers.rows.parsing import Record
from customers.rows.settings import ShopSettings
from customers.signals import records_changed

from .csv_reader import Cells, NumberedRow, header_cells, read_rows
from .formats import REJECTION_COLUMNS, Format, InvalidFile, PlainFormat
from .shopify import ShopifyCustomers, ShopifyOrders

ROWS_BATCH_SIZE = 10_000
MAX_COLUMNS = 200
MAX_LINES_LISTED = 20

MAX_VALUES_LISTED = 100

_CURRENCY = ORDERS.columns.index("currency")
VALUE_WITHOUT_COLUMN = "has a value in a column without a name; look for a stray comma, or name the column"

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


@dataclass
class ImportReport:
    """The result of an import. ``created`` and ``updated`` count records: a row may hold several, such as an order and
    its line.

    ``skipped`` counts rows from before an erasure. The lines ``kept_unsubscribed`` say ``subscribed``, but do not end
    an unsubscription. The lines ``over_attribute_limit`` are of customers with too many attributes.
    ``facts_updated`` counts customers.
    """

    read: int = 0
    created: int = 0
    updated: int = 0
    refused: int = 0
    skipped: int = 0
    kept_unsubscribed: list[int] = field(default_factory=list)
    over_attribute_limit: list[int] = field(default_factory=list)
    facts_updated: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass
class _ParsedBatch:
    """The rows of a batch: records by kind, in the order in which they are written, and rejected rows by line."""

    records: dict[str, list[tuple[int, Record]]] = field(default_factory=dict)
    refused: dict[int, RejectedRow] = field(default_factory=dict)
    skipped_values: dict[int, list[str]] = field(default_factory=dict)


class _SkippedValues:
    """Invalid values of accepted rows: the first ones are listed, the others counted."""

    def __init__(self) -> None:
        self.listed: list[str] = []
        self.count = 0

    def add(self, read: _ParsedBatch) -> None:
        """Add the invalid values of accepted rows."""
        for line, reasons in read.skipped_values.items():
            if line not in read.refused:
                self.count += len(reasons)
                space = MAX_VALUES_LISTED - len(self.listed)
                self.listed += [f"line {line}: {reason} (the rest was kept)" for reason in reasons[:space]]

    def warnings(self) -> list[str]:
        more = self.count - len(self.listed)
        return [*self.listed, f"{more:,} more invalid values were left out"] if more else self.listed


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
    header, report.warnings = _read_format_header(format, numbered)
    counts = _WarningCounts()
    line_writer.start_line_numbering()
    while batch := list(islice(numbered, ROWS_BATCH_SIZE)):
        refused = _ingest(_parse_batch(format, header, batch, shop), report, counts, source)
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


def _list_lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:MAX_LINES_LISTED]))
    more = f" and {len(numbers) - MAX_LINES_LISTED} more" if len(numbers) > MAX_LINES_LISTED else ""
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{more}"


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
    report, counts = ImportReport(), _WarningCounts()
    header, report.warnings = _read_format_header(format, numbered)
    batch = list(islice(numbered, limit))
    with transaction.atomic():
        line_writer.start_line_numbering()
        rejected_rows = _ingest(_parse_batch(format, header, batch, shop), report, counts, "preview")
        transaction.set_rollback(True)
    shown = [(line, cells) for line, cells in batch if not isinstance(cells, str)]
    refused = [rejected_rows[line] for line in sorted(rejected_rows)]
    return ImportPreview(header, shown, refused, len(batch), report.warnings + counts.warnings(report, shop))


class _WarningCounts:
    """Counts for the warnings of an import."""

    def __init__(self) -> None:
        self.currencies: Counter[str] = Counter()
        self.skipped_values = _SkippedValues()

    def warnings(self, report: ImportReport, shop: ShopSettings) -> list[str]:
        """Return texts for staff about accepted and skipped rows."""
        texts = self.skipped_values.warnings() + [
            f"{count} orders are in {currency}, but the shop's currency is {shop.currency} (SHOP_CURRENCY);"
            " their amounts are not converted"
            for currency, count in self.currencies.items()
            if currency != shop.currency
        ]
        if report.skipped:
            reason = (
                "row was skipped, because its customer has been erased"
                if report.skipped == 1
                else "rows were skipped, because their customers have been erased"
            )
            texts.append(f"{report.skipped} {reason}")
        if kept := report.kept_unsubscribed:
            texts.append(
                f"kept unsubscribed: {len(kept)} (the customer unsubscribed later): {_list_lines(kept)}"
            )
        if over_limit := report.over_attribute_limit:
            texts.append(f"{TOO_MANY_ATTRIBUTES} ({len(over_limit)}): {_list_lines(over_limit)}")
        return texts


def _ingest(
    read: _ParsedBatch, report: ImportReport, counts: _WarningCounts, source: str
) -> dict[int, RejectedRow]:
    """Ingest a batch, add it to the report, and return the rejected rows by line."""
    refused = read.refused
    orders = read.records.get(ORDERS.name, ())
    counts.currencies.update(record[_CURRENCY] for _, record in orders if record[_CURRENCY])
    # A row counts once, even if it holds several records.
    skipped: set[int] = set()
    for name, of_kind in read.records.items():
        outcome = writer.ingest(KINDS[name], of_kind, source=source, notify=False)
        report.created += outcome.created
        report.updated += outcome.updated
        skipped.update(outcome.skipped)
        report.kept_unsubscribed += outcome.kept_unsubscribed
        report.over_attribute_limit += outcome.over_attribute_limit
        for rejected_row in outcome.rejected:
            refused.setdefault(rejected_row.line, rejected_row)
    counts.skipped_values.add(read)
    report.skipped += len(skipped)
    return refused


def guess_format(header: Sequence[str]) -> Format | None:
    """Return the format that has all required columns and knows most of the others; exact names count more."""
    fitting = [one for one in FORMATS.values() if not one.missing_columns(one.canonical_header(header))]

    def known(one: Format) -> tuple[int, int]:
        columns = set(one.columns)
        return len(columns & set(header)), len(columns & set(one.canonical_header(header)))

    return max(fitting, key=known, default=None)


def _parse_batch(
    format: Format, header: Sequence[str], batch: Sequence[NumberedRow], shop: ShopSettings
) -> _ParsedBatch:
    read = _ParsedBatch()
    width, lines, given = len(header), [], []
    nameless = [index for index, name in enumerate(header) if not name]
    for line, cells in batch:
        if isinstance(cells, str):
            read.refused[line] = RejectedRow(line, cells)
        elif len(cells) != width:
            reason = f"has {len(cells)} cells where the header has {width}; look for a stray or missing comma or quote"
            read.refused[line] = RejectedRow(line, reason)
        elif nameless and any(cells[index].strip() for index in nameless):
            read.refused[line] = RejectedRow(line, VALUE_WITHOUT_COLUMN)
        else:
            lines.append(line)
            given.append(dict(zip(header, map(str.strip, cells), strict=True)))
    if unread := (REJECTION_COLUMNS | {""}) & set(header):
        given = [{name: value for name, value in row.items() if name not in unread} for row in given]
    records: dict[str, list[tuple[int, Record]]] = {name: [] for name in KINDS}
    for line, parts in zip(lines, format.translate(given), strict=True):
        invalid_values: list[str] = []
        try:
            of_row = [(kind.name, read_row(kind, row, shop, invalid_values)[1]) for kind, row in parts]
        except InvalidRow as error:
            read.refused[line] = RejectedRow(line, str(error))
        else:
            for name, record in of_row:
                records[name].append((line, record))
            if invalid_values:
                read.skipped_values[line] = invalid_values
    read.records = {name: of_kind for name, of_kind in records.items() if of_kind}
    return read


def _read_format_header(format: Format, numbered: Iterator[NumberedRow]) -> tuple[list[str], list[str]]:
    names = f"its first line names the columns: {','.join(format.columns)}"
    header = format.canonical_header(header_cells(next(numbered, None), names))
    if missing := format.missing_columns(header):
        found = ", ".join(header)[:200]
        raise InvalidFile(
            f"missing column {', '.join(missing)} in the header (found: {found}){_separator_hint(header)}"
        )
    _check_column_names(header)
    return header, format.check_columns(
        [column for column in header if column and column not in REJECTION_COLUMNS]
    )


def _separator_hint(header: Sequence[str]) -> str:
    is_one = len(header) == 1 and any(character in header[0] for character in ";\t|")
    return "; separate the columns by commas" if is_one else ""


def _check_column_names(header: Sequence[str]) -> None:
    twice = [column for column, count in Counter(header).items() if column and count > 1]
    if twice:
        raise InvalidFile(f"the header names {', '.join(twice)!r} more than once")
    if len(header) > MAX_COLUMNS:
        raise InvalidFile(f"the header has {len(header)} columns; the limit is {MAX_COLUMNS}")
