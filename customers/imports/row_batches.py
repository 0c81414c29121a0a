"""Rows of a CSV file as records, in batches: the header is checked, and each row becomes records or is rejected."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from customers.ingestion.results import RejectedRow
from customers.rows.cells import InvalidRow
from customers.rows.kinds import KINDS, read_row
from customers.rows.parsing import Record
from customers.rows.settings import ShopSettings

from .csv_reader import NumberedRow, header_cells
from .formats import REJECTION_COLUMNS, Format, InvalidFile

MAX_COLUMNS = 200
VALUE_WITHOUT_COLUMN = "has a value in a column without a name; look for a stray comma, or name the column"


@dataclass
class ParsedBatch:
    """The rows of a batch: records by kind, in the order in which they are written, and rejected rows by line."""

    records: dict[str, list[tuple[int, Record]]] = field(default_factory=dict)
    refused: dict[int, RejectedRow] = field(default_factory=dict)
    skipped_values: dict[int, list[str]] = field(default_factory=dict)


def parse_batch(
    format: Format, header: Sequence[str], batch: Sequence[NumberedRow], shop: ShopSettings
) -> ParsedBatch:
    parsed = ParsedBatch()
    width, lines, rows = len(header), [], []
    nameless = [index for index, name in enumerate(header) if not name]
    for line, cells in batch:
        if isinstance(cells, str):
            parsed.refused[line] = RejectedRow(line, cells)
        elif len(cells) != width:
            reason = f"has {len(cells)} cells where the header has {width}; look for a stray or missing comma or quote"
            parsed.refused[line] = RejectedRow(line, reason)
        elif nameless and any(cells[index].strip() for index in nameless):
            parsed.refused[line] = RejectedRow(line, VALUE_WITHOUT_COLUMN)
        else:
            lines.append(line)
            rows.append(dict(zip(header, map(str.strip, cells), strict=True)))
    if ignored := (REJECTION_COLUMNS | {""}) & set(header):
        rows = [{name: value for name, value in row.items() if name not in ignored} for row in rows]
    records: dict[str, list[tuple[int, Record]]] = {name: [] for name in KINDS}
    for line, parts in zip(lines, format.translate(rows), strict=True):
        invalid_values: list[str] = []
        try:
            of_row = [(kind.name, read_row(kind, row, shop, invalid_values)[1]) for kind, row in parts]
        except InvalidRow as error:
            parsed.refused[line] = RejectedRow(line, str(error))
        else:
            for name, record in of_row:
                records[name].append((line, record))
            if invalid_values:
                parsed.skipped_values[line] = invalid_values
    parsed.records = {name: of_kind for name, of_kind in records.items() if of_kind}
    return parsed


def read_format_header(format: Format, numbered: Iterator[NumberedRow]) -> tuple[list[str], list[str]]:
    """Return the header of a file in our own format, and warnings. Raises InvalidFile."""
    names = f"its first line names the columns: {','.join(format.columns)}"
    header = format.canonical_header(header_cells(next(numbered, None), names))
    return header, check_format_header(format, header)


def check_format_header(format: Format, header: Sequence[str]) -> list[str]:
    """Return warnings about a header. Raises InvalidFile if a format needs other columns."""
    if missing := format.missing_columns(header):
        found = ", ".join(header)[:200]
        raise InvalidFile(
            f"missing column {', '.join(missing)} in the header (found: {found}){_separator_hint(header)}"
        )
    _check_column_names(header)
    return format.check_columns([column for column in header if column and column not in REJECTION_COLUMNS])


def _separator_hint(header: Sequence[str]) -> str:
    is_one = len(header) == 1 and any(character in header[0] for character in ";\t|")
    return "; separate the columns by commas" if is_one else ""


def _check_column_names(header: Sequence[str]) -> None:
    repeated = [column for column, count in Counter(header).items() if column and count > 1]
    if repeated:
        raise InvalidFile(f"the header names {', '.join(repeated)!r} more than once")
    if len(header) > MAX_COLUMNS:
        raise InvalidFile(f"the header has {len(header)} columns; the limit is {MAX_COLUMNS}")
