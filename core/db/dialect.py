"""SQL expressions that SQLite and PostgreSQL write differently."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import (
    connection,
)

from .backends import is_postgresql


def least_sql(*values: str) -> str:
    """Give the least of values, of which some may be NULL."""
    return f"LEAST({', '.join(values)})" if is_postgresql() else _ignoring_missing("min", values)


def greatest_sql(*values: str) -> str:
    """Give the greatest of values, of which some may be NULL."""
    return f"GREATEST({', '.join(values)})" if is_postgresql() else _ignoring_missing("max", values)


def _ignoring_missing(function: str, values: Sequence[str]) -> str:
    # With one NULL among them SQLite's min() and max() are NULL: each gives way to those after it, in a circle.
    circles = (", ".join([*values[place:], *values[:place]]) for place in range(len(values)))
    return f"{function}({', '.join(f'COALESCE({circle})' for circle in circles)})"


def microseconds_between_sql(later: str, earlier: str) -> str:
    """Give the exact time between two instants in microseconds."""
    if is_postgresql():
        return f"CAST(EXTRACT(EPOCH FROM {later} - {earlier}) * 1000000 AS bigint)"
    return f"({_epoch_microseconds(later)} - {_epoch_microseconds(earlier)})"


def is_further_apart_sql(later: str, earlier: str, minutes: int) -> str:
    """Ask whether two instants lie more than some minutes apart."""
    if is_postgresql():
        return f"{later} - {earlier} > interval '{minutes} minutes'"
    return f"{microseconds_between_sql(later, earlier)} > {minutes * 60_000_000}"


def merged_json_sql(old: str, new: str) -> str:
    """Lay one JSON object over another."""
    return f"({old} || {new})" if is_postgresql() else f"json_patch({old}, {new})"


def json_cast_sql(text: str) -> str:
    """Read a staged text as the JSON of a column."""
    return f"CAST({text} AS jsonb)" if is_postgresql() else text


def json_array_items_sql(text: str) -> str:
    """Join the items of a staged JSON array, as ``item``."""
    if is_postgresql():
        return f"jsonb_array_elements(CAST({text} AS jsonb)) AS item"
    return f"json_each({text}) AS item"


def json_array_item_sql(item: str, place: int) -> str:
    """Give the text at a place of an item that is an array itself."""
    return f"{item}->>{place}" if is_postgresql() else f"json_extract({item}.value, '$[{place}]')"


def json_texts_sql(text: str) -> str:
    """Give a query of the texts of a JSON array."""
    if is_postgresql():
        return f"SELECT jsonb_array_elements_text(CAST({text} AS jsonb))"
    return f"SELECT value FROM json_each({text})"


def json_object_items_sql(column: str) -> str:
    """Join the items of a JSON object of texts, as ``item`` with key and value."""
    return f"{'jsonb_each_text' if is_postgresql() else 'json_each'}({column}) AS item"


def sortable_datetime_sql(text: str) -> str:
    """Read a free value that is a moment, as ``core.values.sortable_values`` writes it, as an instant."""
    if is_postgresql():
        return f"CAST(substr({text}, 2) || '+00' AS timestamp with time zone)"
    return f"replace(replace(substr({text}, 2), 'T', ' '), '.000000', '')"


def trait_datetime_sql(told: str, name: str) -> str:
    """Read a moment of a customer's traits (see ``customers.tracking.profiles.TraitValue``), as an instant."""
    if is_postgresql():
        return f"CAST({told} -> '{name}' ->> 0 AS timestamp with time zone)"
    return f"replace(replace(json_extract({told}, '$.{name}[0]'), 'T', ' '), '+00:00', '')"


def date_cast_sql(text: str) -> str:
    """Read a staged text as a date."""
    return f"CAST({text} AS date)" if is_postgresql() else text


def datetime_param(instant: datetime) -> str:
    """Write an instant as both databases read and keep it: in UTC."""
    return str(connection.ops.adapt_datetimefield_value(instant))


def datetime_from_row(value: Any) -> datetime:
    """Read an instant of a raw row: SQLite keeps it as a text, in UTC."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)


def datetime_cast_sql(text: str) -> str:
    """Read a text that ``moment`` wrote, where its type does not show."""
    return f"CAST({text} AS timestamp with time zone)" if is_postgresql() else text


def datetime_plus_sql(moment: str, by: str) -> str:
    """Give the instant that lies a span after another; the span is a column, or as ``span`` writes it."""
    # What Django's own additions of the two become on SQLite.
    return f"({moment} + {by})" if is_postgresql() else f"django_format_dtdelta('+', {moment}, {by})"


def interval_sql(length: timedelta) -> str:
    """Write a span as both databases keep it."""
    microseconds = length // timedelta(microseconds=1)
    return f"interval '{microseconds} microseconds'" if is_postgresql() else str(microseconds)


def random_uuid_sql() -> str:
    """Make a new random UUID for each row, as its column keeps it."""
    return "gen_random_uuid()" if is_postgresql() else "lower(hex(randomblob(16)))"


def datetime_type_sql() -> str:
    """Name the column type of an instant."""
    return "timestamp with time zone" if is_postgresql() else "text"


def _epoch_microseconds(moment: str) -> str:
    # SQLite keeps 'YYYY-MM-DD HH:MM:SS' and, unless it is zero, '.ffffff'; strftime() would round that to
    # milliseconds, and carry. '%%' since these words pass through a statement with parameters.
    return (
        f"(CAST(strftime('%%s', substr({moment}, 1, 19)) AS integer) * 1000000"
        f" + CAST(substr({moment} || '000000', 21, 6) AS integer))"
    )
