"""SQL expressions that differ between SQLite and PostgreSQL. Arguments are SQL expressions, too."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from .backends import is_postgresql
from .sql import Sql


def least_sql(*values: str) -> str:
    """Return the least of the values that are not NULL."""
    return f"LEAST({', '.join(values)})" if is_postgresql() else _ignoring_null("min", values)


def greatest_sql(*values: str) -> str:
    """Return the greatest of the values that are not NULL."""
    return f"GREATEST({', '.join(values)})" if is_postgresql() else _ignoring_null("max", values)


def _ignoring_null(function: str, values: Sequence[str]) -> str:
    # SQLite's min() and max() are NULL if one argument is: replace each NULL by the next value that is not.
    rotations = (", ".join([*values[start:], *values[:start]]) for start in range(len(values)))
    return f"{function}({', '.join(f'COALESCE({rotation})' for rotation in rotations)})"


def is_one_of(column: str, values: Iterable[int] | Iterable[str]) -> Sql:
    """Compare a column with many values. They are one parameter: the text of the statement stays the same and short."""
    given = list(values)
    if not is_postgresql():
        return Sql(f"{column} IN (SELECT value FROM json_each(%s))", (json.dumps(given),))
    # Written here: psycopg writes a list element by element, each by a dumper. The column tells the type.
    if given and isinstance(given[0], str):
        written = ['"' + str(value).replace("\\", r"\\").replace('"', r"\"") + '"' for value in given]
    else:
        written = list(map(str, given))
    return Sql(f"{column} = ANY(%s)", ("{" + ",".join(written) + "}",))


def microseconds_between_sql(later: str, earlier: str) -> str:
    """Return the exact number of microseconds between two instants."""
    if is_postgresql():
        return f"CAST(EXTRACT(EPOCH FROM {later} - {earlier}) * 1000000 AS bigint)"
    return f"({_epoch_microseconds(later)} - {_epoch_microseconds(earlier)})"


def is_further_apart_sql(later: str, earlier: str, minutes: int) -> str:
    if is_postgresql():
        return f"{later} - {earlier} > interval '{minutes} minutes'"
    return f"{microseconds_between_sql(later, earlier)} > {minutes * 60_000_000}"


def merged_json_sql(old: str, new: str) -> str:
    """Return ``old`` with the top-level keys of ``new``."""
    return f"({old} || {new})" if is_postgresql() else f"json_patch({old}, {new})"


def json_cast_sql(text: str) -> str:
    """Cast a staged text to the type of a JSON column."""
    return f"CAST({text} AS jsonb)" if is_postgresql() else text


def json_array_items_sql(text: str) -> str:
    """Return a FROM item with the elements of a staged JSON array, as ``item``."""
    if is_postgresql():
        return f"jsonb_array_elements(CAST({text} AS jsonb)) AS item"
    return f"json_each({text}) AS item"


def json_array_item_sql(item: str, index: int) -> str:
    """Return the text at an index of an ``item`` that is an array itself."""
    return f"{item}->>{index}" if is_postgresql() else f"json_extract({item}.value, '$[{index}]')"


def json_texts_sql(text: str) -> str:
    """Return a query of the elements of a JSON array of texts."""
    if is_postgresql():
        return f"SELECT jsonb_array_elements_text(CAST({text} AS jsonb))"
    return f"SELECT value FROM json_each({text})"


def json_object_items_sql(column: str) -> str:
    """Return a FROM item with the members of a JSON object of texts, as ``item`` with ``key`` and ``value``."""
    return f"{'jsonb_each_text' if is_postgresql() else 'json_each'}({column}) AS item"


def sortable_datetime_sql(text: str) -> str:
    """Return the instant of a text that ``core.values.sortable_values.encode_datetime`` wrote."""
    if is_postgresql():
        return f"CAST(substr({text}, 2) || '+00' AS timestamp with time zone)"
    return f"replace(replace(substr({text}, 2), 'T', ' '), '.000000', '')"


def trait_datetime_sql(traits: str, name: str) -> str:
    """Return the instant ``name`` of a JSON object whose values are arrays that begin with the value."""
    if is_postgresql():
        return f"CAST({traits} -> '{name}' ->> 0 AS timestamp with time zone)"
    return f"replace(replace(json_extract({traits}, '$.{name}[0]'), 'T', ' '), '+00:00', '')"


def date_cast_sql(text: str) -> str:
    """Cast a staged text to a date."""
    return f"CAST({text} AS date)" if is_postgresql() else text


def datetime_param(instant: datetime) -> str:
    """Return an instant as a parameter or a staged text, as the database stores it: in UTC."""
    return str(connection.ops.adapt_datetimefield_value(instant))


def datetime_from_row(value: Any) -> datetime:
    """Return an instant from a row of raw SQL. SQLite stores instants as texts, in UTC, without saying so."""
    instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def datetime_cast_sql(text: str) -> str:
    """Cast a text that ``datetime_param`` wrote to an instant."""
    return f"CAST({text} AS timestamp with time zone)" if is_postgresql() else text


def datetime_plus_sql(moment: str, interval: str) -> str:
    """Return an instant plus an interval, which is a column or a result of ``interval_sql``."""
    # On SQLite, the same function that Django's own expressions use.
    return (
        f"({moment} + {interval})" if is_postgresql() else f"django_format_dtdelta('+', {moment}, {interval})"
    )


def interval_sql(length: timedelta) -> str:
    microseconds = length // timedelta(microseconds=1)
    return f"interval '{microseconds} microseconds'" if is_postgresql() else str(microseconds)


def encoded_datetime_sql(moment: str) -> str:
    """Return the text that ``core.values.sortable_values.encode_datetime`` writes of an instant."""
    if is_postgresql():
        return f"""('d' || to_char({moment} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'))"""
    fraction = f"CASE WHEN length({moment}) > 19 THEN substr({moment}, 20) ELSE '.000000' END"
    return f"('d' || replace(substr({moment}, 1, 19), ' ', 'T') || {fraction})"


def local_date_sql(moment: str, zone: str) -> str:
    """Return the date of an instant in a time zone, which is given by its name."""
    if is_postgresql():
        return f"CAST({moment} AT TIME ZONE '{zone}' AS date)"
    return f"django_datetime_cast_date({moment}, '{zone}', 'UTC')"


def date_plus_days_sql(day: str, days: int) -> str:
    return f"({day} + {days})" if is_postgresql() else f"date({day}, '{days:+d} days')"


def month_and_day_sql(day: str) -> str:
    """Return the month and day of a date as one number: 229 is 29 February."""
    if is_postgresql():
        return f"CAST(EXTRACT(MONTH FROM {day}) * 100 + EXTRACT(DAY FROM {day}) AS integer)"
    return f"CAST(strftime('%%m%%d', {day}) AS integer)"


def random_uuid_sql() -> str:
    """Return a new random UUID for each row, as a UUID column stores it."""
    return "gen_random_uuid()" if is_postgresql() else "lower(hex(randomblob(16)))"


def datetime_type_sql() -> str:
    return "timestamp with time zone" if is_postgresql() else "text"


def _epoch_microseconds(moment: str) -> str:
    # SQLite stores 'YYYY-MM-DD HH:MM:SS', with '.ffffff' unless it is zero. strftime() would round that to
    # milliseconds. '%%' because this becomes part of a statement with parameters.
    return (
        f"(CAST(strftime('%%s', substr({moment}, 1, 19)) AS integer) * 1000000"
        f" + CAST(substr({moment} || '000000', 21, 6) AS integer))"
    )
