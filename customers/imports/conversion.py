"""Conversion of rows in any dialect to rows in our own format, whose parsing and writing stay as they are."""

import re
from collections.abc import Callable, Sequence
from functools import partial

from customers.ingestion.results import RejectedRow

from .csv_reader import Cells, NumberedRow
from .dialects import ATTRIBUTE, SKIP, Dialect
from .fields import Content, field_of
from .formats import Format, is_rejection_column
from .notations import (
    ExactCell,
    is_total_word,
    normalize_amount,
    normalize_birth_date,
    normalize_consent,
    normalize_moment,
    normalize_status,
    round_exact,
    unwrap_text,
)

Convert = Callable[[str], str]

_NUMBER_WITH_COMMA = re.compile(r"-?(?:(?:\d+|\d{1,3}(?:[. ]\d{3})+),\d+|\d{1,3}(?:\.\d{3})+)", re.ASCII)
"""With a decimal comma, or with points between thousands: 1.250 would be stored as 1.25."""
# What parsing calls fields that have another name in the format.
_PARSED_AS = {"product_name": "name", "line_total": "unit_price", "confirmed_at": "subscribed_at"}


class Conversion:
    """The conversion of one file's rows. ``header`` names the fields that its columns become.

    ``year`` is the present one: nobody is born later.
    """

    def __init__(self, dialect: Dialect, format: Format, columns: Sequence[str], year: int) -> None:
        self.width = len(columns)
        self.total_lines: list[int] = []
        targets = _targets(dialect, format, columns)
        places: dict[str, list[int]] = {}
        for place, target in enumerate(targets):
            if target:
                places.setdefault(target, []).append(place)
        self.header = list(places)
        self._sources = [
            [(place, _converter(dialect, format, columns[place], target, year)) for place in of_target]
            for target, of_target in places.items()
        ]
        self._columns_of = {
            _PARSED_AS.get(target, target): columns[of_target[0]] for target, of_target in places.items()
        }

    def apply(self, batch: Sequence[NumberedRow]) -> list[NumberedRow]:
        """Return the converted rows. Rows of totals are left out."""
        unreadable: dict[int, str] = {}
        lines: list[int] = []
        rows: list[Cells] = []
        for line, cells in batch:
            if isinstance(cells, str):
                unreadable[line] = cells
            elif len(cells) != self.width:
                reason = (
                    f"has {len(cells)} cells where the header has {self.width}; look for a stray or missing"
                )
                unreadable[line] = f"{reason} separator or quote"
            elif _is_row_of_totals(cells):
                self.total_lines.append(line)
                continue
            else:
                rows.append(cells)
            lines.append(line)
        # Column by column, which takes a third of the time of row by row.
        converted = zip(*(_convert_column(rows, sources) for sources in self._sources), strict=True)
        return [(line, unreadable[line] if line in unreadable else list(next(converted))) for line in lines]

    def in_their_words(self, reason: str) -> str:
        """Return the reason of a rejection with the name that the file gives the column."""
        field, colon, rest = reason.partition(":")
        column = self._columns_of.get(field, field) if colon else field
        return reason if column == field else f"{column}:{rest}"

    def rejected_in_their_words(self, rejected: RejectedRow) -> RejectedRow:
        return RejectedRow(rejected.line, self.in_their_words(rejected.reason), rejected.cells)


def _convert_column(rows: Sequence[Cells], sources: Sequence[tuple[int, Convert]]) -> list[str]:
    """Return a column. Of several columns with the same meaning, the first one that has a value counts."""
    [(place, convert), *others] = sources
    if convert is _same:
        values = [cells[place] for cells in rows]
    else:
        values = [convert(value) if (value := cells[place]) else value for cells in rows]
    if others:
        values = [
            value if value.strip() else instead
            for value, instead in zip(values, _convert_column(rows, others), strict=True)
        ]
    return values


def _targets(dialect: Dialect, format: Format, columns: Sequence[str]) -> list[str]:
    """Return the name that each column gets, or an empty text if it is left out."""
    canonical = format.canonical_header(columns)

    def target(column: str, own: str) -> str:
        field = dialect.mapping.get(column, own)
        if not column or is_rejection_column(column):
            return SKIP
        return own if field == ATTRIBUTE else field

    return [target(column, own) for column, own in zip(columns, canonical, strict=True)]


def _converter(dialect: Dialect, format: Format, column: str, target: str, year: int) -> Convert:
    """Return the conversion of a column's values, by what its field contains."""
    order = dialect.date_orders.get(column, "")
    match content_of(format, target):
        case Content.AMOUNT:
            return partial(_amount, mark=dialect.decimal_mark)
        case Content.MOMENT:
            return lambda value: normalize_moment(value, order)
        case Content.BIRTH_DATE:
            return lambda value: normalize_birth_date(value, order, year)
        case Content.CONSENT:
            return normalize_consent
        case Content.STATUS:
            return normalize_status
        case Content.ID | Content.PHONE:
            return unwrap_text
        case Content.TEXT | Content.EMAIL:
            return _same
    return partial(_attribute, mark=dialect.decimal_mark, order=order)


def content_of(format: Format, target: str) -> Content | None:
    """Return what the values of a field are; None for attributes, which may be anything."""
    if field := field_of(format.name, target):
        return field.content
    return format.contents.get(target)


def _same(value: str) -> str:
    return value


def _amount(value: str, mark: str) -> str:
    return round_exact(value) if type(value) is ExactCell else normalize_amount(value, mark)


def _attribute(value: str, mark: str, order: str) -> str:
    if type(value) is ExactCell:
        return value
    if order:
        return normalize_moment(value, order)
    return normalize_amount(value, mark) if mark == "," and _NUMBER_WITH_COMMA.fullmatch(value) else value


def _is_row_of_totals(cells: Cells) -> bool:
    """Return whether a row holds the totals under a table: their label, and hardly anything but numbers."""
    if len(cells) - cells.count("") > max(2, len(cells) // 2):
        return False
    return any(map(is_total_word, cells))
