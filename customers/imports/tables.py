"""Tables in files of any dialect: the rows of a CSV file or of a sheet, with a header of distinct names."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import BinaryIO

from core.values.text_cleaning import to_nfc

from . import csv_reader, workbooks
from .csv_reader import NumberedRow
from .dialects import Dialect
from .encodings import open_lines
from .formats import MAX_FILE_COLUMNS, InvalidFile

BATCH_CHARACTERS = 1 << 24
EMPTY_FILE = "the file is empty; its first line names the columns"


def read_table(
    stream: BinaryIO, dialect: Dialect | None, max_bytes: int | None = None
) -> Iterator[NumberedRow]:
    """Return the header and the rows of a file, with the numbers of its lines. Raises InvalidFile.

    Without a dialect the file is in our own format. With ``max_bytes``, only so much of a CSV file is read.
    """
    if dialect is None:
        return csv_reader.read_rows(stream, max_bytes=max_bytes)
    rows = _rows(stream, dialect, max_bytes)
    if dialect.header_row:
        first = next(rows, None)
        if first is None:
            raise InvalidFile(
                EMPTY_FILE if dialect.header_row == 1 else f"there is no row {dialect.header_row}"
            )
        line, cells = first
        if isinstance(cells, str):
            raise InvalidFile(f"the header cannot be read: {cells}")
        _check_width(len(cells))
        names = distinct_names(cells)
    else:
        first = next(rows, None)
        if first is None:
            raise InvalidFile(EMPTY_FILE)
        line, width = 0, len(first[1]) if not isinstance(first[1], str) else 1
        _check_width(width)
        names = [f"Column {place}" for place in range(1, width + 1)]
        rows = chain((first,), rows)
    return chain(((line, names),), rows)


def batches(rows: Iterator[NumberedRow], most_rows: int) -> Iterator[list[NumberedRow]]:
    """Return rows in batches, which are smaller if the rows are long, so that each needs little memory."""
    batch: list[NumberedRow] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(map(len, row[1]))
        if len(batch) == most_rows or characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _check_width(columns: int) -> None:
    if columns > MAX_FILE_COLUMNS:
        raise InvalidFile(f"the file has {columns:,} columns; the limit is {MAX_FILE_COLUMNS:,}")


def _rows(stream: BinaryIO, dialect: Dialect, max_bytes: int | None) -> Iterator[NumberedRow]:
    if workbooks.is_workbook(stream):
        return _sheet_rows(stream, dialect)
    lines, encoding = open_lines(stream, dialect.encoding)
    return csv_reader.read_rows(
        lines,
        separator=dialect.separator,
        encoding=encoding,
        first_line=dialect.header_row,
        max_bytes=max_bytes,
    )


def _sheet_rows(stream: BinaryIO, dialect: Dialect) -> Iterator[NumberedRow]:
    """Return the rows from the header on, each as long as the header and without empty cells after it.

    Without a header, rows keep all cells: the last one of the first row may be empty by chance.
    """
    width = 0
    for number, cells in workbooks.read_sheet(stream, dialect.sheet):
        if number < dialect.header_row:
            continue
        if not width:
            named = max(place for place, cell in enumerate(cells, start=1) if cell)
            width = named if dialect.header_row else len(cells)
        if any(cells[width:]):
            yield number, cells
        else:
            yield number, cells[:width]


def distinct_names(cells: Sequence[str]) -> list[str]:
    """Return the names of columns. A repeated one gets a number: two columns ``Total`` are ``Total``, ``Total (2)``."""
    names: list[str] = []
    taken: set[str] = set()
    counts: dict[str, int] = {}
    for cell in cells:
        distinct = name = " ".join(to_nfc(cell).split())
        while name and distinct in taken:
            counts[name] = counts.get(name, 1) + 1
            distinct = f"{name} ({counts[name]})"
        taken.add(distinct)
        names.append(distinct)
    return names
