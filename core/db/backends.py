"""What SQLite and PostgreSQL do differently, behind functions with one result."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connection

from .execution import execute

NOT_NULL_VIOLATION = "23502"  # SQLSTATE of PostgreSQL
COST_OF_A_PAGE_IN_MEMORY = (
    0.5  # of a page read in order, with its rows; PostgreSQL's default of 4 is that of a disk
)


def is_postgresql() -> bool:
    return connection.vendor == "postgresql"


def expect_rows_in_memory() -> None:
    """Let PostgreSQL's planner assume, until the transaction ends, that it finds the rows it looks up in memory.

    For a few percent of the customers, looking up each is then cheaper than reading the table, which is what it takes.
    """
    if is_postgresql():
        execute(f"SET LOCAL random_page_cost = {COST_OF_A_PAGE_IN_MEMORY}")


@contextmanager
def looking_up_by_key() -> Iterator[None]:
    """Let PostgreSQL look up the rows of each key, inside a transaction, and read no table as a whole."""
    if is_postgresql():
        execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
    yield
    if is_postgresql():
        execute("SET LOCAL enable_hashjoin TO DEFAULT; SET LOCAL enable_mergejoin TO DEFAULT")


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
