"""Rows of spreadsheet files: .xlsx, .xls, .xlsb and .ods. They are read in a process with limits, ``sheet_process``."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from .formats import MAX_FILE_COLUMNS, InvalidFile
from .notations import ExactCell

MAX_PROCESS_BYTES: Final = 1 << 30
"""Of memory while a workbook is read: a sheet is kept whole, and a small file can unpack to any size."""

MAX_PROCESS_SECONDS: Final = 60
"""Of processor time, while rows are read and passed on."""

MAX_SHEETS: Final = 1_000
MAX_ROW_CHARACTERS: Final = 1 << 17

_PROGRAM: Final = Path(__file__).with_name("sheet_process.py")
_MAGIC: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SAVE_AS_CSV: Final = "save the sheet as “CSV UTF-8”"

NumberedCells = tuple[int, list[str] | str]
"""The number of a row, and its cells or the reason why they cannot be read."""


def is_workbook(stream: BinaryIO) -> bool:
    start = stream.tell()
    magic = stream.read(4)
    stream.seek(start)
    return magic in _MAGIC


def sheet_names(stream: BinaryIO) -> list[str]:
    """Return the names of the sheets that hold tables. Raises InvalidFile."""
    names: list[str] = next(_read(stream, None))["sheets"]
    return names


def read_sheet(stream: BinaryIO, sheet: str = "") -> Iterator[NumberedCells]:
    """Return the rows of a sheet that are not empty, with their numbers; by default of the first sheet with rows.

    The position in the file moves with the rows, as in a CSV file. Raises InvalidFile.
    """
    start = stream.tell()
    size = stream.seek(0, 2) - start
    stream.seek(start)
    lines = _read(stream, sheet)
    total = next(lines)["rows"]
    for rows in lines:
        stream.seek(start + size * rows[-1][0] // total)
        for number, cells in rows:
            if isinstance(cells, str):
                yield number, cells
            else:
                yield number, [cell if type(cell) is str else ExactCell(cell[0]) for cell in cells]


def _read(stream: BinaryIO, sheet: str | None) -> Iterator[Any]:
    """Run the program for a sheet, or without one for the names of all sheets. Return the lines of its output."""
    request = {
        "sheet": sheet,
        "max_bytes": MAX_PROCESS_BYTES,
        "max_seconds": MAX_PROCESS_SECONDS,
        "max_sheets": MAX_SHEETS,
        "max_columns": MAX_FILE_COLUMNS,
        "max_row_characters": MAX_ROW_CHARACTERS,
    }
    # With -P, our own modules do not hide those of Python that have the same name.
    command = [sys.executable, "-P", str(_PROGRAM), json.dumps(request)]
    with subprocess.Popen(
        command, stdin=stream, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            for line in process.stdout or ():
                if not line.endswith(b"\n"):
                    break  # it was ended while it wrote
                said = json.loads(line)
                if isinstance(said, dict) and "refused" in said:
                    raise InvalidFile(said["refused"])
                yield said
            status = process.wait()
        finally:
            process.kill()
    if status:
        raise InvalidFile(_failure(status))


def _failure(status: int) -> str:
    """Return why the program ended before its end."""
    if status == -signal.SIGXCPU:
        return f"the workbook cannot be read within {MAX_PROCESS_SECONDS} seconds; {_SAVE_AS_CSV}"
    if status == 1:
        return f"the workbook cannot be read: it has a password, or is damaged; {_SAVE_AS_CSV}"
    return (
        f"the workbook cannot be read within {MAX_PROCESS_BYTES >> 30} GB of memory: it is too large, or a cell"
        f" stands far away from its table; {_SAVE_AS_CSV}"
    )
