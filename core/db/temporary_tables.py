"""Temporary tables: created, loaded, emptied and analyzed."""

from collections.abc import Iterable, Sequence

from django.db import connection

from . import planner_statistics
from .backends import is_postgresql
from .execution import Params, Row, execute


def create_temporary_table(
    name: str, columns: str, *, joined_on: Sequence[str] = (), joins_large: bool = False
) -> None:
    """Create an empty temporary table.

    The planner gets statistics (``core.db.planner_statistics``) of all columns, or only of ``joined_on`` if the other
    columns are many and wide; also of few rows if ``joins_large`` says that the table is joined with large ones.
    """
    if tables := planner_statistics.table_statistics(connection):
        tables.declare(name, joined_on, joins_large=joins_large)
    _create_empty(name, f"({columns})")


def _create_empty(name: str, columns: str) -> None:
    """Create a table, and empty one that exists already, unless this connection knows that it does not need to."""
    tables = planner_statistics.table_statistics(connection)
    if not (tables and name in tables.existing):
        execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} {columns}")
    empty_table(name)


def empty_table(name: str) -> None:
    """Empty a temporary table.

    PostgreSQL truncates it: vacuum never visits temporary tables, so each scan would read the rows that DELETE leaves.
    """
    tables = planner_statistics.table_statistics(connection)
    if tables and tables.is_empty(name):
        return
    execute(f"TRUNCATE {name}" if is_postgresql() else f"DELETE FROM {name}")


def copy_rows(name: str, table: str, condition: str, params: Params = None) -> int:
    """Copy the rows of a table that meet a condition to a temporary table of the same columns. Return how many.

    Statements then compute with the copy, wherever the table itself is stored.
    """
    _create_empty(name, f"(LIKE {table})" if is_postgresql() else f"AS SELECT * FROM {table} WHERE 1 = 0")
    return execute(f"INSERT INTO {name} SELECT * FROM {table} WHERE {condition}", params)


def tolerate_changes(name: str, rows: int) -> None:
    """Let so many rows of a large table change before the planner's statistics are updated. 0 ends it."""
    if tables := planner_statistics.table_statistics(connection):
        tables.tolerate(name, rows)


def load_rows(table: str, columns: Sequence[str], records: Iterable[Row]) -> None:
    """Insert rows into a temporary table: with COPY on PostgreSQL, one prepared INSERT on SQLite."""
    names = ", ".join(columns)
    # Raise the driver's errors as Django's.
    with connection.cursor() as cursor, connection.wrap_database_errors:
        if is_postgresql():
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for record in records:
                    copy.write_row(record)
            if tables := planner_statistics.table_statistics(connection):
                tables.add_changed_rows(table, cursor.rowcount)
        else:
            # The driver's own cursor: Django's would rewrite the placeholders for each row.
            marks = ", ".join("?" * len(columns))
            cursor.connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", records)


def analyze_table(table: str) -> None:
    """Update the planner's statistics of a table that just grew. Temporary tables do not need this."""
    if is_postgresql():
        execute(f"ANALYZE {table}")
