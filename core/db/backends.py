"""What SQLite and PostgreSQL do differently, behind functions with one result."""

from collections.abc import Sequence

from django.db import connection

from .execution import execute, fetch_all

NOT_NULL_VIOLATION = "23502"  # SQLSTATE of PostgreSQL


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def check_foreign_keys_immediately() -> None:
    """Check foreign keys with each statement of this transaction, not at its end.

    The check locks the referenced rows, so a concurrent merge of one of them waits.
    """
    if is_postgresql():
        execute("SET CONSTRAINTS ALL IMMEDIATE")


def move_rows(queue: str, columns: Sequence[str], insert: str) -> int:
    """Delete the rows of a queue and insert from exactly these rows. ``{}`` in ``insert`` stands for them."""
    names = ", ".join(columns)
    if is_postgresql():
        taken = f"WITH taken AS (DELETE FROM {queue} RETURNING {names}) "
        return execute(taken + insert.format("(SELECT * FROM taken)"))
    moved = execute(insert.format(queue))
    execute(f"DELETE FROM {queue}")
    return moved


def upsert(sql: str) -> int | None:
    """Run an INSERT … ON CONFLICT DO UPDATE. Return how many rows it created; None on SQLite, which has one writer."""
    if not is_postgresql():
        execute(sql)
        return None
    [(created,)] = fetch_all(
        f"WITH w AS ({sql} RETURNING xmax = 0 AS created) SELECT count(*) FILTER (WHERE created) FROM w"
    )
    return int(created)
