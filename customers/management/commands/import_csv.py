"""Import customers, orders, order lines or events from a file."""

import csv
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError

from customers.imports import csv_files, detection
from customers.imports.detection import Detected
from customers.imports.dialects import DATE_ORDERS, ENCODINGS, SEPARATORS
from customers.imports.formats import Format, InvalidFile
from customers.imports.import_report import ImportReport
from customers.ingestion.results import RejectedRow
from customers.rows.settings import shop_settings

AUTO = "auto"
_SEPARATORS = {"tab": "\t"} | {separator: separator for separator in SEPARATORS if separator != "\t"}
_ASK = {
    "dates": "the dates in {columns} can be read in two ways, such as {example}; add --dates dmy or --dates mdy",
    "amounts": "the amounts can be read in two ways, such as 1.234; add --decimal-mark , or --decimal-mark .",
}


class Command(BaseCommand):
    """Import a file. Valid rows are kept, and rejected rows are listed."""

    help = (
        "Import a file of customers, orders, order lines or events, or an export of a shop system. Idempotent by id."
        " Without options for its notation, the file must be in our own format: CSV in UTF-8 with our columns."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "kind", choices=(*csv_files.FORMATS, AUTO), help=f"with {AUTO}, the columns decide"
        )
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--errors", type=Path, metavar="FILE", help="write the rejected rows to this file, as CSV"
        )
        notation = parser.add_argument_group(
            "notation", "Each of these options also detects what the other ones leave open."
        )
        notation.add_argument(
            "--detect",
            action="store_true",
            help="detect how the file is written, and what its columns mean; reads workbooks, too",
        )
        notation.add_argument("--encoding", choices=ENCODINGS)
        notation.add_argument("--separator", choices=_SEPARATORS)
        notation.add_argument("--decimal-mark", choices=(".", ","))
        notation.add_argument(
            "--dates",
            choices=DATE_ORDERS,
            dest="date_order",
            help="whether the day or the month stands first",
        )
        notation.add_argument(
            "--header-row", type=int, metavar="LINE", help="the line that names the columns; 0 if none does"
        )
        notation.add_argument("--sheet", metavar="NAME", help="the sheet of a workbook; by default the first")
        notation.add_argument(
            "--column",
            action="append",
            default=[],
            dest="mapping",
            metavar="COLUMN=FIELD",
            type=_column_and_field,
            help="the field that a column becomes, “attribute”, or nothing to leave the column out; repeatable",
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
                format, detected = self._choose_format(kind, stream, options)
                report = csv_files.import_file(
                    format,
                    stream,
                    shop_settings(),
                    on_rejected=report_rejected,
                    progress=self._show,
                    dialect=detected.dialect if detected else None,
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

    def _choose_format(
        self, kind: str, stream: BinaryIO, options: Mapping[str, Any]
    ) -> tuple[Format, Detected | None]:
        """Return the format and, unless the file must be in our own, what was detected. Raises InvalidFile."""
        given = {
            name: options[name]
            for name in ("encoding", "decimal_mark", "date_order", "header_row", "sheet")
            if options[name] is not None
        }
        if options["separator"]:
            given["separator"] = _SEPARATORS[options["separator"]]
        if options["mapping"]:
            given["mapping"] = dict(options["mapping"])
        if kind != AUTO and not (options["detect"] or given):
            return csv_files.FORMATS[kind], None
        detected = detection.detect(stream, kind="" if kind == AUTO else kind, given=given)
        if detected.kind not in csv_files.FORMATS:
            raise InvalidFile("its columns do not say what it is; name the kind, and columns by --column")
        _check_decided(detected)
        for text in _describe(detected):
            self.stderr.write(text)
        return csv_files.FORMATS[detected.kind], detected

    def _show(self, report: ImportReport) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{report.read:,} rows", ending="")


def _column_and_field(text: str) -> tuple[str, str]:
    column, equals, field = text.rpartition("=")
    if not equals:
        raise ArgumentTypeError("write COLUMN=FIELD")
    return column, field


def _check_decided(detected: Detected) -> None:
    dialect = detected.dialect
    if dialect and dialect.undecided_columns:
        columns = ", ".join(dialect.undecided_columns)
        example = next(iter(detected.examples.values()))
        raise InvalidFile(_ASK["dates"].format(columns=columns, example=example))
    if dialect and not dialect.is_decided:
        raise InvalidFile(_ASK["amounts"])


def _describe(detected: Detected) -> list[str]:
    """Return what was detected, a line each."""
    label = detected.platform or csv_files.FORMATS[detected.kind].label
    dialect = detected.dialect
    if dialect is None:
        return [f"read as: {label}, in our own format"]
    parts = [f"sheet {dialect.sheet}"] if dialect.sheet else []
    parts += [
        dialect.encoding,
        f"separated by {SEPARATORS[dialect.separator]}",
        f"decimal mark {dialect.decimal_mark}",
    ]
    parts += sorted({f"dates as {DATE_ORDERS[order]}" for order in dialect.date_orders.values()})
    parts.append(f"header in line {dialect.header_row}" if dialect.header_row else "no header")
    columns = [f"{column} = {field or '(left out)'}" for column, field in dialect.mapping.items()]
    return [f"read as: {label}; {', '.join(parts)}", f"columns: {'; '.join(columns)}"]
