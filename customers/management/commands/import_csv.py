"""Import customers, orders, order lines or events from a CSV file or an export of Shopify."""

import csv
import sys
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from customers.imports import csv_files
from customers.imports.formats import InvalidFile
from customers.imports.import_report import ImportReport
from customers.ingestion.results import RejectedRow
from customers.rows.settings import shop_settings


class Command(BaseCommand):
    """Import a CSV file. Valid rows are kept, and rejected rows are listed."""

    help = "Import a CSV file of customers, orders, order lines or events, or an export of Shopify. Idempotent by id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=csv_files.FORMATS)
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--errors", type=Path, metavar="FILE", help="write the rejected rows to this file, as CSV"
        )

    def handle(self, *, kind: str, file: Path, errors: Path | None, **options: Any) -> None:
        """Import a file and print the result. The exit status is 1 if any row was rejected."""
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(file.open("rb"))
                sheet = (
                    csv.writer(stack.enter_context(errors.open("w", newline="", encoding="utf-8")))
                    if errors
                    else None
                )
            except OSError as error:
                raise CommandError(f"{error.filename}: {error.strerror}") from error
            if sheet:
                sheet.writerow(["line", "reason"])

            def report_rejected(row: RejectedRow) -> None:
                self.stdout.write(f"line {row.line}: {row.reason}")
                if sheet:
                    sheet.writerow([row.line, row.reason])

            try:
                report = csv_files.import_file(
                    csv_files.FORMATS[kind],
                    stream,
                    shop_settings(),
                    on_rejected=report_rejected,
                    progress=self._show,
                )
            except InvalidFile as error:
                raise CommandError(f"{file}: {error}") from error
        for warning in report.warnings:
            self.stderr.write(f"warning: {warning}")
        if report.kept_unsubscribed:
            self.stdout.write(f"kept unsubscribed {len(report.kept_unsubscribed)}")
        self.stdout.write(
            f"rows read {report.read}, created {report.created}, updated {report.updated}, refused {report.refused}"
        )
        if report.refused:
            sys.exit(1)

    def _show(self, report: ImportReport) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{report.read:,} rows", ending="")
