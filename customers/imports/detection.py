"""Detection of a file's dialect and format, by all of its rows in one pass with bounded memory."""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import BinaryIO, Final

from customers.rows.cells import CONSENT_WORDS

from . import workbooks
from .catalogue import FORMATS, guess_format
from .column_profiles import TableProfile
from .csv_reader import MAX_LINE_BYTES, NumberedRow
from .dialects import ASK, ATTRIBUTE, SEPARATORS, SKIP, Dialect
from .encodings import Lines, detect_encoding, open_lines
from .fields import FIELDS, Content, field_of, guess_fields, known_names
from .formats import MAX_FILE_COLUMNS, Format, InvalidFile, column_key, is_rejection_column
from .notations import (
    ExactCell,
    date_order_of,
    decimal_mark_of,
    is_consent_word,
    normalize_moment,
)
from .platforms import known_platform
from .tables import EMPTY_FILE, read_table

MAX_BYTES: Final = 1 << 26
"""How much of a file is looked at, at most a million rows. What comes later is checked while it is imported."""

SAMPLE_ROWS: Final = 500
HEADER_ROWS: Final = 40
SAMPLE_BYTES: Final = 1 << 18


@dataclass(frozen=True)
class KeptMapping:
    """What staff chose for an earlier file with the same header."""

    kind: str
    mapping: Mapping[str, str]
    date_orders: Mapping[str, str]

    def spelled_as(self, columns: Sequence[str]) -> "KeptMapping":
        """Return it for the columns as this file spells them."""
        return KeptMapping(
            self.kind, _respelled(self.mapping, columns), _respelled(self.date_orders, columns)
        )


def _respelled(values: Mapping[str, str], columns: Sequence[str]) -> dict[str, str]:
    by_key = {column_key(column): value for column, value in values.items()}
    found = {column: values.get(column, by_key.get(column_key(column))) for column in columns}
    return {column: value for column, value in found.items() if value is not None}


@dataclass(frozen=True)
class Detected:
    """What a file is. Without a dialect it is in our own format; without a format staff must choose one."""

    kind: str
    dialect: Dialect | None
    platform: str = ""
    examples: Mapping[str, str] = field(default_factory=dict)
    """An ambiguous date of each column that has only ambiguous ones."""


def detect(
    stream: BinaryIO,
    *,
    kind: str = "",
    given: Mapping[str, object] | None = None,
    kept: Callable[[str], KeptMapping | None] = lambda _: None,
    max_bytes: int = MAX_BYTES,
) -> Detected:
    """Return what a file is. ``given`` are parts of the dialect that staff have chosen; ``kept`` finds what they chose
    for an earlier file by its ``header_key``.

    Raises InvalidFile if there are no rows, or if the file is an export that cannot be imported.
    """
    given = dict(given or {})
    dialect = _table_dialect(stream, given, max_bytes)
    stream.seek(0)
    is_workbook = workbooks.is_workbook(stream)
    numbered = read_table(stream, dialect, max_bytes)
    columns = [str(name) for name in next(numbered)[1]]
    profile = TableProfile(columns)
    profile.add_rows(numbered)
    stream.seek(0)
    return _interpret(dialect, columns, profile, kind, given, kept, is_workbook=is_workbook)


def header_key(columns: Sequence[str]) -> str:
    """Return what a header is recognized by. The columns of a file of rejected rows do not count."""
    keys = [column_key(name) for name in columns if not is_rejection_column(name)]
    return hashlib.sha256("\x1f".join(keys).encode()).hexdigest()


# -- The table


def _table_dialect(stream: BinaryIO, given: Mapping[str, object], max_bytes: int) -> Dialect:
    """Return the encoding, the separator and the header row, or the sheet and the header row."""
    if workbooks.is_workbook(stream):
        sheet = str(given.get("sheet", ""))
        rows: list[NumberedRow] = [*islice(workbooks.read_sheet(stream, sheet), SAMPLE_ROWS)]
        if not rows:
            raise InvalidFile(f"the sheet {sheet!r} is empty; its first row names the columns")
        return Dialect(sheet=sheet, header_row=_header_row(rows, given))
    encoding = str(given.get("encoding") or detect_encoding(stream, max_bytes))
    stream.seek(0)
    sample = _sample_lines(stream, encoding)
    separator = str(given.get("separator") or _separator(sample))
    rows = [*_sample_rows(sample, separator)]
    return Dialect(encoding=encoding, separator=separator, header_row=_header_row(rows, given))


