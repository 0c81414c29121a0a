"""CSV files as people have them: streamed, and a bad row refused without losing its neighbours."""

import csv
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import BinaryIO

from django.db import transaction

from core.db import temporary_tables
from core.values.text_cleaning import to_nfc
from core.wakeup import notify_on_commit
from customers.facts import update
from customers.ingestion import writer
from customers.ingestion.attributes import TOO_MANY
from customers.ingestion.writer import RejectedRow
from customers.rows.parsing import (
    CUSTOMERS,
    EVENTS,
    KINDS,
    ORDER_LINES,
    ORDERS,
    InvalidRow,
    Record,
    Shop,
    read_row,
)
from customers.signals import records_changed

from .formats import OURS, BadFile, Format, Plain
from .shopify import ShopifyCustomers, ShopifyOrders

ROWS_AT_ONCE = 10_000
MOST_LINES_OF_A_ROW = 200
LONGEST_LINE = 1 << 20
MOST_COLUMNS = 200
LINES_NAMED = 20

MOST_VALUES_TOLD = 100

_CURRENCY = ORDERS.columns.index("currency")

STRAY_QUOTE = "a quote is opened and not closed where the cell ends"
NAMELESS = "has a value in a column without a name; look for a stray comma, or name the column"

FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        Plain(CUSTOMERS, "Customers"),
        Plain(ORDERS, "Orders"),
        Plain(ORDER_LINES, "Order lines"),
        Plain(EVENTS, "Events"),
        ShopifyCustomers(),
        ShopifyOrders(),
    )
}

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how .xlsx and .xls begin

Cells = list[str]
Numbered = tuple[int, Cells | str]
"""A line number, and the cells of the row, or the reason why they cannot be read."""


@dataclass
class Report:
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
class _Read:
    """Rows as they were read: records by kind in the order in which they are taken, and what could not be read."""

    records: dict[str, list[tuple[int, Record]]] = field(default_factory=dict)
    refused: dict[int, RejectedRow] = field(default_factory=dict)
    values_left_out: dict[int, list[str]] = field(default_factory=dict)


