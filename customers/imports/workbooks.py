"""Rows of spreadsheet files: .xlsx, .xls, .xlsb and .ods."""

import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO, Final

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

from .formats import InvalidFile
from .notations import ExactCell

MAX_UNPACKED_BYTES: Final = 1 << 30
"""Of all parts of a workbook: the library keeps a sheet in memory, and a small file can unpack to any size."""

_MAGIC: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")

Row = tuple[int, list[str]]


def is_workbook(stream: BinaryIO) -> bool:
    start = stream.tell()
    magic = stream.read(4)
    stream.seek(start)
    return magic in _MAGIC


def sheet_names(stream: BinaryIO) -> list[str]:
    """Return the names of the sheets that hold tables. Raises InvalidFile."""
    return list(_open(stream).sheet_names)


def read_sheet(stream: BinaryIO, sheet: str = "") -> Iterator[Row]:
    """Return the rows of a sheet that are not empty, with their numbers; by default of the first sheet with rows.

    Raises InvalidFile.
    """
    workbook = _open(stream)
    if sheet and sheet not in workbook.sheet_names:
        raise InvalidFile(f"there is no sheet {sheet!r}; the sheets are {', '.join(workbook.sheet_names)}")
    name = sheet or _first_sheet(workbook)
    for number, values in enumerate(_sheet(workbook, name).iter_rows(), start=1):
        texts = [_cell_text(value) for value in values]
        if any(texts):
            yield number, texts


def _first_sheet(workbook: CalamineWorkbook) -> str:
    """Return the first sheet with rows."""
    for name in workbook.sheet_names:
        if _sheet(workbook, name).height:
            return str(name)
    raise InvalidFile("the workbook is empty; its first row names the columns")


def _sheet(workbook: CalamineWorkbook, name: str) -> CalamineSheet:
    try:
        return workbook.get_sheet_by_name(name)
    except CalamineError as error:
        raise InvalidFile(f"the sheet {name!r} cannot be read ({error})") from None


def _open(stream: BinaryIO) -> CalamineWorkbook:
    start = stream.tell()
    try:
        if stream.read(4) == _MAGIC[0]:
            with zipfile.ZipFile(stream) as parts:
                if sum(part.file_size for part in parts.infolist()) > MAX_UNPACKED_BYTES:
                    raise InvalidFile("the workbook is too large; save the sheet as “CSV UTF-8”")
        stream.seek(start)
        return CalamineWorkbook.from_filelike(stream)
    except (CalamineError, zipfile.BadZipFile, OSError, ValueError) as error:
        if isinstance(error, InvalidFile):
            raise
        reason = "it has a password, or is damaged"
        raise InvalidFile(f"the workbook cannot be read: {reason}; save the sheet as “CSV UTF-8”") from None


def _cell_text(value: Any) -> str:
    """Return the text of a cell; that of a number or date is in our own notation."""
    match value:
        case str():
            return value.strip()
        case bool():
            return ExactCell("true" if value else "false")
        case float() | int():
            return ExactCell(_number_text(value))
        case datetime():
            with suppress(OverflowError):  # the last instant of the year 9999 stays as it is
                value += timedelta(microseconds=500_000)
            rounded = value.replace(microsecond=0)
            is_day = rounded.time() == time()
            return ExactCell(rounded.date().isoformat() if is_day else rounded.isoformat())
        case date():
            return ExactCell(value.isoformat())
    return ExactCell("" if value is None else str(value))


def _number_text(value: float) -> str:
    """Return a number with the 15 digits that spreadsheets show, never in scientific notation."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    text = f"{Decimal(f'{value:.15g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
