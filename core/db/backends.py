"""What SQLite and PostgreSQL do differently, behind functions with one result."""

from collections.abc import Sequence

from django.db import connection

from .execution import execute

NOT_NULL_VIOLATION = "23502"  # SQLSTATE of PostgreSQL


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def move_rows(queue: str, columns: Sequence[str], insert: str) -> int:
    """Delete the rows of a queue and insert from exactly these rows. ``{}`` in ``insert`` stands for them."""
    names = ", ".join(columns)
    if is_postgresql():
        taken = f"WITH taken AS (DELETE FROM {queue} RETURNING {names}) "
        return execute(taken + insert.format("(SELECT * FROM taken)"))
    moved = execute(insert.format(queue))
    execute(f"DELETE FROM {queue}")
    return moved


def next_key_default_sql(table: str) -> str:
    """Return the default of a column that gets the next primary keys of another table, on PostgreSQL."""
    return f"DEFAULT nextval('{table}_id_seq')" if is_postgresql() else ""


def fill_next_keys(staged: str, table: str) -> None:
    """Fill the column ``id`` with the next primary keys of another table, where no default does so."""
    if not is_postgresql():
        latest = f"COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '{table}'), 0)"
        execute(f"UPDATE {staged} SET id = rowid + {latest}")
