"""Workbooks as a spreadsheet program writes them."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import openpyxl


def workbook(**sheets: Iterable[Sequence[Any]]) -> bytes:
    """An .xlsx file with these sheets, by name."""
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()
