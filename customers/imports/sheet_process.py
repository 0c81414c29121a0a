"""A program that reads a workbook from its standard input and writes the rows of a sheet to its standard output.

The library keeps every cell between the first and the last one in memory, and ends the process when there is not
enough. A small file can hold two cells that are far apart, or unpack to any size. So workbooks are read here, in a
process of its own with limited memory and time, which ``workbooks`` starts. It imports nothing of this project.

The argument is a request as JSON. Each line of the output is JSON, too: first what the workbook holds or why it cannot
be read, then lists of rows, each with its number and its cells. A number or date is a list of one text.
"""

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook

INPUT: Final = "/dev/fd/0"  # opened by its path: then the library does not copy the file into memory
OUT_OF_MEMORY: Final = 3
"""An exit status. After any other error it is 1: the file is damaged."""

MAX_NAME: Final = 255
ROWS_PER_LINE: Final = 500
CHARACTERS_PER_LINE: Final = 1 << 18

Cell = str | list[str]


def main(request: dict[str, Any]) -> None:
    _limit(request["max_bytes"], request["max_seconds"])
    workbook = CalamineWorkbook.from_path(INPUT)
    names = list(workbook.sheet_names)
    if any(len(name) > MAX_NAME for name in names):
        raise ValueError("no spreadsheet program allows this name")
    if len(names) > request["max_sheets"]:
        return _refuse(f"the workbook has {len(names):,} sheets; the limit is {request['max_sheets']:,}")
    chosen = request["sheet"]
    if chosen is None:
        return _write({"sheets": names})
    if chosen and chosen not in names:
        return _refuse(f"there is no sheet {chosen!r}; the sheets are {', '.join(names[:20])}")
    for name in [chosen] if chosen else names:
        try:
            sheet = workbook.get_sheet_by_name(name)
        except CalamineError as error:
            return _refuse(f"the sheet {name!r} cannot be read ({str(error)[:100]})")
        if sheet.height:
            break
    else:
        if not chosen:
            return _refuse("the workbook is empty; its first row names the columns")
    height, width = (place + 1 for place in sheet.end or (0, 0))
    if width > request["max_columns"]:
        return _refuse(
            f"the sheet {name!r} has cells up to column {width:,}; the limit is {request['max_columns']:,} columns"
        )
    _write({"sheets": names, "rows": height})
    for rows in _batches(sheet, request["max_row_characters"]):
        _write(rows)


def _limit(max_bytes: int, max_seconds: int) -> None:
    """Limit the memory and the processor time of this process, where the system can."""
    with suppress(
        OSError
    ):  # on Linux: of all processes, this one ends first if the machine has too little memory
        Path("/proc/self/oom_score_adj").write_text("1000")
    for kind, limits in (
        (resource.RLIMIT_CORE, (0, 0)),
        (
            resource.RLIMIT_CPU,
            (max_seconds, max_seconds + 1),
        ),  # the first one ends it with a signal that says why
        (resource.RLIMIT_AS, (max_bytes, max_bytes)),
    ):
        with suppress(ValueError, OSError):  # macOS does not limit memory
            resource.setrlimit(kind, limits)


def _write(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


def _refuse(reason: str) -> None:
    _write({"refused": reason})


def _batches(sheet: CalamineSheet, max_characters: int) -> Iterator[list[tuple[int, list[Cell] | str]]]:
    """Return the rows that are not empty, with their numbers. A row that is too long is the reason why."""
    batch: list[tuple[int, list[Cell] | str]] = []
    size = 0
    for number, values in enumerate(sheet.iter_rows(), start=1):
        cells = [value.strip() if type(value) is str else _exact(value) for value in values]
        length = sum(map(len, cells))
        if not length:
            continue
        if length > max_characters:
            batch.append((number, f"the row is longer than {max_characters} characters"))
        else:
            batch.append((number, cells))
            size += length
        if len(batch) == ROWS_PER_LINE or size > CHARACTERS_PER_LINE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _exact(value: Any) -> Cell:
    """Return the text of a number or date in our own notation, marked as such; an empty text for an empty cell."""
    match value:
        case bool():
            return ["true" if value else "false"]
        case float() | int():
            return [_number_text(value)]
        case datetime():
            with suppress(OverflowError):  # the last instant of the year 9999 stays as it is
                value += timedelta(microseconds=500_000)
            rounded = value.replace(microsecond=0)
            is_day = rounded.time() == time()
            return [rounded.date().isoformat() if is_day else rounded.isoformat()]
        case date():
            return [value.isoformat()]
    return "" if value is None else [str(value)]


def _number_text(value: float) -> str:
    """Return a number with the 15 digits that spreadsheets show, never in scientific notation."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    text = f"{Decimal(f'{value:.15g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except MemoryError:
        sys.exit(OUT_OF_MEMORY)