def _header_row(rows: Sequence[NumberedRow], given: Mapping[str, object]) -> int:
    chosen = given.get("header_row")
    readable = [
        (line, cells)
        for line, cells in rows
        if not isinstance(cells, str) and not (line == 1 and cells[0].casefold() == "sep=")
    ]
    return _find_header(readable) if chosen is None else int(str(chosen))


def _sample_lines(stream: BinaryIO, encoding: str) -> list[str]:
    """Return the first lines. Raises InvalidFile if there is nothing in them, or if the first one is too long."""
    lines, read_as = open_lines(stream, encoding)
    sample: list[str] = []
    size = 0
    while size < SAMPLE_BYTES and (raw := lines.readline(SAMPLE_BYTES)):
        if not sample:
            if size := _length_of_overlong_line(lines, raw):
                raise InvalidFile(
                    f"the first line has {size / (1 << 20):,.1f} MB; in a CSV file, each row is a line"
                )
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        size += len(raw)
        sample.append(raw.decode(read_as, errors="replace"))
    if not any(map(str.strip, sample)):
        if size >= SAMPLE_BYTES:
            raise InvalidFile(
                f"the first {len(sample):,} lines are empty; delete the empty lines at the beginning"
            )
        raise InvalidFile(EMPTY_FILE)
    return sample


def _length_of_overlong_line(lines: Lines, beginning: bytes) -> int:
    """Return the length in bytes of a line that is longer than lines may be, or 0. Only so much is read as can be."""
    size, rest = len(beginning), beginning
    while size < MAX_BYTES and rest and not rest.endswith((b"\n", b"\r")):
        rest = lines.readline(SAMPLE_BYTES)
        size += len(rest)
    return size if size > MAX_LINE_BYTES else 0


