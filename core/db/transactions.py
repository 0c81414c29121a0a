"""Transactions: retries, snapshots, and table locks."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from .backends import NOT_NULL_VIOLATION, is_postgresql
from .execution import execute, fetch_all

Result = TypeVar("Result")


class ConcurrentWrite(OperationalError):
    """Another transaction wrote the same rows first. Trying again in a new transaction finds them."""


class LockNotAvailable(OperationalError):
    """Other transactions hold a table that this one does not wait for."""


MAX_TRIES = 5
# SQLSTATE of PostgreSQL
DEADLOCK_DETECTED = "40P01"
SERIALIZATION_FAILURE = "40001"
LOCK_NOT_AVAILABLE = "55P03"


def is_transient_error(error: BaseException | None) -> bool:
    """Return whether an error is the database's (unavailable, busy, another version) and not caused by the data.

    Of the database's errors, only invalid values and violated constraints are caused by data. NOT NULL is an exception:
    we fill all columns that we know, so the schema is newer than this process.
    """
    if isinstance(error, DataError | IntegrityError):
        is_not_null = getattr(error.__cause__, "sqlstate", "") == NOT_NULL_VIOLATION
        return is_not_null or "NOT NULL constraint" in str(error)
    return isinstance(error, DatabaseError | InterfaceError)


def retry_on_conflict(function: Callable[[], Result], tries: int = MAX_TRIES) -> Result:
    """Run a function in a transaction, and a few times again after a deadlock or ``ConcurrentWrite``."""
    for _ in range(tries - 1):
        try:
            with transaction.atomic():
                return function()
        except OperationalError as error:
            is_deadlock = getattr(error.__cause__, "sqlstate", "") == DEADLOCK_DETECTED
            if connection.in_atomic_block or not (is_deadlock or isinstance(error, ConcurrentWrite)):
                raise
    with transaction.atomic():
        return function()


@contextmanager
def _serialization_failures() -> Iterator[None]:
    """Raise ConcurrentWrite for PostgreSQL's error that a row was written after the snapshot."""
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == SERIALIZATION_FAILURE:
            raise ConcurrentWrite from error
        raise


@contextmanager
def locked_table(table: str, *, excludes_rows: bool = False) -> Iterator[None]:
    """Run the block in a transaction with a snapshot, while no other such transaction runs.

    The lock on ``table`` excludes only other calls of this function, not readers and writers of rows. With
    ``excludes_rows``, it excludes writers of rows, too, first of all ``locked_rows``. Raises ConcurrentWrite if the
    block writes, or refers to, a row that another transaction has written since the snapshot.
    """
    mode = "SHARE ROW EXCLUSIVE" if excludes_rows else "SHARE UPDATE EXCLUSIVE"
    outermost = not connection.in_atomic_block
    with _serialization_failures(), transaction.atomic():
        if is_postgresql():
            # Before anything is read: the snapshot must contain what the previous holder wrote.
            lock = f"LOCK TABLE {table} IN {mode} MODE"
            if outermost:
                # SELECT takes the snapshot now, before the caller reads the clock.
                lock = f"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; {lock}; SELECT 1"
            execute(lock)
        yield


@contextmanager
def locked_rows(table: str, keys: Collection[int], limit: int) -> Iterator[list[int]]:
    """Run the block in a transaction with a snapshot that locks rows. Yield their keys. PostgreSQL only.

    They are at most ``limit`` rows of those with some keys, without those that another transaction has locked. The
    block must update them: only thus the next holder notices that its snapshot does not contain what this one wrote.
    Raises ConcurrentWrite then, and as ``locked_table`` does. Not inside of another transaction.
    """
    with _serialization_failures(), transaction.atomic():
        execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # Before anything is read: the snapshot must contain what a holder of the whole table wrote.
        execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")
        among = ", ".join(map(str, sorted(keys)))
        rows = fetch_all(
            f"SELECT id FROM {table} WHERE id IN ({among}) ORDER BY id LIMIT {limit} FOR UPDATE SKIP LOCKED"
        )
        yield [key for (key,) in rows]


def wait_for_row(table: str, key: int) -> None:
    """Wait while another transaction has locked a row. PostgreSQL only, not inside of another transaction."""
    execute(f"SELECT id FROM {table} WHERE id = %s FOR UPDATE", [key])


def lock_shared(table: str) -> None:
    """Share a table with other transactions until this one ends. ``lock_exclusive`` waits for it."""
    if is_postgresql():  # SQLite has one write transaction at a time anyway
        execute(f"LOCK TABLE {table} IN ROW SHARE MODE")


def lock_exclusive(table: str) -> None:
    """Wait until no other transaction shares a table, and lock it until this one ends."""
    if is_postgresql():
        execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")


def try_lock_shared(*tables: str) -> None:
    """Share tables as ``lock_shared`` does, without waiting. Raises LockNotAvailable."""
    _lock_at_once(f"LOCK TABLE {', '.join(tables)} IN ROW SHARE MODE NOWAIT")


def try_lock_exclusive(table: str) -> None:
    """Lock a table as ``lock_exclusive`` does, without waiting. Raises LockNotAvailable."""
    _lock_at_once(f"LOCK TABLE {table} IN EXCLUSIVE MODE NOWAIT")


def _lock_at_once(statement: str) -> None:
    if not is_postgresql():
        return
    try:
        execute(statement)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") == LOCK_NOT_AVAILABLE:
            raise LockNotAvailable(str(error)) from error
        raise


# Two kinds of transactions, each of which shares a table among its own kind and excludes the other one. Whoever asks
# later waits behind those who wait already, so neither kind starves. The table itself is never written.


def lock_for_messages(table: str) -> None:
    """Share a table with other transactions that process messages. Those that write records wait for it."""
    if is_postgresql():
        execute(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE")


def lock_for_records(table: str) -> None:
    """Share a table with other transactions that write records. Those that process messages wait for it."""
    if is_postgresql():
        execute(f"LOCK TABLE {table} IN SHARE MODE")


@contextmanager
def snapshot() -> Iterator[None]:
    """Read from one snapshot, without blocking writers. The block may write only temporary tables."""
    if is_postgresql():
        with transaction.atomic():
            if not connection.savepoint_ids:  # the isolation level of an outer transaction stays
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


def prefer_indexes() -> None:
    """Let the planner look rows up in indexes for this transaction, as if all were in memory.

    For a step that reads few rows of large tables, over and over: these rows are in memory, and those of whole tables
    may not be.
    """
    if is_postgresql():
        execute("SET LOCAL random_page_cost = 1.1")
