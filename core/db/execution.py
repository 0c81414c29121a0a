"""Running SQL on the current connection, outside the ORM."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from django.db import connection

from .sql import Query, compile_query

Row = tuple[Any, ...]
Params = Sequence[Any] | Mapping[str, Any] | None
Item = TypeVar("Item")
PARAMETER_BATCH_SIZE = 5_000  # SQLite allows 32,766 in a statement


def execute(sql: str | Query, params: Params = None) -> int:
    """Run one statement and return how many rows it affected. ``params`` belong to a text; ``Sql`` has its own."""
    with connection.cursor() as cursor:
        cursor.execute(*_statement(sql, params))
        return int(cursor.rowcount)


def _statement(sql: str | Query, params: Params) -> tuple[str, Params]:
    if isinstance(sql, str):
        return sql, params
    compiled = compile_query(sql)
    if not compiled.params:  # the driver need not look for placeholders
        return compiled.text.replace("%%", "%"), None
    return compiled.text, compiled.params


def execute_many(sql: str, rows: Sequence[Row]) -> None:
    """Run one statement for each row of parameters. On PostgreSQL, they are sent without waiting in between."""
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(sql, rows)


def lock_rows(table: str, keys: Iterable[int], strength: str = "UPDATE") -> None:
    """Lock rows by their primary keys until the transaction ends, one statement for each. On SQLite, do nothing."""
    if connection.vendor == "postgresql":
        execute_many(
            f"SELECT 1 FROM {table} WHERE id = %s FOR {strength}", [(key,) for key in sorted(set(keys))]
        )


def fetch_all(sql: str | Query, params: Params = None) -> list[Row]:
    """Run one query and return all of its rows."""
    with connection.cursor() as cursor:
        cursor.execute(*_statement(sql, params))
        return list(cursor.fetchall())


def batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Split items into batches that one statement can take as parameters."""
    for start in range(0, len(items), PARAMETER_BATCH_SIZE):
        yield items[start : start + PARAMETER_BATCH_SIZE]
