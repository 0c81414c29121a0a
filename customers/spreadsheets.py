"""Cells that a spreadsheet program will not run as formulas."""

import re

_FORMULA_START = ("=", "+", "-", "@", "\t", "\r")
_NUMBER_OR_PHONE = re.compile(r"[+-][\d\s().,/-]*", re.ASCII)


def safe_cell(value: str) -> str:
    """Put an apostrophe before what would be a formula; numbers and phone numbers stay as they are.

    Source: OWASP, CSV Injection.
    """
    if value.startswith(_FORMULA_START) and not _NUMBER_OR_PHONE.fullmatch(value):
        return f"'{value}"
    return value
