"""CSV files as people have them: streamed, and a bad row refused without losing its neighbours."""

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
    """What became of a file's rows; ``settled`` counts the customers whose facts were brought in line.

    ``created`` and ``updated`` count records: a row may hold several, an order and its line. Rows ``left_out``
    belong to the past of somebody who was erased. The lines ``kept_unsubscribed`` say ``subscribed`` of customers
    whose unsubscription they do not end; those ``crowded`` are of customers with too many attributes.
    """

    read: int = 0
    created: int = 0
    updated: int = 0
    refused: int = 0
    left_out: int = 0
    kept_unsubscribed: list[int] = field(default_factory=list)
    crowded: list[int] = field(default_factory=list)
    settled: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass
class _ParsedBatch:
    """Rows as they were read: records by kind in the order in which they are taken, and what could not be read."""

    records: dict[str, list[tuple[int, Record]]] = field(default_factory=dict)
    refused: dict[int, RejectedRow] = field(default_factory=dict)
    values_left_out: dict[int, list[str]] = field(default_factory=dict)


class _SkippedValues:
    """Values that were left out of rows that were taken: the first ones are told each, the others counted."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.count = 0

    def add(self, read: _ParsedBatch) -> None:
        """Note the values of rows that were not refused."""
        for line, reasons in read.values_left_out.items():
            if line not in read.refused:
                self.count += len(reasons)
                space = MAX_VALUES_LISTED - len(self.told)
                self.told += [f"line {line}: {reason} (the rest was taken)" for reason in reasons[:space]]

    def warnings(self) -> list[str]:
        """Return them, for people to read."""
        more = self.count - len(self.told)
        return [*self.told, f"{more:,} more values were left out"] if more else self.told


@dataclass(frozen=True)
class ImportPreview:
    """The first rows of a file, what each column becomes, and which rows would be refused."""

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
    refuse: Callable[[RejectedRow], None] = lambda _: None,
    progress: Callable[[ImportReport], None] = lambda _: None,
    source: str = "CSV",
    settle: bool = True,
) -> ImportReport:
    """Import a stream of CSV; run again after an interruption it ends with the same result.

    Every ten thousand rows are taken together. ``refuse`` is told each row that was not taken, with its cells,
    ``progress`` how far it is. At the end the facts of all customers concerned are settled, unless ``settle`` is
    False: they wait in the queue then. Raises BadFile where the header will not do.
    """
    report = ImportReport()
    numbered = read_rows(stream)
    header, report.warnings = _read_format_header(format, numbered)
    tally = _WarningCounts()
    line_writer.start_line_numbering()
    while batch := list(islice(numbered, ROWS_BATCH_SIZE)):
        refused = _ingest(_parse_batch(format, header, batch, shop), report, tally, source)
        report.read += len(batch)
        report.refused += len(refused)
        if refused:
            _report_rejected(refused, batch, refuse)
        progress(report)
    report.warnings += tally.warnings(report, shop)
    if report.created > ROWS_BATCH_SIZE // 10:
        # The planner would take the tables for as small as they were when it last looked.
        for table in (
            "customers_customer",
            "customers_identity",
            "customers_order",
            "customers_orderline",
            "customers_event",
        ):
            temporary_tables.analyze_table(table)
    if settle:
        report.settled = update.update_facts()
    notify_on_commit(records_changed)
    return report


def _list_lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:MAX_LINES_LISTED]))
    more = f" and {len(numbers) - MAX_LINES_LISTED} more" if len(numbers) > MAX_LINES_LISTED else ""
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{more}"


def _report_rejected(
    refused: Mapping[int, RejectedRow], batch: Iterable[NumberedRow], refuse: Callable[[RejectedRow], None]
) -> None:
    """Tell refusals in the order of the file, each with its cells where they could be read."""
    for line, cells in batch:
        if refusal := refused.get(line):
            refuse(refusal if isinstance(cells, str) else replace(refusal, cells=tuple(cells)))


def preview_file(format: Format, stream: BinaryIO, shop: ShopSettings, most: int) -> ImportPreview:
    """Read the first rows without taking them; raises BadFile.

    They are taken as the import takes them, in a transaction that is rolled back: what it refuses shows here.
    """
    numbered = read_rows(stream)
    report, tally = ImportReport(), _WarningCounts()
    header, report.warnings = _read_format_header(format, numbered)
    batch = list(islice(numbered, most))
    with transaction.atomic():
        line_writer.start_line_numbering()
        refusals = _ingest(_parse_batch(format, header, batch, shop), report, tally, "preview")
        transaction.set_rollback(True)
    shown = [(line, cells) for line, cells in batch if not isinstance(cells, str)]
    refused = [refusals[line] for line in sorted(refusals)]
    return ImportPreview(header, shown, refused, len(batch), report.warnings + tally.warnings(report, shop))


class _WarningCounts:
    """What the warnings of an import count."""

    def __init__(self) -> None:
        self.currencies: Counter[str] = Counter()
        self.values_left_out = _SkippedValues()

    def warnings(self, report: ImportReport, shop: ShopSettings) -> list[str]:
        """Say what staff should know of rows that were taken, or left out."""
        told = self.values_left_out.warnings() + [
            f"{count} orders are in {currency}, while the shop counts in {shop.currency} (SHOP_CURRENCY);"
            " their amounts count as given"
            for currency, count in self.currencies.items()
            if currency != shop.currency
        ]
        if report.left_out:
            rows_were = "row was" if report.left_out == 1 else "rows were"
            told.append(
                f"{report.left_out} {rows_were} left out, as they belong to the past of customers who were erased"
            )
        if kept := report.kept_unsubscribed:
            told.append(
                f"kept unsubscribed: {len(kept)} (the customer ended the newsletter later): {_list_lines(kept)}"
            )
        if crowded := report.crowded:
            told.append(f"{TOO_MANY_ATTRIBUTES} ({len(crowded)}): {_list_lines(crowded)}")
        return told


def _ingest(
    read: _ParsedBatch, report: ImportReport, tally: _WarningCounts, source: str
) -> dict[int, RejectedRow]:
    """Ingest what was read, count it in the report, and return the rows that were refused, by line."""
    refused = read.refused
    orders = read.records.get(ORDERS.name, ())
    tally.currencies.update(record[_CURRENCY] for _, record in orders if record[_CURRENCY])
    # A row counts once, whatever it holds.
    left_out: set[int] = set()
    for name, of_kind in read.records.items():
        outcome = writer.ingest(KINDS[name], of_kind, source=source, notify=False)
        report.created += outcome.created
        report.updated += outcome.updated
        left_out.update(outcome.skipped)
        report.kept_unsubscribed += outcome.kept_unsubscribed
        report.crowded += outcome.over_attribute_limit
        for refusal in outcome.rejected:
            refused.setdefault(refusal.line, refusal)
    tally.values_left_out.add(read)
    report.left_out += len(left_out)
    return refused


def guess_format(header: Sequence[str]) -> Format | None:
    """Return the format that lacks nothing and knows most of the columns, those written exactly first."""
    fitting = [one for one in FORMATS.values() if not one.lacks(one.canonical(header))]

    def known(one: Format) -> tuple[int, int]:
        columns = set(one.columns)
        return len(columns & set(header)), len(columns & set(one.canonical(header)))

    return max(fitting, key=known, default=None)


def _parse_batch(
    format: Format, header: Sequence[str], batch: Sequence[NumberedRow], shop: ShopSettings
) -> _ParsedBatch:
    read = _ParsedBatch()
    width, lines, given = len(header), [], []
    nameless = [place for place, name in enumerate(header) if not name]
    for line, cells in batch:
        if isinstance(cells, str):
            read.refused[line] = RejectedRow(line, cells)
        elif len(cells) != width:
            reason = f"has {len(cells)} cells where the header has {width}; look for a stray or missing comma or quote"
            read.refused[line] = RejectedRow(line, reason)
        elif nameless and any(cells[place].strip() for place in nameless):
            read.refused[line] = RejectedRow(line, VALUE_WITHOUT_COLUMN)
        else:
            lines.append(line)
            given.append(dict(zip(header, map(str.strip, cells), strict=True)))
    if unread := (REJECTION_COLUMNS | {""}) & set(header):
        given = [{name: value for name, value in row.items() if name not in unread} for row in given]
    records: dict[str, list[tuple[int, Record]]] = {name: [] for name in KINDS}
    for line, parts in zip(lines, format.translate(given), strict=True):
        left_out: list[str] = []
        try:
            of_row = [(kind.name, read_row(kind, row, shop, left_out)[1]) for kind, row in parts]
        except InvalidRow as error:
            read.refused[line] = RejectedRow(line, str(error))
        else:
            for name, record in of_row:
                records[name].append((line, record))
            if left_out:
                read.values_left_out[line] = left_out
    read.records = {name: of_kind for name, of_kind in records.items() if of_kind}
    return read


def _read_format_header(format: Format, numbered: Iterator[NumberedRow]) -> tuple[list[str], list[str]]:
    names = f"its first line names the columns: {','.join(format.columns)}"
    header = format.canonical(header_cells(next(numbered, None), names))
    if missing := format.lacks(header):
        found = ", ".join(header)[:200]
        raise InvalidFile(
            f"missing column {', '.join(missing)} in the header (found: {found}){_separator_hint(header)}"
        )
    _check_column_names(header)
    return header, format.check([column for column in header if column and column not in REJECTION_COLUMNS])


def _separator_hint(header: Sequence[str]) -> str:
    is_one = len(header) == 1 and any(character in header[0] for character in ";\t|")
    return "; separate the columns by commas" if is_one else ""


def _check_column_names(header: Sequence[str]) -> None:
    twice = [column for column, count in Counter(header).items() if column and count > 1]
    if twice:
        raise InvalidFile(f"the header names {', '.join(twice)!r} more than once")
    if len(header) > MAX_COLUMNS:
        raise InvalidFile(f"the header names {len(header)} columns; at most {MAX_COLUMNS} are taken")