class _ValuesLeftOut:
    """Values that were left out of rows that were taken: the first ones are told each, the others counted."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.count = 0

    def add(self, read: _Read) -> None:
        """Note the values of rows that were not refused."""
        for line, reasons in read.values_left_out.items():
            if line not in read.refused:
                self.count += len(reasons)
                space = MOST_VALUES_TOLD - len(self.told)
                self.told += [f"line {line}: {reason} (the rest was taken)" for reason in reasons[:space]]

    def warnings(self) -> list[str]:
        """Return them, for people to read."""
        more = self.count - len(self.told)
        return [*self.told, f"{more:,} more values were left out"] if more else self.told


@dataclass(frozen=True)
class Preview:
    """The first rows of a file, what each column becomes, and which rows would be refused."""

    header: Sequence[str]
    rows: Sequence[tuple[int, Cells]]
    refused: Sequence[RejectedRow]
    read: int
    warnings: Sequence[str]


def import_file(
    format: Format,
    stream: BinaryIO,
    shop: Shop,
    *,
    refuse: Callable[[RejectedRow], None] = lambda _: None,
    progress: Callable[[Report], None] = lambda _: None,
    source: str = "CSV",
    settle: bool = True,
) -> Report:
    """Import a stream of CSV; run again after an interruption it ends with the same result.

    Every ten thousand rows are taken together. ``refuse`` is told each row that was not taken, with its cells,
    ``progress`` how far it is. At the end the facts of all customers concerned are settled, unless ``settle`` is
    False: they wait in the queue then. Raises BadFile where the header will not do.
    """
    report = Report()
    numbered = rows(stream)
    header, report.warnings = _header(format, numbered)
    tally = _Tally()
    writer.start_file()
    while batch := list(islice(numbered, ROWS_AT_ONCE)):
        refused = _take(_read(format, header, batch, shop), report, tally, source)
        report.read += len(batch)
        report.refused += len(refused)
        if refused:
            _tell(refused, batch, refuse)
        progress(report)
    report.warnings += tally.warnings(report, shop)
    if report.created > ROWS_AT_ONCE // 10:
        # The planner would take the tables for as small as they were when it last looked.
        for table in (
            "customers_customer",
            "customers_identity",
            "customers_order",
            "customers_orderline",
            "customers_event",
        ):
            temporary_tables.analyze(table)
    if settle:
        report.settled = update.update_facts()
    notify_on_commit(records_changed)
    return report


def _named_lines(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:LINES_NAMED]))
    more = f" and {len(numbers) - LINES_NAMED} more" if len(numbers) > LINES_NAMED else ""
    return f"line{'s' if len(numbers) > 1 else ''} {shown}{more}"


def _tell(
    refused: Mapping[int, RejectedRow], batch: Iterable[Numbered], refuse: Callable[[RejectedRow], None]
) -> None:
    """Tell refusals in the order of the file, each with its cells where they could be read."""
    for line, cells in batch:
        if refusal := refused.get(line):
            refuse(refusal if isinstance(cells, str) else replace(refusal, cells=tuple(cells)))


def preview(format: Format, stream: BinaryIO, shop: Shop, most: int) -> Preview:
    """Read the first rows without taking them; raises BadFile.

    They are taken as the import takes them, in a transaction that is rolled back: what it refuses shows here.
    """
    numbered = rows(stream)
    report, tally = Report(), _Tally()
    header, report.warnings = _header(format, numbered)
    batch = list(islice(numbered, most))
    with transaction.atomic():
        writer.start_file()
        refusals = _take(_read(format, header, batch, shop), report, tally, "preview")
        transaction.set_rollback(True)
    shown = [(line, cells) for line, cells in batch if not isinstance(cells, str)]
    refused = [refusals[line] for line in sorted(refusals)]
    return Preview(header, shown, refused, len(batch), report.warnings + tally.warnings(report, shop))


class _Tally:
    """What the warnings of an import count."""

    def __init__(self) -> None:
        self.currencies: Counter[str] = Counter()
        self.values_left_out = _ValuesLeftOut()

    def warnings(self, report: Report, shop: Shop) -> list[str]:
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
                f"kept unsubscribed: {len(kept)} (the customer ended the newsletter later): {_named_lines(kept)}"
            )
        if crowded := report.crowded:
            told.append(f"{TOO_MANY} ({len(crowded)}): {_named_lines(crowded)}")
        return told


def _take(read: _Read, report: Report, tally: _Tally, source: str) -> dict[int, RejectedRow]:
    """Ingest what was read, count it in the report, and return the rows that were refused, by line."""
    refused = read.refused
    orders = read.records.get(ORDERS.name, ())
    tally.currencies.update(record[_CURRENCY] for _, record in orders if record[_CURRENCY])
    # A row counts once, whatever it holds.
    left_out: set[int] = set()
    for name, of_kind in read.records.items():
        outcome = writer.ingest(KINDS[name], of_kind, source=source, announce=False)
        report.created += outcome.created
        report.updated += outcome.updated
        left_out.update(outcome.left_out)
        report.kept_unsubscribed += outcome.kept_unsubscribed
        report.crowded += outcome.crowded
        for refusal in outcome.refused:
            refused.setdefault(refusal.line, refusal)
    tally.values_left_out.add(read)
    report.left_out += len(left_out)
    return refused


def header_of(stream: BinaryIO) -> list[str]:
    """Give the names of a file's columns; raises BadFile."""
    return header_cells(next(rows(stream), None), "its first line names the columns")


def guess(header: Sequence[str]) -> Format | None:
    """Return the format that lacks nothing and knows most of the columns, those written exactly first."""
    fitting = [one for one in FORMATS.values() if not one.lacks(one.canonical(header))]

    def known(one: Format) -> tuple[int, int]:
        columns = set(one.columns)
        return len(columns & set(header)), len(columns & set(one.canonical(header)))

    return max(fitting, key=known, default=None)


def _read(format: Format, header: Sequence[str], batch: Sequence[Numbered], shop: Shop) -> _Read:
    read = _Read()
    width, lines, given = len(header), [], []
    nameless = [place for place, name in enumerate(header) if not name]
    for line, cells in batch:
        if isinstance(cells, str):
            read.refused[line] = RejectedRow(line, cells)
        elif len(cells) != width:
            reason = f"has {len(cells)} cells where the header has {width}; look for a stray or missing comma or quote"
            read.refused[line] = RejectedRow(line, reason)
        elif nameless and any(cells[place].strip() for place in nameless):
            read.refused[line] = RejectedRow(line, NAMELESS)
        else:
            lines.append(line)
            given.append(dict(zip(header, map(str.strip, cells), strict=True)))
    if unread := (OURS | {""}) & set(header):
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


