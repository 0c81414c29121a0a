"""CSV files as people have them: streamed, and a bad row refused without losing its neighbours."""

import csv
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from . import engine, facts, ingestion, news
from .ingestion import Refusal
from .records import CUSTOMERS, EVENTS, ORDERS, Kind, Record, Refused, Shop

ROWS_AT_ONCE = 10_000
MOST_LINES_OF_A_ROW = 200
LONGEST_LINE = 1 << 20
MOST_COLUMNS = 200

_CURRENCY = ORDERS.columns.index("currency")

STRAY_QUOTE = "a quote is opened and not closed where the cell ends"


class BadFile(ValueError):
    """A file of which no row can be taken; the message says what to change."""


@dataclass
class Report:
    """What became of a file's rows; ``settled`` counts the customers whose facts were brought in line."""

    read: int = 0
    created: int = 0
    updated: int = 0
    refused: int = 0
    settled: int = 0
    warnings: list[str] = field(default_factory=list)


def import_file(
    kind: Kind,
    stream: BinaryIO,
    shop: Shop,
    *,
    refuse: Callable[[Refusal], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
    settle: bool = True,
) -> Report:
    """Import a stream of CSV; run again after an interruption it ends with the same result.

    Every ten thousand rows are one transaction. ``refuse`` is told each row that was not taken, ``progress``
    the rows read so far. At the end the facts of all customers concerned are settled, unless ``settle`` is
    False: they wait in the queue then. Raises BadFile where the header will not do.
    """
    report = Report()
    numbered = rows(stream)
    header, report.warnings = _header(kind, numbered)
    currencies: Counter[str] = Counter()
    ingestion.start_file()
    while batch := list(islice(numbered, ROWS_AT_ONCE)):
        records, refused = _read(kind, header, batch, shop)
        if kind is ORDERS:
            currencies.update(record[_CURRENCY] for _, record in records if record[_CURRENCY])
        outcome = ingestion.ingest(kind, records, announce=False)
        report.read += len(batch)
        report.created += outcome.created
        report.updated += outcome.updated
        for refusal in sorted([*refused, *outcome.refused], key=lambda refusal: refusal.line):
            report.refused += 1
            refuse(refusal)
        progress(report.read)
    report.warnings += [
        f"{count} orders are in {currency}, while the shop counts in {shop.currency} (SHOP_CURRENCY);"
        " their amounts count as given"
        for currency, count in currencies.items()
        if currency != shop.currency
    ]
    if report.created > ROWS_AT_ONCE // 10:
        # The planner would take the tables for as small as they were when it last looked.
        for table in (
            "customers_customer",
            "customers_identity",
            "customers_order",
            "customers_orderline",
            "customers_event",
        ):
            engine.analyze(table)
    if settle:
        report.settled = facts.settle()
    news.announce()
    return report


def _read(
    kind: Kind, header: Sequence[str], batch: Sequence[tuple[int, list[str] | str]], shop: Shop
) -> tuple[list[tuple[int, Record]], list[Refusal]]:
    records: list[tuple[int, Record]] = []
    refused: list[Refusal] = []
    width = len(header)
    for line, cells in batch:
        if isinstance(cells, str):
            refused.append(Refusal(line, cells))
        elif len(cells) != width:
            reason = f"has {len(cells)} cells where the header has {width}; look for a stray or missing comma or quote"
            refused.append(Refusal(line, reason))
        else:
            try:
                row = dict(zip(header, map(str.strip, cells), strict=True))
                records.append((line, kind.read(row, shop)))
            except Refused as error:
                refused.append(Refusal(line, str(error)))
    return records, refused


def _header(kind: Kind, numbered: Iterator[tuple[int, list[str] | str]]) -> tuple[list[str], list[str]]:
    first = next(numbered, None)
    if first is None:
        raise BadFile(f"the file is empty; its first line names the columns: {','.join(kind.csv_columns)}")
    cells = first[1]
    if isinstance(cells, str):
        raise BadFile(f"the header cannot be read: {cells}")
    header = [cell.strip() for cell in cells]
    missing = [column for column in kind.required if column not in header]
    if missing:
        found = ", ".join(header)[:200]
        hint = (
            "; separate the columns by commas"
            if len(header) == 1 and any(c in header[0] for c in ";\t|")
            else ""
        )
        raise BadFile(f"missing column {', '.join(missing)} in the header (found: {found}){hint}")
    if kind is EVENTS and not {"customer_id", "anonymous_id"} & set(header):
        raise BadFile("missing column customer_id or anonymous_id in the header")
    twice = [column for column, count in Counter(header).items() if count > 1]
    if twice:
        raise BadFile(f"the header names {', '.join(twice)!r} more than once")
    if len(header) > MOST_COLUMNS:
        raise BadFile(f"the header names {len(header)} columns; at most {MOST_COLUMNS} are taken")
    unknown = [column for column in header if column not in kind.csv_columns]
    if kind is CUSTOMERS:
        if any(not 1 <= len(column) <= 100 or "\x00" in column for column in unknown):
            raise BadFile("every column needs a name of 1 to 100 characters; unknown ones become attributes")
        return header, []
    return header, [f"column {column!r} is unknown and was ignored" for column in unknown]


def rows(stream: BinaryIO) -> Iterator[tuple[int, list[str] | str]]:
    """Give each row's first line number and its cells, or the reason why it cannot be read.

    A quote that is opened and never closed costs its own line only: the lines behind it are read again.
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
                width = width or len(cells)
                if len(row) > 1 and len(cells) != width:
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
