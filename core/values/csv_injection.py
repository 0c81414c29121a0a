"""CSV whose cells are not run as formulas by spreadsheet programs."""

import csv
import io
import re
from collections.abc import Iterable

_FORMULA_START = ("=", "+", "-", "@", "\t", "\r")
_NUMBER_OR_PHONE = re.compile(r"[+-][\d\s().,/-]*", re.ASCII)


def safe_cell(value: str) -> str:
    """Prefix a formula with an apostrophe. Numbers and phone numbers stay as they are.

    Source: OWASP, CSV Injection.
    """
    if value.startswith(_FORMULA_START) and not _NUMBER_OR_PHONE.fullmatch(value):
        return f"'{value}"
    return value


def csv_text(rows: Iterable[Iterable[str]]) -> str:
    """Return rows as CSV with safe cells."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(map(safe_cell, row) for row in rows)
    return text.getvalue()
