"""CSV whose cells a spreadsheet program will not run as formulas."""

import csv
import io
import re
from collections.abc import Iterable

_FORMULA_START = ("=", "+", "-", "@", "\t", "\r")
_NUMBER_OR_PHONE = re.compile(r"[+-][\d\s().,/-]*", re.ASCII)


def safe_cell(value: str) -> str:
    """Put an apostrophe before what would be a formula; numbers and phone numbers stay as they are.

    Source: OWASP, CSV Injection.
    """
    if value.startswith(_FORMULA_START) and not _NUMBER_OR_PHONE.fullmatch(value):
        return f"'{value}"
    return value


def csv_text(rows: Iterable[Iterable[str]]) -> str:
    """Write rows as CSV, each cell of which is safe."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(map(safe_cell, row) for row in rows)
    return text.getvalue()