def _header(format: Format, numbered: Iterator[Numbered]) -> tuple[list[str], list[str]]:
    names = f"its first line names the columns: {','.join(format.columns)}"
    header = format.canonical(header_cells(next(numbered, None), names))
    if missing := format.lacks(header):
        found = ", ".join(header)[:200]
        raise BadFile(f"missing column {', '.join(missing)} in the header (found: {found}){_hint(header)}")
    _check_names(header)
    return header, format.check([column for column in header if column and column not in OURS])


def header_cells(first: Numbered | None, names: str) -> list[str]:
    if first is None:
        raise BadFile(f"the file is empty; {names}")
    cells = first[1]
    if isinstance(cells, str):
        raise BadFile(f"the header cannot be read: {cells}")
    return [to_nfc(cell.strip()) for cell in cells]


def _hint(header: Sequence[str]) -> str:
    is_one = len(header) == 1 and any(character in header[0] for character in ";\t|")
    return "; separate the columns by commas" if is_one else ""


def _check_names(header: Sequence[str]) -> None:
    twice = [column for column, count in Counter(header).items() if column and count > 1]
    if twice:
        raise BadFile(f"the header names {', '.join(twice)!r} more than once")
    if len(header) > MOST_COLUMNS:
        raise BadFile(f"the header names {len(header)} columns; at most {MOST_COLUMNS} are taken")


def rows(stream: BinaryIO) -> Iterator[Numbered]:
    """Give each row's first line number and its cells, or the reason why it cannot be read.

    The first row is the header. Rows of empty cells are left out, and so are empty cells that stand behind the last
    named column. A quote that is opened and never closed costs its own line only: the lines behind it are read again.
    """
    lines = _lines(stream)
    held: deque[tuple[int, str, str | None]] = deque()  # lines to read again
    width = 0
    ended = False
    while not ended:
        row: list[tuple[int, str, str | None]] = []

        def feed() -> Iterator[str]:
            nonlocal ended
            while len(row) < MOST_LINES_OF_A_ROW:  # noqa: B023 — one list, emptied after each row
                line = held.popleft() if held else next(lines, None)
                if line is None:
                    ended = True
                    return
                row.append(line)  # noqa: B023
                yield line[1]

        try:
            for cells in csv.reader(feed(), strict=True):
                number, _, reason = row[0]
                if len(row) > 1:
                    reason = next((line[2] for line in row if line[2]), None)
                if not any(map(str.strip, cells)):
                    cells = []
                elif not width:
                    width = _width_of(cells)
                if len(cells) > width and not any(map(str.strip, cells[width:])):
                    del cells[width:]
                if len(row) > 1 and cells and len(cells) != width:
                    # A stray quote swallowed the lines up to the next one.
                    held.extendleft(reversed(row[1:]))
                    yield number, STRAY_QUOTE
                elif reason:
                    yield number, reason
                elif cells:
                    yield number, cells
                row.clear()
        except csv.Error as error:
            held.extendleft(reversed(row[1:]))
            ended = False
            yield row[0][0], _reason(error)


def _width_of(header: Cells) -> int:
    """Return the number of columns up to the last one that has a name."""
    return max(place for place, name in enumerate(header, start=1) if name.strip())


def _reason(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"a cell is longer than {csv.field_size_limit()} characters"
    if "new-line" in str(error):
        return "a carriage return stands in the line; end lines with LF or CRLF, as “CSV UTF-8” does"
    return STRAY_QUOTE


def _lines(stream: BinaryIO) -> Iterator[tuple[int, str, str | None]]:
    """Give each line's number, its text, and what is wrong with it, if anything."""
    number = 0
    while raw := stream.readline(LONGEST_LINE):
        number += 1
        if number == 1:
            if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise BadFile("the file is UTF-16; save it as “CSV UTF-8”")
            if raw.startswith(_WORKBOOKS):
                raise BadFile("the file is an Excel workbook; in Excel choose Save As, and “CSV UTF-8”")
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield number, "", f"the line is longer than {LONGEST_LINE} bytes"
            continue
        try:
            yield number, raw.decode(), None
        except UnicodeDecodeError:
            yield number, raw.decode(errors="replace"), "is not UTF-8; save the file as “CSV UTF-8”"
