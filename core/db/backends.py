"""Where SQLite and PostgreSQL have different words or a faster way: one function here, one result."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from django.db import (
    connection,
)

from .sql import Query, compile_query

log = structlog.get_logger(__name__)

Row = tuple[Any, ...]
Parameters = Sequence[Any] | Mapping[str, Any] | None
Done = TypeVar("Done")
Item = TypeVar("Item")
ASKED_AT_ONCE = 5_000  # SQLite takes no more than 32,766 parameters
NOT_NULL = "23502"  # PostgreSQL's code for a column that must be filled and was not


def is_postgresql() -> bool:
    """Tell which engine is behind the connection."""
    return connection.vendor == "postgresql"


def execute(sql: str | Query, params: Parameters = None) -> int:
    """Run one statement; return how many rows it touched. ``params`` are those of a text."""
    with connection.cursor() as cursor:
        cursor.execute(*_statement(sql, params))
        return int(cursor.rowcount)


def _statement(sql: str | Query, params: Parameters) -> tuple[str, Parameters]:
    if isinstance(sql, str):
        return sql, params
    compiled = compile_query(sql)
    return compiled.text, compiled.params


def check_references_at_once() -> None:
    """Check foreign keys with each statement of this transaction, not at its end.

    The check locks the rows that are referred to: from then on, nobody joins the visitors among them unseen.
    """
    if is_postgresql():
        execute("SET CONSTRAINTS ALL IMMEDIATE")


def move(queue: str, columns: Sequence[str], insert: str) -> int:
    """Insert from the rows of a queue and empty it of just these; ``{}`` is their place in the statement."""
    names = ", ".join(columns)
    if is_postgresql():
        taken = f"WITH taken AS (DELETE FROM {queue} RETURNING {names}) "
        return execute(taken + insert.format("(SELECT * FROM taken)"))
    moved = execute(insert.format(queue))
    execute(f"DELETE FROM {queue}")
    return moved


def upsert(sql: str) -> int | None:
    """Run an INSERT … ON CONFLICT DO UPDATE; give how many rows it created, None where no other writer can be."""
    if not is_postgresql():
        execute(sql)
        return None
    [(created,)] = rows(
        f"WITH w AS ({sql} RETURNING xmax = 0 AS created) SELECT count(*) FILTER (WHERE created) FROM w"
    )
    return int(created)


def rows(sql: str | Query, params: Parameters = None) -> list[Row]:
    """Run one query and fetch all of its rows, so that the next statement finds a free connection."""
    with connection.cursor() as cursor:
        cursor.execute(*_statement(sql, params))
        return list(cursor.fetchall())


def in_parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut what a statement names into what one can take."""
    for start in range(0, len(items), ASKED_AT_ONCE):
        yield items[start : start + ASKED_AT_ONCE]
