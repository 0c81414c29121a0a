"""Temporary tables: created, loaded, emptied and analyzed."""

from collections.abc import Iterable, Sequence

from django.db import (
    connection,
)

from . import planner_statistics
from .backends import is_postgresql
from .execution import Row, execute


def create_temporary_table(name: str, columns: str, *, joined_on: Sequence[str] = ()) -> None:
    """Make an empty temporary table of this connection.

    The planner knows it as it is whenever a statement joins it (``core.db.planner_statistics``): all of its
    columns, or those it is ``joined_on`` where the others are many and wide.
    """
    if tables := planner_statistics.table_statistics(connection):
        tables.declare(name, joined_on)
    execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns})")
    empty_table(name)


def empty_table(name: str) -> None:
    """Empty a temporary table.

    Not by DELETE on PostgreSQL: no vacuum ever visits a temporary table, so its dead rows would be read for ever.
    """
    execute(f"TRUNCATE {name}" if is_postgresql() else f"DELETE FROM {name}")


def load_rows(table: str, columns: Sequence[str], records: Iterable[Row]) -> None:
    """Fill a temporary table: COPY on PostgreSQL, one prepared INSERT on SQLite."""
    names = ", ".join(columns)
    # The driver's own errors as Django's, as everybody expects them.
    with connection.cursor() as cursor, connection.wrap_database_errors:
        if is_postgresql():
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for record in records:
                    copy.write_row(record)
            if tables := planner_statistics.table_statistics(connection):
                tables.note_changed(table, cursor.rowcount)
        else:
            # The driver's own cursor: Django's would rewrite the placeholders of each row anew.
            marks = ", ".join("?" * len(columns))
            cursor.connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", records)


def analyze_table(table: str) -> None:
    """Let the planner know a table that just grew; temporary ones it knows without."""
    if is_postgresql():
        execute(f"ANALYZE {table}")


def cte_by_customer(name: str, sql: str) -> str:
    """Begin a WITH that names a query of one row a customer, to be joined by customer.

    SQLite gets a table with an index instead: it would read all of the rows for each that joins.
    """
    if is_postgresql():
        return f"{name} AS ({sql}),"
    execute(f"DROP TABLE IF EXISTS temp.{name}")
    execute(f"CREATE TEMPORARY TABLE {name} AS {sql}", [])
    execute(f"CREATE UNIQUE INDEX temp.{name}_of_customer ON {name} (customer_id)")
    return ""
