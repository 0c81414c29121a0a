"""Temporary tables of a connection to PostgreSQL: a changed one is analyzed before a statement joins it.

Autovacuum never visits temporary tables, so the planner knows only what ANALYZE found. Outdated statistics are worse
than none: the planner expects one row where there are thirty thousand, and the statement runs for minutes. Therefore a
wrapper sees every statement of a connection, and analyzes the changed tables that the statement joins. It also knows
which tables exist and are empty, so that nobody creates or empties them again.
"""

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

MAX_UNANALYZED_ROWS: Final = 250  # with so few rows, only plans that join a large table are slow

_CREATED = re.compile(r'\bCREATE\s+TEMPORARY\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"?(\w+)"?', re.IGNORECASE)
# The words before the name of a table. Statements are long, and looking for names is faster than for these words.
_WRITES = (" INSERT INTO", " UPDATE", " DELETE FROM")
_DROPS = (" DROP TABLE", " DROP TABLE IF EXISTS")
_EMPTIES = (" TRUNCATE", *_DROPS)
_READS = (" FROM", " JOIN", " USING", ",")
_LONGEST_WORDS: Final = 40  # characters
_INSERT = re.compile(r"\s*INSERT\b", re.IGNORECASE)
_RELATION = re.compile(r"\b(?:FROM|JOIN|USING|UPDATE)\s+(?!SET\b)[\"\w(]", re.IGNORECASE)
_ROLLBACK = re.compile(r"\s*ROLLBACK\b", re.IGNORECASE)

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]


