"""Where SQLite and PostgreSQL have different words or a faster way: one function here, one result."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import structlog
from django.conf import settings
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from core.db.sql import Query, compile_query

from . import planner_statistics

log = structlog.get_logger(__name__)

Row = tuple[Any, ...]
Parameters = Sequence[Any] | Mapping[str, Any] | None
Done = TypeVar("Done")
Item = TypeVar("Item")

MOST_TRIES = 5
ASKED_AT_ONCE = 5_000  # SQLite takes no more than 32,766 parameters
NOT_NULL = "23502"  # PostgreSQL's code for a column that must be filled and was not
DEADLOCK = "40P01"  # PostgreSQL's code for the one of two transactions that has to give way

STEPS_BETWEEN_LOOKS = 10_000  # of SQLite's virtual machine, at the clock: about a millisecond


class TookTooLong(Exception):
    """A statement was ended, since it took longer than somebody waits for it."""


def passes(error: BaseException | None) -> bool:
    """Tell whether an error is of a database that is away, busy or of another version, and not of what it was asked.

    Of the database's errors only a value or a constraint can be the fault of what was sent; and not a column that
    must be filled, which we would have filled: the schema is newer than this process.
    """
    if isinstance(error, DataError | IntegrityError):
        is_not_null = getattr(error.__cause__, "sqlstate", "") == NOT_NULL
        return is_not_null or "NOT NULL constraint" in str(error)
    return isinstance(error, DatabaseError | InterfaceError)


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


def whole(act: Callable[[], Done]) -> Done:
    """Run ``act`` as one transaction; again, a few times, where PostgreSQL ended it to resolve a deadlock."""
    for _ in range(MOST_TRIES - 1):
        try:
            with transaction.atomic():
                return act()
        except OperationalError as error:
            if connection.in_atomic_block or getattr(error.__cause__, "sqlstate", "") != DEADLOCK:
                raise
    with transaction.atomic():
        return act()


def rows(sql: str | Query, params: Parameters = None) -> list[Row]:
    """Run one query and fetch all of its rows, so that the next statement finds a free connection."""
    with connection.cursor() as cursor:
        cursor.execute(*_statement(sql, params))
        return list(cursor.fetchall())


def in_parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut what a statement names into what one can take."""
    for start in range(0, len(items), ASKED_AT_ONCE):
        yield items[start : start + ASKED_AT_ONCE]


def temporary_table(name: str, columns: str, *, joined_on: Sequence[str] = ()) -> None:
    """Make an empty temporary table of this connection.

    The planner knows it as it is whenever a statement joins it (``customers.planner_statistics``): all of its
    columns, or those it is ``joined_on`` where the others are many and wide.
    """
    if tables := planner_statistics.of(connection):
        tables.declare(name, joined_on)
    execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({columns})")
    empty(name)


def empty(name: str) -> None:
    """Empty a temporary table.

    Not by DELETE on PostgreSQL: no vacuum ever visits a temporary table, so its dead rows would be read for ever.
    """
    execute(f"TRUNCATE {name}" if is_postgresql() else f"DELETE FROM {name}")


def load(table: str, columns: Sequence[str], records: Iterable[Row]) -> None:
    """Fill a temporary table: COPY on PostgreSQL, one prepared INSERT on SQLite."""
    names = ", ".join(columns)
    # The driver's own errors as Django's, as everybody expects them.
    with connection.cursor() as cursor, connection.wrap_database_errors:
        if is_postgresql():
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for record in records:
                    copy.write_row(record)
            if tables := planner_statistics.of(connection):
                tables.note_changed(table, cursor.rowcount)
        else:
            # The driver's own cursor: Django's would rewrite the placeholders of each row anew.
            marks = ", ".join("?" * len(columns))
            cursor.connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", records)


def analyze(table: str) -> None:
    """Let the planner know a table that just grew; temporary ones it knows without."""
    if is_postgresql():
        execute(f"ANALYZE {table}")


def by_customer(name: str, sql: str) -> str:
    """Begin a WITH that names a query of one row a customer, to be joined by customer.

    SQLite gets a table with an index instead: it would read all of the rows for each that joins.
    """
    if is_postgresql():
        return f"{name} AS ({sql}),"
    execute(f"DROP TABLE IF EXISTS temp.{name}")
    execute(f"CREATE TEMPORARY TABLE {name} AS {sql}", [])
    execute(f"CREATE UNIQUE INDEX temp.{name}_of_customer ON {name} (customer_id)")
    return ""


def least(*values: str) -> str:
    """Give the least of values, of which some may be NULL."""
    return f"LEAST({', '.join(values)})" if is_postgresql() else _ignoring_missing("min", values)


