"""Where SQLite and PostgreSQL have different words or a faster way: one function here, one result."""

from collections.abc import Sequence

from django.db import connection

from .execution import execute, fetch_all

NOT_NULL_VIOLATION = "23502"  # PostgreSQL's code for a column that must be filled and was not


def is_postgresql() -> bool:
    """Tell which engine is behind the connection."""
    return connection.vendor == "postgresql"


def check_foreign_keys_immediately() -> None:
    """Check foreign keys with each statement of this transaction, not at its end.

    The check locks the rows that are referred to: from then on, nobody joins the visitors among them unseen.
    """
    if is_postgresql():
        execute("SET CONSTRAINTS ALL IMMEDIATE")


def move_rows(queue: str, columns: Sequence[str], insert: str) -> int:
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
    [(created,)] = fetch_all(
        f"WITH w AS ({sql} RETURNING xmax = 0 AS created) SELECT count(*) FILTER (WHERE created) FROM w"
    )
    return int(created)
