"""Transactions: retries, snapshots, and table locks."""

from collections.abc import Callable, Iterator
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
from .execution import execute

Result = TypeVar("Result")

MAX_TRIES = 5
DEADLOCK_DETECTED = "40P01"  # PostgreSQL's code for the one of two transactions that has to give way


def is_transient_error(error: BaseException | None) -> bool:
    """Tell whether an error is of a database that is away, busy or of another version, and not of what it was asked.

    Of the database's errors only a value or a constraint can be the fault of what was sent; and not a column that
    must be filled, which we would have filled: the schema is newer than this process.
    """
    if isinstance(error, DataError | IntegrityError):
        is_not_null = getattr(error.__cause__, "sqlstate", "") == NOT_NULL_VIOLATION
        return is_not_null or "NOT NULL constraint" in str(error)
    return isinstance(error, DatabaseError | InterfaceError)


def retry_on_deadlock(act: Callable[[], Result]) -> Result:
    """Run ``act`` as one transaction; again, a few times, where PostgreSQL ended it to resolve a deadlock."""
    for _ in range(MAX_TRIES - 1):
        try:
            with transaction.atomic():
                return act()
        except OperationalError as error:
            if connection.in_atomic_block or getattr(error.__cause__, "sqlstate", "") != DEADLOCK_DETECTED:
                raise
    with transaction.atomic():
        return act()


@contextmanager
def locked_table(table: str) -> Iterator[None]:
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


def lock_shared(table: str) -> None:
    """Work beside others who share a table, and keep out who wants it alone, until the transaction ends."""
    if is_postgresql():  # a write transaction of SQLite is alone in any case
        execute(f"LOCK TABLE {table} IN ROW SHARE MODE")


def lock_exclusive(table: str) -> None:
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
