"""The preview of an import: how the file was read, what its columns become, and what staff change about it."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.http import HttpRequest

from customers.imports import detection, uploads
from customers.imports.csv_files import FORMATS
from customers.imports.csv_reader import Cells
from customers.imports.dialects import (
    ASK,
    ATTRIBUTE,
    DATE_ORDERS,
    DECIMAL_MARKS,
    ENCODINGS,
    SEPARATORS,
    SKIP,
    Dialect,
)
from customers.imports.fields import FIELDS
from customers.imports.formats import Format, InvalidFile
from customers.imports.notations import date_order_of
from customers.imports.platforms import known_platform
from customers.imports.uploads import UploadedTable
from customers.models import Import

from . import contact_data

MAX_EXAMPLES = 3
SHOWN_ROWS = 3
MAX_HEADER_ROW = 500
FILE_DELETED = "The file has been deleted. Upload it again."


def describe(upload: Import, request: HttpRequest) -> str:
    """Store how the file is written and what its columns mean, if the form says anything new. Return the problem."""
    try:
        table = uploads.read_table_of(upload)
        kind = request.POST.get("kind", "")
        kind = kind if kind in FORMATS else upload.kind
        given = _chosen_settings(upload, table, request)
        if "column-0" in request.POST and kind == request.POST.get("kind_shown", kind):
            given |= _chosen_mapping(upload, table, request)
        if given or kind != upload.kind:
            settings = _settings_of(upload)
            if kind != upload.kind:
                settings.pop("mapping", None)
            if "sheet" in given:
                settings.pop("header_row", None)
            uploads.describe_upload(upload, kind, settings | given)
    except (InvalidFile, FileNotFoundError) as error:
        return _error_text(error)
    return ""


def _settings_of(upload: Import) -> dict[str, object]:
    """Return the parts of a dialect that stay as they are when staff change another part."""
    dialect = Dialect.from_json(upload.dialect)
    if dialect is None:
        return {}
    return {
        "encoding": dialect.encoding,
        "separator": dialect.separator,
        "header_row": dialect.header_row,
        "sheet": dialect.sheet,
        "mapping": dialect.mapping,
        "decimal_mark": dialect.chosen_mark,
        "chosen_orders": dialect.chosen_orders,
    }


def _chosen_settings(upload: Import, table: UploadedTable, request: HttpRequest) -> dict[str, object]:
    """Return the settings that the form changes. Unknown values are ignored."""
    shown = Dialect.from_json(upload.dialect) or Dialect()
    orders = set(shown.date_orders.values())
    allowed = {
        "encoding": (ENCODINGS, shown.encoding),
        "separator": (SEPARATORS, shown.separator),
        "decimal_mark": (DECIMAL_MARKS, shown.decimal_mark),
        "date_order": (DATE_ORDERS, orders.pop() if len(orders) == 1 else ""),
        "sheet": (table.sheets, shown.sheet),
    }
    given: dict[str, object] = {
        name: value
        for name, (values, current) in allowed.items()
        if (value := request.POST.get(name, "")) in values and value != current
    }
    row = request.POST.get("header_row", "")
    is_row = row.isascii() and row.isdigit() and len(row) <= len(str(MAX_HEADER_ROW))
    if is_row and int(row) <= MAX_HEADER_ROW and int(row) != shown.header_row:
        given["header_row"] = int(row)
    if given.keys() & {"sheet", "encoding", "separator", "header_row"}:
        # The columns may be others, so what was chosen for them does not count.
        given.setdefault("mapping", {})
    return given


def _chosen_mapping(upload: Import, table: UploadedTable, request: HttpRequest) -> dict[str, object]:
    """Return the mapping of the form, if it differs from the one that was shown."""
    kind = FORMATS.get(upload.kind)
    if kind is None or kind.name not in FIELDS:
        return {}
    targets = {name for name, _ in _targets(kind)}
    shown = _shown_mapping(upload, kind, table.columns)
    chosen = {
        column: value
        for place, column in enumerate(table.columns)
        if (value := request.POST.get(f"column-{place}", SKIP)) in targets
    }
    return {} if chosen == shown else {"mapping": chosen}


def _targets(kind: Format) -> list[tuple[str, str]]:
    """Return what a column can become, with its label."""
    others = (
        [(ATTRIBUTE, "Attribute with the column’s name")] if kind.name in ("customers", "contacts") else []
    )
    return [(SKIP, "leave out"), *others, *((field.name, field.label) for field in FIELDS[kind.name])]


def _shown_mapping(upload: Import, kind: Format, columns: list[str]) -> dict[str, str]:
    dialect = Dialect.from_json(upload.dialect)
    if dialect and dialect.mapping:
        return {column: dialect.mapping.get(column, SKIP) for column in columns}
    return detection.own_mapping(kind, columns)


def preview_context(request: HttpRequest, upload: Import) -> dict[str, Any]:
    """Return how the file was read, what can be changed, and the preview."""
    kind = FORMATS.get(request.GET.get("kind", "")) or FORMATS.get(upload.kind)
    context: dict[str, Any] = {"formats": FORMATS.values(), "kind": kind}
    try:
        if kind and kind.name != upload.kind:
            uploads.detect_upload(upload, kind.name, {})
        table = uploads.read_table_of(upload)
        context |= _dialect_context(request, upload, kind, table)
        if kind:
            context |= _columns_context(request, upload, kind, table)
        dialect = Dialect.from_json(upload.dialect)
        if kind is None or (dialect and not dialect.is_decided):
            return context
        preview = uploads.preview_upload(upload, kind)
    except (InvalidFile, FileNotFoundError) as error:
        return context | {"problem": _error_text(error)}
    may_see = contact_data.may_see(request)
    rejected = {row.line for row in preview.refused}
    accepted = [row for row in preview.rows if row[0] not in rejected][:SHOWN_ROWS]
    return context | {
        "preview": preview,
        "stored_lines": [line for line, _ in accepted],
        "stored_rows": _stored_rows(preview.header, accepted, kind)
        if may_see and kind.name in FIELDS
        else [],
        "rejected_rows": preview.refused if may_see else [],
    }


def _dialect_context(
    request: HttpRequest, upload: Import, kind: Format | None, table: UploadedTable
) -> dict[str, Any]:
    """Return how the file was read, with the choices of the form."""
    dialect = Dialect.from_json(upload.dialect)
    shown = dialect or Dialect()
    orders = sorted(set(shown.date_orders.values()))
    platform = known_platform(table.columns)
    is_masked = not contact_data.may_see(request)
    context: dict[str, Any] = {
        "dialect": shown,
        "notation": _notation_text(shown, is_workbook=bool(table.sheets)),
        "is_own_format": bool(dialect is None and kind and kind.name in FIELDS),
        "platform": platform if platform and kind and platform.kind == kind.name else None,
        "sheets": table.sheets,
        "encodings": {} if table.sheets else ENCODINGS,
        "separators": {} if table.sheets else SEPARATORS,
        "decimal_marks": DECIMAL_MARKS,
        "date_orders": DATE_ORDERS if orders else {},
        "date_order": orders[0] if len(orders) == 1 else "",
        "undecided_dates": [
            (column, contact_data.HIDDEN if is_masked else _ambiguous_date(table, column))
            for column in shown.undecided_columns
        ],
        "are_amounts_undecided": shown.decimal_mark == ASK,
    }
    return context


def _columns_context(
    request: HttpRequest, upload: Import, kind: Format, table: UploadedTable
) -> dict[str, Any]:
    """Return each column with what it becomes and its first values, and what staff can choose if they can."""
    columns = table.columns
    if kind.name in FIELDS:
        targets, becomes = _targets(kind), _shown_mapping(upload, kind, columns)
    else:
        fields = map(kind.target_field, kind.canonical_header(columns))
        targets, becomes = [], dict(zip(columns, fields, strict=True))
    is_masked = not contact_data.may_see(request)
    return {
        "targets": targets,
        "columns": [
            (
                column or "(no name)",
                becomes.get(column, SKIP),
                [contact_data.HIDDEN] if is_masked else _examples(table, place),
            )
            for place, column in enumerate(columns)
        ],
    }


def _notation_text(dialect: Dialect, *, is_workbook: bool) -> str:
    """Return how a file is written, in one line."""
    if is_workbook:
        parts = [f"workbook, sheet “{dialect.sheet}”" if dialect.sheet else "workbook"]
    else:
        parts = [ENCODINGS.get(dialect.encoding, dialect.encoding), SEPARATORS[dialect.separator]]
    named = f"columns named in row {dialect.header_row}" if dialect.header_row else "columns without names"
    orders = sorted({order for order in dialect.date_orders.values() if order in DATE_ORDERS})
    decimals = ["decimal comma"] if dialect.decimal_mark == "," else []
    return ", ".join([*parts, named, *decimals, *(f"dates as {DATE_ORDERS[order]}" for order in orders)])


def _examples(table: UploadedTable, place: int) -> list[str]:
    return list(islice(dict.fromkeys(_values(table, place)), MAX_EXAMPLES))


def _values(table: UploadedTable, place: int) -> Iterator[str]:
    values = (
        cells[place].strip() for _, cells in table.rows if not isinstance(cells, str) and place < len(cells)
    )
    return filter(None, values)


def _ambiguous_date(table: UploadedTable, column: str) -> str:
    """Return the first date that can be read in two ways, if it is among the first rows."""
    return next(
        (value for value in _values(table, table.columns.index(column)) if date_order_of(value) == ASK), ""
    )


def _stored_rows(
    header: Sequence[str], rows: Sequence[tuple[int, Cells]], kind: Format
) -> list[tuple[str, list[tuple[int, str]]]]:
    """Return each field with its values in some rows."""
    labels = {field.name: field.label for field in FIELDS.get(kind.name, ())}
    return [
        (labels.get(name, name), [(line, cells[place]) for line, cells in rows if place < len(cells)])
        for place, name in enumerate(header)
        if name
    ]


def problem_of(upload: Import, kind: Format) -> str:
    """Return why a file cannot be imported in a format, or an empty text."""
    try:
        uploads.preview_upload(upload, kind)
    except (InvalidFile, FileNotFoundError) as error:
        return _error_text(error)
    return ""


def _error_text(error: Exception) -> str:
    return f"This file cannot be imported: {error}." if isinstance(error, InvalidFile) else FILE_DELETED
