"""The folder of uploaded files, and of the rows that their imports rejected."""

import csv
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from core.values.csv_injection import safe_cell
from customers.ingestion.results import RejectedRow
from customers.models import Import

from .formats import REFUSED_LINE, REFUSED_REASON


def file_path(upload: Import) -> Path:
    return _folder() / upload.stored


def rejected_rows_path(upload: Import) -> Path:
    return file_path(upload).with_suffix(".refused.csv")


def create_folder() -> None:
    _folder().mkdir(parents=True, exist_ok=True)


def delete_files(upload: Import) -> None:
    file_path(upload).unlink(missing_ok=True)
    rejected_rows_path(upload).unlink(missing_ok=True)


def _folder() -> Path:
    return Path(settings.IMPORTS_DIR)


class RejectedRowsFile:
    """The rejected rows as a CSV file beside the uploaded one, with the line number and the reason."""

    def __init__(self, upload: Import) -> None:
        self.path = rejected_rows_path(upload)

    def __enter__(self) -> "RejectedRowsFile":
        self.file = self.path.open("w", newline="", encoding="utf-8-sig")
        self.sheet = csv.writer(self.file, lineterminator="\r\n")
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write_header(self, header: Iterable[str]) -> None:
        """Write the header."""
        self.header = list(header)
        # A corrected file of rejected rows has these columns already.
        self.kept = [
            index for index, name in enumerate(self.header) if name not in (REFUSED_LINE, REFUSED_REASON)
        ]
        self.sheet.writerow(
            [REFUSED_LINE, REFUSED_REASON, *(safe_cell(self.header[index]) for index in self.kept)]
        )

    def add(self, rejected: RejectedRow) -> None:
        """Write a row. If its cells do not fit the header, only its line number and the reason are written."""
        fits = len(rejected.cells) == len(self.header)
        cells = [safe_cell(rejected.cells[index]) for index in self.kept] if fits else []
        self.sheet.writerow([rejected.line, safe_cell(rejected.reason), *cells])

    def flush(self) -> None:
        """Make the rows so far available for download."""
        self.file.flush()
