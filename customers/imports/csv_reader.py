"""Reading CSV files of any size, row by row, so that an invalid row does not affect the rows around it."""

import csv
from collections import deque
from collections.abc import Iterator

from core.values.text_cleaning import to_nfc

from .encodings import Lines
from .formats import InvalidFile

MAX_LINES_PER_ROW = 200
MAX_LINE_BYTES = 1 << 20
MIN_LINE_BYTES = 64
"""What a line counts as at least, of the bytes that may be read: empty lines take time, too."""

MAX_EMPTY_ROWS = 2_000_000
"""One after the other. Spreadsheets write as many empty rows as a sheet has, about a million."""

READ_AGAIN, READ_AGAIN_PER_LINE = 100_000, 5
"""How many lines are read again after stray quotes. Beyond that, reading a file would take hours."""

STRAY_QUOTE = "a quote is opened, but not closed at the end of the cell"

_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # the first bytes of .xlsx and .xls

Cells = list[str]
NumberedRow = tuple[int, Cells | str]
"""A line number, and the cells of the row, or the reason why they cannot be read."""


def header_cells(first: NumberedRow | None, hint: str) -> list[str]:
    """Return the cells of a header. Raises InvalidFile; ``hint`` ends its message about an empty file."""
    if first is None:
        raise InvalidFile(f"the file is empty; {hint}")
    cells = first[1]
    if isinstance(cells, str):
        raise InvalidFile(f"the header cannot be read: {cells}")
    return [to_nfc(cell.strip()) for cell in cells]


def read_rows(
    stream: Lines,
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    first_line: int = 1,
    max_bytes: int | None = None,
) -> Iterator[NumberedRow]:
    """Return the number of each row's first line, and its cells or the reason why it is invalid.

    The first row is the header, unless ``first_line`` is 0. Empty rows are skipped, and so are empty cells after the
    last named column. A quote that is never closed invalidates only its own line: the lines after it are read again.
    With ``max_bytes``, only so much of the file is read. Raises InvalidFile if too many quotes are never closed, or too
    many rows are empty.
    """
    lines = _read_lines(stream, encoding, first_line, max_bytes)
    held: deque[tuple[int, str, str | None]] = deque()  # lines to read again
    width = read_again = empty = 0
    ended = False

    def hold(row: list[tuple[int, str, str | None]]) -> None:
        nonlocal read_again
        held.extendleft(reversed(row[1:]))
        read_again += len(row) - 1
        if read_again > READ_AGAIN + READ_AGAIN_PER_LINE * row[0][0]:
            raise InvalidFile(
                f"too many quotes up to line {row[0][0]:,} are opened, but not closed; is the separator right?"
            )

    while not ended:
        row: list[tuple[int, str, str | None]] = []

        def feed() -> Iterator[str]:
            nonlocal ended
            while len(row) < MAX_LINES_PER_ROW:  # noqa: B023 — one list, emptied after each row
                line = held.popleft() if held else next(lines, None)
                if line is None:
                    ended = True
                    return
                row.append(line)  # noqa: B023
                yield line[1]

        try:
            for cells in csv.reader(feed(), delimiter=separator, strict=True):
                number, _, reason = row[0]
                if len(row) > 1:
                    reason = next((line[2] for line in row if line[2]), None)
                if not any(map(str.strip, cells)):
                    cells = []
                    empty += 1
                    if empty > MAX_EMPTY_ROWS:
                        raise InvalidFile(
                            f"more than {MAX_EMPTY_ROWS:,} rows up to line {number:,} are empty"
                        )
                elif empty:
                    empty = 0
                if cells and not width:
                    width = _header_width(cells) if first_line else len(cells)
                if len(cells) > width and not any(map(str.strip, cells[width:])):
                    del cells[width:]
                if len(row) > 1 and cells and len(cells) != width:
                    # A stray quote swallowed the lines up to the next one.
                    hold(row)
                    yield number, STRAY_QUOTE
                elif reason:
                    yield number, reason
                elif cells:
                    yield number, cells
                row.clear()
        except csv.Error as error:
            hold(row)
            ended = False
            yield row[0][0], _csv_error_reason(error)


def _header_width(header: Cells) -> int:
    """Return the number of columns up to the last one that has a name."""
    return max(place for place, name in enumerate(header, start=1) if name.strip())


def _csv_error_reason(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"a cell is longer than {csv.field_size_limit()} characters"
    if "new-line" in str(error):
        return "the line contains a carriage return; end lines with LF or CRLF, as “CSV UTF-8” does"
    return STRAY_QUOTE


def _read_lines(
    stream: Lines, encoding: str, first_line: int, max_bytes: int | None
) -> Iterator[tuple[int, str, str | None]]:
    """Return the number of each line, its text, and the reason if it is invalid."""
    number = 0
    left = max_bytes or 0
    hint = "is not UTF-8; save the file as “CSV UTF-8”" if encoding == "utf-8" else f"is not {encoding}"
    while raw := stream.readline(MAX_LINE_BYTES):
        number += 1
        if max_bytes:
            left -= max(len(raw), MIN_LINE_BYTES)
            if left < 0:
                return
        if number == 1:
            if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise InvalidFile("the file is UTF-16; save it as “CSV UTF-8”")
            if raw.startswith(_WORKBOOKS):
                raise InvalidFile("the file is an Excel workbook; in Excel, choose Save As and “CSV UTF-8”")
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if len(raw) >= MAX_LINE_BYTES and not raw.endswith(b"\n"):  # a character can be several bytes
            while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, "", f"the line is longer than {MAX_LINE_BYTES} bytes"
            continue
        if number < first_line:
            continue
        try:
            yield number, raw.decode(encoding), None
        except UnicodeDecodeError:
            yield number, raw.decode(encoding, errors="replace"), hint