def greatest(*values: str) -> str:
    """Give the greatest of values, of which some may be NULL."""
    return f"GREATEST({', '.join(values)})" if is_postgresql() else _ignoring_missing("max", values)


def _ignoring_missing(function: str, values: Sequence[str]) -> str:
    # With one NULL among them SQLite's min() and max() are NULL: each gives way to those after it, in a circle.
    circles = (", ".join([*values[place:], *values[:place]]) for place in range(len(values)))
    return f"{function}({', '.join(f'COALESCE({circle})' for circle in circles)})"


def microseconds(later: str, earlier: str) -> str:
    """Give the exact time between two instants in microseconds."""
    if is_postgresql():
        return f"CAST(EXTRACT(EPOCH FROM {later} - {earlier}) * 1000000 AS bigint)"
    return f"({_epoch_microseconds(later)} - {_epoch_microseconds(earlier)})"


def further_apart(later: str, earlier: str, minutes: int) -> str:
    """Ask whether two instants lie more than some minutes apart."""
    if is_postgresql():
        return f"{later} - {earlier} > interval '{minutes} minutes'"
    return f"{microseconds(later, earlier)} > {minutes * 60_000_000}"


def merged_json(old: str, new: str) -> str:
    """Lay one JSON object over another."""
    return f"({old} || {new})" if is_postgresql() else f"json_patch({old}, {new})"


def json_from(text: str) -> str:
    """Read a staged text as the JSON of a column."""
    return f"CAST({text} AS jsonb)" if is_postgresql() else text


def json_array_items(text: str) -> str:
    """Join the items of a staged JSON array, as ``item``."""
    if is_postgresql():
        return f"jsonb_array_elements(CAST({text} AS jsonb)) AS item"
    return f"json_each({text}) AS item"


def json_array_item(item: str, place: int) -> str:
    """Give the text at a place of an item that is an array itself."""
    return f"{item}->>{place}" if is_postgresql() else f"json_extract({item}.value, '$[{place}]')"


def json_texts(text: str) -> str:
    """Give a query of the texts of a JSON array."""
    if is_postgresql():
        return f"SELECT jsonb_array_elements_text(CAST({text} AS jsonb))"
    return f"SELECT value FROM json_each({text})"


def json_items(column: str) -> str:
    """Join the items of a JSON object of texts, as ``item`` with key and value."""
    return f"{'jsonb_each_text' if is_postgresql() else 'json_each'}({column}) AS item"


def moment_from_comparable(text: str) -> str:
    """Read a free value that is a moment, as ``customers.comparable`` writes it, as an instant."""
    if is_postgresql():
        return f"CAST(substr({text}, 2) || '+00' AS timestamp with time zone)"
    return f"replace(replace(substr({text}, 2), 'T', ' '), '.000000', '')"


def told_moment(told: str, name: str) -> str:
    """Read a moment of a customer's traits (see ``customers.tracking.profiles.Told``), as an instant."""
    if is_postgresql():
        return f"CAST({told} -> '{name}' ->> 0 AS timestamp with time zone)"
    return f"replace(replace(json_extract({told}, '$.{name}[0]'), 'T', ' '), '+00:00', '')"


def date_from(text: str) -> str:
    """Read a staged text as a date."""
    return f"CAST({text} AS date)" if is_postgresql() else text


def moment(instant: datetime) -> str:
    """Write an instant as both databases read and keep it: in UTC."""
    return str(connection.ops.adapt_datetimefield_value(instant))


def instant(value: Any) -> datetime:
    """Read an instant of a raw row: SQLite keeps it as a text, in UTC."""
    return value if isinstance(value, datetime) else datetime.fromisoformat(value).replace(tzinfo=UTC)


def moment_from(text: str) -> str:
    """Read a text that ``moment`` wrote, where its type does not show."""
    return f"CAST({text} AS timestamp with time zone)" if is_postgresql() else text


def later(moment: str, by: str) -> str:
    """Give the instant that lies a span after another; the span is a column, or as ``span`` writes it."""
    # What Django's own additions of the two become on SQLite.
    return f"({moment} + {by})" if is_postgresql() else f"django_format_dtdelta('+', {moment}, {by})"


def span(length: timedelta) -> str:
    """Write a span as both databases keep it."""
    microseconds = length // timedelta(microseconds=1)
    return f"interval '{microseconds} microseconds'" if is_postgresql() else str(microseconds)


def random_uuid() -> str:
    """Make a new random UUID for each row, as its column keeps it."""
    return "gen_random_uuid()" if is_postgresql() else "lower(hex(randomblob(16)))"


def moment_type() -> str:
    """Name the column type of an instant."""
    return "timestamp with time zone" if is_postgresql() else "text"