class TemporaryTableStatistics:
    """How many rows of each temporary table of a connection changed since the table was analyzed.

    ``existing`` are tables that surely exist, and ``filled`` those of them that may have rows. After a rollback,
    nothing is sure. ``joins_large`` are tables that are joined with large ones: until they are ``analyzed``, the
    planner expects two thousand rows, for which it would read the large table as a whole. An execute wrapper of Django.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.columns: dict[str, Collection[str]] = {}
        self.changed: dict[str, int] = {}
        self.existing: set[str] = set()
        self.filled: set[str] = set()
        self.joins_large: set[str] = set()
        self.analyzed: set[str] = set()
        self.tolerances: dict[str, int] = {}

    def __call__(self, execute: Execute, sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """Analyze the changed tables that a statement joins, run it, and count the rows that it changed."""
        if not isinstance(sql, str):
            return execute(sql, params, many, context)
        for name in self._stale(sql):
            self._analyze(name)
        result = execute(sql, params, many, context)
        self._count_changes(sql, context["cursor"].rowcount)
        return result

    def declare(self, name: str, columns: Collection[str], *, joins_large: bool) -> None:
        """Declare the columns that statements join or filter by. Only these are analyzed."""
        self.columns[name] = columns
        if joins_large:
            self.joins_large.add(name)

    def tolerate(self, name: str, rows: int) -> None:
        """Let so many rows of a large table change before it is analyzed again. 0 ends it."""
        self.tolerances[name] = rows

    def add_changed_rows(self, name: str, rows: int) -> None:
        """Count rows that changed other than by a statement, such as by COPY."""
        self.changed[name] = self.changed.get(name, 0) + max(rows, 0)
        if rows:
            self.filled.add(name)

    def is_empty(self, name: str) -> bool:
        """Return whether a table surely exists and is empty."""
        return name in self.existing and name not in self.filled

    def forget(self) -> None:
        """Forget all tables, because the connection is new."""
        self.columns.clear()
        self.changed.clear()
        self.tolerances.clear()
        self.existing.clear()
        self.joins_large.clear()
        self.analyzed.clear()

    def after_rollback(self) -> None:
        """Forget what is sure, because tables, rows and statistics are rolled back."""
        self.changed = dict.fromkeys(self.changed, MAX_UNANALYZED_ROWS)
        self.existing.clear()
        self.analyzed.clear()

    def _stale(self, sql: str) -> Iterator[str]:
        """Return the tables that a statement joins and that changed since they were analyzed."""
        named = [
            name
            for name, rows in self.changed.items()
            if rows and name in sql and rows >= self._enough_changes(name)
        ]
        if named and len(list(islice(_RELATION.finditer(sql), 2))) == 2:
            yield from sorted(
                name
                for name in named
                if any(
                    words.endswith(_READS) and not words.endswith(_WRITES)
                    for words in _words_before(name, sql)
                )
            )

    def _enough_changes(self, name: str) -> int:
        """Return how many changed rows make the statistics of a table outdated."""
        if name in self.joins_large and name not in self.analyzed:
            return 1
        return max(MAX_UNANALYZED_ROWS, self.tolerances.get(name, 0) if name in self.analyzed else 0)

    def _analyze(self, name: str) -> None:
        self.changed[name] = 0
        self.analyzed.add(name)
        with self.connection.cursor() as cursor:
            if name not in self.existing:
                # The table may be gone with its transaction, and its name may now mean something else.
                cursor.execute(
                    "SELECT 1 FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relname = %s", [name]
                )
            if name in self.existing or cursor.fetchone():
                columns = self.columns.get(name)
                cursor.execute(f"ANALYZE {name} ({', '.join(columns)})" if columns else f"ANALYZE {name}")

    def _count_changes(self, sql: str, rows: int) -> None:
        if _ROLLBACK.match(sql):
            self.after_rollback()
        elif "TEMPORARY" in sql:
            for name in _CREATED.findall(sql):
                self.add_changed_rows(name, rows)
                self.existing.add(name)
                self.filled.add(name)  # it may have existed before
        else:
            for name in [name for name in self.changed if name in sql]:
                self._count_changes_of(name, sql, rows)

    def _count_changes_of(self, name: str, sql: str, rows: int) -> None:
        # Of a statement that writes several tables, the rows of one are known.
        written = rows if _INSERT.match(sql) else rows or -1
        for words in _words_before(name, sql):
            if words.endswith(_EMPTIES):
                self.changed[name] = 0
                self.filled.discard(name)
                self.analyzed.discard(name)  # TRUNCATE makes PostgreSQL forget how many rows there were
            if words.endswith(_DROPS):
                self.existing.discard(name)
            if words.endswith(_WRITES):
                self.add_changed_rows(name, written)


def _words_before(name: str, sql: str) -> Iterator[str]:
    """Yield, for each place in a statement that names a table, a space and the words before it, in capitals."""
    for place in re.finditer(rf"\b{name}\b", sql):
        text = sql[max(0, place.start() - _LONGEST_WORDS) : place.start()]
        yield " " + " ".join(text.replace('"', " ").replace("(", " ").upper().split())


def install_statistics_wrapper(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Install the wrapper on a new connection. A receiver of ``connection_created``."""
    if connection.vendor != "postgresql":
        return
    if tables := table_statistics(connection):
        tables.forget()
    else:
        # First in the list: `connection.execute_wrapper()` removes the last one when its block ends.
        tables = TemporaryTableStatistics(connection)
        connection.execute_wrappers.insert(0, tables)
        _call_after_rollback(connection, tables.after_rollback)


def _call_after_rollback(connection: BaseDatabaseWrapper, function: Callable[[], None]) -> None:
    """Call a function after each rollback of a whole transaction, which is no statement that a wrapper sees."""
    rollback = connection._rollback  # type: ignore[attr-defined]

    def roll_back() -> None:
        function()
        rollback()

    connection._rollback = roll_back  # type: ignore[attr-defined]


def table_statistics(connection: BaseDatabaseWrapper) -> TemporaryTableStatistics | None:
    """Return the wrapper of a connection, or None where the planner needs none. Opens a closed connection."""
    connection.ensure_connection()  # the wrapper of a closed one knows tables that are gone
    with suppress(StopIteration):
        return next(one for one in connection.execute_wrappers if isinstance(one, TemporaryTableStatistics))
    return None