def _sample_rows(sample: Sequence[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Return the first rows with the numbers of their first lines."""
    reader = csv.reader(iter(sample), delimiter=separator)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error:
            continue
        if cells is None or line > SAMPLE_ROWS:
            return
        if any(map(str.strip, cells)):
            yield line, [cell.strip() for cell in cells]


def _separator(sample: Sequence[str]) -> str:
    """Return the separator that splits the rows into the same number of cells, and the header into known names."""
    first = sample[0].strip().casefold()
    if first.startswith("sep=") and len(first) == 5 and first[4] in SEPARATORS:
        return first[4]

    def rate(separator: str) -> tuple[int, float]:
        rows = [cells for _, cells in _sample_rows(sample, separator)]
        widths = Counter(len(cells) for cells in rows if len(cells) > 1)
        if not widths:
            return 0, 0.0
        width, count = max(widths.items(), key=lambda item: item[1] * (1 - 1 / item[0]))
        named = rows[:HEADER_ROWS] if width <= MAX_FILE_COLUMNS else []
        names = max((known_names(cells) for cells in named if len(cells) == width), default=0)
        return names if names > 1 else 0, count / len(rows) * (1 - 1 / width)

    return max(SEPARATORS, key=rate)


def _find_header(rows: Sequence[tuple[int, Sequence[str]]]) -> int:
    """Return the line of the header: the first row that is as wide as the table and holds names, not values; or 0."""
    if not rows:
        raise InvalidFile("none of the first lines can be read as a row of a table")
    widths = Counter(sum(map(bool, cells)) for _, cells in rows)
    common = max(widths, key=lambda width: widths[width] * width)
    candidates = [
        (known_names(cells), -line)
        for line, cells in rows[:HEADER_ROWS]
        if len(cells) <= MAX_FILE_COLUMNS
        and sum(map(bool, cells)) >= max(1, common / 2)
        and not any(map(_is_value, cells))
    ]
    if not candidates:
        return 0
    best, line = max(candidates)
    if best:
        return -line
    # Of names that nobody knows, those of the first row as wide as the table.
    return -max(line for _, line in candidates)


def _is_value(cell: str) -> bool:
    """Return whether a cell of the first rows is a value, and no name of a column."""
    if not cell:
        return False
    return (
        type(cell) is ExactCell
        or ("@" in cell and "." in cell)
        or decimal_mark_of(cell) is not None
        or date_order_of(cell) is not None
        or normalize_moment(cell, "") != cell
    )


# -- What it means


def _interpret(
    dialect: Dialect,
    columns: Sequence[str],
    profile: TableProfile,
    kind: str,
    given: Mapping[str, object],
    kept: Callable[[str], KeptMapping | None],
    *,
    is_workbook: bool,
) -> Detected:
    earlier = kept(header_key(columns))
    if earlier:
        earlier = earlier.spelled_as(columns)
    platform = known_platform(columns)
    own = guess_format(columns)
    name = ""
    if earlier and kind in ("", earlier.kind):
        kind, mapping = earlier.kind, dict(earlier.mapping)
    elif platform and kind in ("", platform.kind) and not (own and own.name.startswith("shopify")):
        if platform.refused:
            raise InvalidFile(platform.refused)
        name, kind, mapping = platform.name, platform.kind, platform.mapping(columns)
    else:
        guessed_kind, mapping = _guess(kind, columns, profile)
        if own and kind in ("", own.name) and _count_fields(mapping) <= own.count_known(columns):
            guessed_kind, mapping = own.name, own_mapping(own, columns)
        kind = guessed_kind
    mapping |= {column: field for column, field in _given(given, "mapping").items() if column in columns}
    mapping |= {column: SKIP for column in columns if is_rejection_column(column)}
    considered = [column for column in columns if mapping.get(column) != SKIP]
    is_ours = own is not None and kind == own.name and dialect == Dialect()
    if is_ours:
        # Attributes of files in our own format are stored as they are written.
        considered = [column for column in considered if mapping.get(column) != ATTRIBUTE]
    marks = Counter[str]()
    for column in considered:
        if profile[column].is_numbers and _content(kind, mapping, column) in (Content.AMOUNT, None):
            marks += profile[column].marks
    if is_ours:
        del marks[ASK]  # our decimal mark is the point
    chosen_mark = str(given.get("decimal_mark", ""))
    date_orders, chosen_orders = _date_orders(considered, profile, given, earlier)
    dialect = replace(
        dialect,
        decimal_mark=chosen_mark or _decimal_mark(marks),
        mapping=mapping,
        date_orders=date_orders,
        chosen_mark=chosen_mark,
        chosen_orders=chosen_orders,
    )
    examples = {column: profile[column].example for column in dialect.undecided_columns}
    is_ours = (
        not (given or is_workbook)
        and own is not None
        and kind == own.name
        and _is_strict(dialect, columns, own, profile)
    )
    return Detected(kind, None if is_ours else dialect, name, examples)


def _count_fields(mapping: Mapping[str, str]) -> int:
    return sum(field not in (SKIP, ATTRIBUTE) for field in mapping.values())


def _given(given: Mapping[str, object], name: str) -> Mapping[str, str]:
    """Return what staff have chosen by column."""
    chosen = given.get(name)
    return chosen if isinstance(chosen, Mapping) else {}


def _content(kind: str, mapping: Mapping[str, str], column: str) -> Content | None:
    target = mapping.get(column, column)
    if found := field_of(kind, target):
        return found.content
    of_format = FORMATS[kind].contents if kind in FORMATS else {}
    return of_format.get(target)


def own_mapping(own: Format, columns: Sequence[str]) -> dict[str, str]:
    """Return the fields of columns with our own names. Formats with columns of their own have no mapping."""
    if own.name not in FIELDS:
        return {}
    other = ATTRIBUTE if own.name in ("customers", "contacts") else SKIP
    canonical = own.canonical_header(columns)
    return {
        column: name
        if name in own.columns
        else (SKIP if not column or is_rejection_column(column) else other)
        for column, name in zip(columns, canonical, strict=True)
    }


def _decimal_mark(marks: Counter[str]) -> str:
    """Return the decimal mark that most numbers show. Numbers such as 1.234 alone do not show it."""
    if marks["."] or marks[","]:
        return "," if marks[","] > marks["."] else "."
    return ASK if marks[ASK] else "."


def _date_orders(
    columns: Sequence[str],
    profile: TableProfile,
    given: Mapping[str, object],
    earlier: KeptMapping | None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the order of each column of dates, and the orders that staff chose.

    A column that does not show its order has that of the other columns.
    """
    orders = {column: profile[column].date_order for column in columns}
    orders = {column: order for column, order in orders.items() if order}
    chosen = dict(_given(given, "chosen_orders"))
    if order := str(given.get("date_order") or ""):
        # The answer to a question is about the columns that do not show their order.
        asked = [column for column in orders if orders[column] == ASK]
        chosen |= dict.fromkeys(asked or orders, order)
    orders = {column: chosen.get(column, order) for column, order in orders.items()}
    certain = {order for order in orders.values() if order != ASK}
    if len(certain) == 1:
        return dict.fromkeys(orders, certain.pop()), chosen
    kept = earlier.date_orders if earlier else {}
    orders = {column: kept.get(column, order) if order == ASK else order for column, order in orders.items()}
    return orders, chosen


def _is_strict(dialect: Dialect, columns: Sequence[str], own: Format, profile: TableProfile) -> bool:
    """Return whether a file needs no conversion: its notation is that of our own format, or nothing but ours helps."""
    if dialect != Dialect(mapping=dialect.mapping):
        return False
    for column, target in zip(columns, own.canonical_header(columns), strict=True):
        values = profile[column]
        match _content(own.name, {column: target}, column):
            case Content.AMOUNT if values.is_numbers and not values.is_clean:
                return False
            case Content.MOMENT | Content.BIRTH_DATE if any(map(_needs_conversion, values.words)):
                return False
            case Content.CONSENT if any(
                is_consent_word(word) and word.lower() not in CONSENT_WORDS for word in values.words
            ):
                return False
    return True


def _needs_conversion(moment: str) -> bool:
    """Return whether a date or time is none in ISO 8601, but can be converted."""
    try:
        datetime.fromisoformat(moment)
    except ValueError:
        return normalize_moment(moment, "") != moment
    return False


def _guess(kind: str, columns: Sequence[str], profile: TableProfile) -> tuple[str, dict[str, str]]:
    """Return the format that fits the names of the columns best, and their fields, by names and by content."""
    if kind and kind not in FIELDS:
        return kind, {}  # its columns have their own names
    kinds = [kind] if kind else ["sales", "contacts", "order_lines", "events"]
    best: tuple[float, str, dict[str, str]] = (0.0, kind, {})
    for candidate in kinds:
        guessed = guess_fields(candidate, columns)
        _add_by_content(candidate, guessed, columns, profile)
        is_complete = not FORMATS[candidate].missing_columns(list(guessed.values()))
        rate = len(guessed) + (100 if is_complete else 0)
        if (is_complete or kind) and rate > best[0]:
            best = (rate, candidate, guessed)
    _, name, guessed = best
    if not kind:
        name = _narrower(name, set(guessed.values()))
    other = ATTRIBUTE if name in ("contacts", "customers") else SKIP
    return name, {column: guessed.get(column, other if column else SKIP) for column in columns}


def _add_by_content(
    kind: str, guessed: dict[str, str], columns: Sequence[str], profile: TableProfile
) -> None:
    """Add columns whose values say what they are: e-mail addresses, and the only date or amount of orders."""
    taken = set(guessed.values())
    free = [column for column in columns if column and column not in guessed]
    if "email" not in taken and field_of(kind, "email"):
        emails = [column for column in free if profile[column].is_emails]
        if emails:
            guessed[emails[0]] = "email"
    if kind != "sales":
        return
    dates = [column for column in free if profile[column].is_dates]
    if "placed_at" not in taken and len(dates) == 1:
        guessed[dates[0]] = "placed_at"


def _narrower(kind: str, targets: set[str]) -> str:
    """Return our own format of customers or orders where it has all fields: then nothing is looked up."""
    if (
        kind == "contacts"
        and "customer_id" in targets
        and targets <= {one.name for one in FIELDS["customers"]}
    ):
        return "customers"
    if kind == "sales" and "customer_id" in targets and targets <= {one.name for one in FIELDS["orders"]}:
        return "orders"
    return kind