def _epoch_microseconds(moment: str) -> str:
    # SQLite keeps 'YYYY-MM-DD HH:MM:SS' and, unless it is zero, '.ffffff'; strftime() would round that to
    # milliseconds, and carry. '%%' since these words pass through a statement with parameters.
    return (
        f"(CAST(strftime('%%s', substr({moment}, 1, 19)) AS integer) * 1000000"
        f" + CAST(substr({moment} || '000000', 21, 6) AS integer))"
    )


@contextmanager
def alone(table: str) -> Iterator[None]:
    """A transaction that is the only one of its kind, and sees everything as it was at one moment.

    ``table`` is locked against others of the kind, not against readers and writers of its rows.
    """
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_postgresql():
            if outermost:
                execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            # Before anything is read: what the one before has done must be in the snapshot.
            execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")
            if outermost:
                execute("SELECT 1")  # the moment is now, and whoever reads the clock next reads a later one
        yield


def share(table: str) -> None:
    """Work beside others who share a table, and keep out who wants it alone, until the transaction ends."""
    if is_postgresql():  # a write transaction of SQLite is alone in any case
        execute(f"LOCK TABLE {table} IN ROW SHARE MODE")


def own(table: str) -> None:
    """Wait until nobody shares a table, and keep it from others until the transaction ends."""
    if is_postgresql():
        execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")


@contextmanager
def snapshot() -> Iterator[None]:
    """Read everything as it was at one moment, without holding up writers; nothing but temporary tables is written."""
    if is_postgresql():
        with transaction.atomic():
            if not connection.savepoint_ids:  # inside another transaction its own isolation stays
                execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield
        return
    mode = connection.transaction_mode  # type: ignore[attr-defined]
    connection.transaction_mode = "DEFERRED"  # type: ignore[attr-defined]
    try:
        with transaction.atomic():
            yield
    finally:
        connection.transaction_mode = mode  # type: ignore[attr-defined]


class Portion:
    """How much of a long work is done at once: less from when a statement of it took longer than STATEMENT_LIMIT.

    Inside a transaction all is done at once, and on SQLite, whose statements depend on no statistics.
    """

    def __init__(self, most: int, least: int) -> None:
        self.size, self.least = most, least

    def take(self, act: Callable[[int], Done]) -> Done:
        """Let ``act`` do so much, again for a quarter of it where that takes too long.

        ``act`` is undone by what it raises. The least portion takes as long as it takes.
        """
        limit = settings.STATEMENT_LIMIT
        while self.size > self.least and limit and is_postgresql() and not connection.in_atomic_block:
            try:
                with _session_limit(limit):
                    return act(self.size)
            except TookTooLong:
                self.size = max(self.least, self.size // 4)
                log.warning("taken_in_smaller_portions", at_once=self.size)
        return act(self.size)


@contextmanager
def _session_limit(seconds: float) -> Iterator[None]:
    execute(f"SET statement_timeout = {max(1, int(seconds * 1000))}")
    try:
        yield
    except OperationalError as error:
        if "statement timeout" in str(error):
            raise TookTooLong from error
        raise
    finally:
        with suppress(DatabaseError, InterfaceError):  # a connection that is gone takes its limit along
            execute("RESET statement_timeout")


@contextmanager
def undone_after(seconds: float) -> Iterator[None]:
    """Undo what is done inside once a statement takes longer (PostgreSQL); raises TookTooLong. In a transaction."""
    if not seconds or not is_postgresql():
        yield
        return
    try:
        with transaction.atomic(), _limit(seconds):
            yield
    except OperationalError as error:
        if "statement timeout" in str(error):
            raise TookTooLong from error
        raise


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """End what is asked inside once it takes longer than that, a statement (PostgreSQL) or all (SQLite).

    Raises TookTooLong, without asking where there is no time at all. Nothing but temporary tables is written inside.
    """
    if seconds <= 0:
        raise TookTooLong  # nobody looks that soon, so a small question would be answered
    try:
        with snapshot(), _limit(seconds):
            yield
    except OperationalError as error:
        if any(reason in str(error) for reason in ("statement timeout", "user request", "interrupted")):
            raise TookTooLong from None
        raise


def ending() -> Callable[[], None]:
    """Return what ends the statement that this connection runs: for another thread, inside of ``within``."""
    connection.ensure_connection()
    driver = connection.connection
    return driver.cancel if is_postgresql() else driver.interrupt  # type: ignore[no-any-return]


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    if is_postgresql():
        [(before,)] = rows("SHOW statement_timeout")
        execute(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")
        yield
        execute(
            "SELECT set_config('statement_timeout', %s, true)", [before]
        )  # a failed transaction forgets it
        return
    until = time.monotonic() + seconds
    connection.connection.set_progress_handler(lambda: time.monotonic() > until, STEPS_BETWEEN_LOOKS)
    try:
        yield
    finally:
        connection.connection.set_progress_handler(None, 0)
