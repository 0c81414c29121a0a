"""What PostgreSQL's planner knows of temporary tables: each is analyzed after it changed, before a statement joins it.

No autovacuum ever visits a temporary table, so the planner only knows what ANALYZE has told it. A table that was
analyzed before its last change is worse than one that never was: the planner expects one row where there are thirty
thousand, and one statement runs for minutes. So nobody has to remember it: every statement of a connection passes
here, and those that join a changed table have it analyzed first.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

MAX_UNANALYZED_ROWS: Final = 100  # changed rows of which no plan, however wrong, takes long

_CREATED = re.compile(r'\bCREATE\s+TEMPORARY\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"?(\w+)"?', re.IGNORECASE)
_WRITTEN = re.compile(r'\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+"?(\w+)"?', re.IGNORECASE)
_EMPTIED = re.compile(r'\b(?:TRUNCATE|DROP\s+TABLE(?:\s+IF\s+EXISTS)?)\s+"?(\w+)"?', re.IGNORECASE)
_READ = re.compile(r'(?:\b(?:FROM|JOIN|USING)\s+|,\s*)"?(\w+)"?', re.IGNORECASE)
_DELETED_FROM = re.compile(r"\bDELETE\s+FROM\b", re.IGNORECASE)
_RELATION = re.compile(r"\b(?:FROM|JOIN|USING|INTO|UPDATE)\s+(?!SET\b)[\"\w(]", re.IGNORECASE)
_ROLLBACK = re.compile(r"\s*ROLLBACK\b", re.IGNORECASE)

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]


class TemporaryTableStatistics:
    """The temporary tables of one connection, each with how many of its rows changed since it was analyzed.

    One of Django's wrappers around the execution of statements.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.columns: dict[str, Collection[str]] = {}
        self.changed: dict[str, int] = {}

    def __call__(self, execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """Run a statement; before it, analyze what it joins; after it, count what it changed."""
        if not isinstance(sql, str):
            return execute(sql, params, many, context)
        for name in self._stale(sql):
            self._analyze(name)
        result = execute(sql, params, many, context)
        self._note(sql, context["cursor"].rowcount)
        return result

    def declare(self, name: str, columns: Collection[str]) -> None:
        """Say which columns of a table statements join on or choose by; those alone are analyzed."""
        self.columns[name] = columns

    def note_changed(self, name: str, rows: int) -> None:
        """Count rows that came in otherwise than by a statement."""
        self.changed[name] = self.changed.get(name, 0) + max(rows, 0)

    def forget(self) -> None:
        """Forget all tables: the connection is a new one."""
        self.columns.clear()
        self.changed.clear()

    def _stale(self, sql: str) -> Iterator[str]:
        """Name the tables that a statement joins and that have changed since they were analyzed."""
        named = {name for name, rows in self.changed.items() if rows >= MAX_UNANALYZED_ROWS and name in sql}
        if not named or len(_RELATION.findall(sql)) < 2:
            return
        yield from sorted(named.intersection(_READ.findall(_DELETED_FROM.sub("DELETE", sql))))

    def _analyze(self, name: str) -> None:
        self.changed[name] = 0
        with self.connection.cursor() as cursor:
            # It may be gone with the transaction that made it, and another thing have its name.
            cursor.execute(
                "SELECT 1 FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relname = %s", [name]
            )
            if cursor.fetchone():
                columns = self.columns.get(name)
                cursor.execute(f"ANALYZE {name} ({', '.join(columns)})" if columns else f"ANALYZE {name}")

    def _note(self, sql: str, rows: int) -> None:
        if _ROLLBACK.match(sql):  # the statistics go back with the rows
            self.changed = dict.fromkeys(self.changed, MAX_UNANALYZED_ROWS)
        elif "TEMPORARY" in sql:
            for name in _CREATED.findall(sql):
                self.note_changed(name, rows)
        elif self.changed:
            for name in _EMPTIED.findall(sql):
                if name in self.changed:
                    self.changed[name] = 0
            for name in _WRITTEN.findall(sql):
                if name in self.changed:
                    self.note_changed(name, rows)


def watch_connection(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Let every statement of a connection that has just been made pass here."""
    if connection.vendor != "postgresql":
        return
    if tables := table_statistics(connection):
        tables.forget()
    else:
        # First in the list: who adds a wrapper for a block takes the last one away again.
        connection.execute_wrappers.insert(0, TemporaryTableStatistics(connection))


def table_statistics(connection: BaseDatabaseWrapper) -> TemporaryTableStatistics | None:
    """Return what watches the statements of a connection; None where the planner needs nothing of the kind."""
    with suppress(StopIteration):
        return next(one for one in connection.execute_wrappers if isinstance(one, TemporaryTableStatistics))
    return None
