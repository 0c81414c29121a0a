"""Ingesting objects of the API: parsed like rows of a CSV file, written together, with a result for each object.

An object becomes a row of texts, which ``customers.rows.parsing`` parses, so files and the API accept the same values.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from core.api.errors import InvalidValue
from core.api.parsers import dump_exact_json
from core.db import transactions
from core.values import sortable_values
from customers.consent import statements
from customers.ingestion import line_writer, writer
from customers.ingestion.attribute_limit import TOO_MANY_ATTRIBUTES
from customers.rows.cells import InvalidRow, is_valid_attribute_name
from customers.rows.kinds import CUSTOMERS, EVENTS, ORDER_LINES, ORDERS, Kind, read_row
from customers.rows.parsing import Record
from customers.rows.settings import ShopSettings, shop_settings

SOURCE = statements.API_SOURCE
MAX_NUMBER = 10**30
"""The largest number that is accepted in place of a text. A text may contain larger ones."""
ACCEPTED, REFUSED, SKIPPED = "accepted", "refused", "left_out"
# Fields of objects besides the columns of their kind.
_NESTED = {CUSTOMERS.name: {"attributes"}, ORDERS.name: {"lines"}, EVENTS.name: {"properties"}}


@dataclass
class IngestResult:
    """The result of a request, by index of the objects. ``refused`` has the errors of invalid objects.

    ``skipped`` objects are from before an erasure. ``warnings`` name invalid values that were left out of accepted
    objects. Those ``kept_unsubscribed`` say ``subscribed``, but do not end an unsubscription.
    """

    created: int = 0
    updated: int = 0
    refused: dict[int, list[InvalidValue]] = field(default_factory=dict)
    skipped: set[int] = field(default_factory=set)
    warnings: dict[int, list[InvalidValue]] = field(default_factory=dict)
    kept_unsubscribed: set[int] = field(default_factory=set)

    def status(self, index: int) -> str:
        if index in self.refused:
            return REFUSED
        return SKIPPED if index in self.skipped else ACCEPTED


class InvalidObject(Exception):
    """An object that cannot be ingested, with its errors."""

    def __init__(self, errors: list[InvalidValue]) -> None:
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True)
class _ParsedObject:
    """A valid object: its index, its record, and the lines of an order."""

    index: int
    record: Record
    lines: tuple[Record, ...] = ()
    warnings: tuple[InvalidValue, ...] = ()


def ingest_objects(kind: Kind, items: Sequence[Any]) -> IngestResult:
    """Ingest objects of one kind. The valid ones are written in one transaction."""
    shop = shop_settings()
    read: list[_ParsedObject] = []
    invalid: dict[int, list[InvalidValue]] = {}
    for index, item in enumerate(items):
        try:
            read.append(_parse_object(kind, index, item, shop))
        except InvalidObject as error:
            invalid[index] = error.errors

    def ingest_all() -> IngestResult:
        result = IngestResult(
            refused=dict(invalid), warnings={one.index: [*one.warnings] for one in read if one.warnings}
        )
        for part in _split_repeated_orders(read) if kind is ORDERS else [read]:
            _ingest(kind, part, result)
        return result

    return transactions.retry_on_conflict(ingest_all)


def _ingest(kind: Kind, read: Sequence[_ParsedObject], result: IngestResult) -> None:
    outcome = writer.ingest(kind, ((one.index, one.record) for one in read), source=SOURCE)
    result.created += outcome.created
    result.updated += outcome.updated
    result.skipped |= set(outcome.skipped)
    result.kept_unsubscribed |= set(outcome.kept_unsubscribed)
    for index in outcome.over_attribute_limit:
        result.warnings.setdefault(index, []).append(_invalid_value(TOO_MANY_ATTRIBUTES))
    result.refused |= {refusal.line: [_invalid_value(refusal.reason)] for refusal in outcome.rejected}
    kept = [one for one in read if one.lines and result.status(one.index) == ACCEPTED]
    if kept:
        # Lines without an id are numbered within their order, from one in each request.
        line_writer.start_line_numbering()
        writer.ingest(ORDER_LINES, enumerate(line for one in kept for line in one.lines))


def _split_repeated_orders(read: Iterable[_ParsedObject]) -> Iterator[list[_ParsedObject]]:
    """Split orders, in their sequence, into parts without repeated orders, because each part numbers lines from one."""
    part: dict[str, _ParsedObject] = {}
    for one in read:
        order_id = one.record[0]
        if order_id in part:
            yield list(part.values())
            part = {}
        part[order_id] = one
    yield list(part.values())


def _parse_object(kind: Kind, index: int, item: Any, shop: ShopSettings) -> _ParsedObject:
    if not isinstance(item, dict):
        raise InvalidObject([{"path": "", "message": "expected an object"}])
    errors: list[InvalidValue] = []
    warnings: list[InvalidValue] = []
    lines: list[Record] = []
    record = _parse_record(kind, item, shop, errors, warnings)
    if kind is ORDERS:
        given = item.get("lines")
        given = [] if given is None else given
        if not isinstance(given, list):
            errors.append({"path": "lines", "message": "expected a list of objects"})
            given = []
        for number, line in enumerate(given):
            path = f"lines[{number}]"
            if not isinstance(line, dict):
                errors.append({"path": path, "message": "expected an object"})
                continue
            # Errors of the order are reported once, not for each line.
            order_columns = {"order_id": record[0] if record else "?"}
            parsed = _parse_record(ORDER_LINES, line | order_columns, shop, errors, warnings, f"{path}.")
            if parsed is not None:
                lines.append(parsed)
    if errors or record is None:
        raise InvalidObject(errors)
    return _ParsedObject(index, record, tuple(lines), tuple(warnings))


def _parse_record(
    kind: Kind,
    item: Mapping[str, Any],
    shop: ShopSettings,
    errors: list[InvalidValue],
    warnings: list[InvalidValue],
    prefix: str = "",
) -> Record | None:
    """Parse one object. Add its errors to ``errors``, and its invalid optional values to ``warnings``."""
    invalid_values: list[str] = []
    record = None
    try:
        _, record = read_row(kind, _object_as_row(kind, item, invalid_values), shop, invalid_values)
    except InvalidRow as refused:
        errors.append(_invalid_value(str(refused), prefix))
    warnings += [_invalid_value(reason, prefix) for reason in invalid_values]
    return record


def _invalid_value(reason: str, prefix: str = "") -> InvalidValue:
    # Reasons start with the column, as in “email: 'x' is …”.
    column, _, message = reason.partition(": ")
    return {"path": prefix + column, "message": message} if message else {"path": prefix, "message": reason}


def _object_as_row(kind: Kind, item: Mapping[str, Any], invalid_values: list[str]) -> dict[str, str]:
    """Return an object as a row of a CSV file. Skip invalid optional values; raise InvalidRow for the others."""
    nested = _NESTED.get(kind.name, set())
    row: dict[str, str] = {}
    for name, value in item.items():
        if name not in kind.csv_columns and name not in nested:
            fields = ", ".join([*kind.csv_columns, *sorted(nested - set(kind.csv_columns))])
            raise InvalidRow(f"{_excerpt(name)}: unknown field; the fields are {fields}")
        if name not in nested:
            try:
                row[name] = _value_as_text(name, value)
            except InvalidRow as refused:
                if name in kind.essential:
                    raise
                invalid_values.append(str(refused))
    if kind is CUSTOMERS:
        row |= _attributes_as_cells(item.get("attributes"), invalid_values)
    if kind is EVENTS:
        row["properties"] = _properties_as_text(item.get("properties"))
    return row


def _attributes_as_cells(given: Any, invalid_values: list[str]) -> dict[str, str]:
    given = None if given == [] else given
    if given is not None and not isinstance(given, dict):
        raise InvalidRow('attributes: expected an object, such as {"tier": "gold"}')
    row = {}
    for name, value in (given or {}).items():
        path = f"attributes.{_excerpt(name)}"
        if name in CUSTOMERS.csv_columns:
            raise InvalidRow(f"{path}: is not an attribute; send it as a field of the customer")
        if not is_valid_attribute_name(name) or not _is_encodable(name):
            raise InvalidRow(f"{path}: the name of an attribute must have 1 to 100 characters")
        try:
            row[name] = _value_as_text(path, value)
        except InvalidRow as refused:
            invalid_values.append(str(refused))
    return row


def _properties_as_text(given: Any) -> str:
    if given is None:
        return ""
    given = {} if given == [] else given
    if not isinstance(given, dict):
        raise InvalidRow('properties: expected an object, such as {"price": 9.5}')
    text = dump_exact_json(given)
    if not _is_encodable(text):
        raise InvalidRow("properties: contains half a surrogate pair")
    return text


def _value_as_text(path: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case bool() if path == "newsletter" or path.startswith("attributes."):
            return "true" if value else "false"
        case str() if _is_encodable(value):
            return value.strip()
        case str():
            raise InvalidRow(f"{path}: contains half a surrogate pair")
        case int() if not isinstance(value, bool) and abs(value) <= MAX_NUMBER:
            return str(value)
        case Decimal() if abs(value) <= MAX_NUMBER and value.adjusted() >= -200:
            return format(value, "f")
        case int() | Decimal() if not isinstance(value, bool):
            raise InvalidRow(f"{path}: the number is out of range")
        case list() if path.startswith("attributes."):
            try:
                elements = sortable_values.parse_list(value)
            except ValueError as error:
                raise InvalidRow(f"{path}: {error}") from None
            if elements is None or not all(map(_is_encodable, elements)):
                raise InvalidRow(f"{path}: expected a list of texts")
            return sortable_values.list_as_json(elements) if elements else ""
    raise InvalidRow(f"{path}: expected a text or a number")


def _excerpt(name: str) -> str:
    return name.encode(errors="replace").decode()[:100]


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
