"""Time limits of statements."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

import structlog
from django.conf import settings
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from .backends import is_postgresql
from .execution import execute, fetch_all
from .transactions import snapshot

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

PROGRESS_HANDLER_STEPS = 10_000  # of SQLite's virtual machine, at the clock: about a millisecond


class StatementTimeout(Exception):
    """A statement was ended, since it took longer than somebody waits for it."""


class AdaptiveBatch:
    """How much of a long work is done at once: less from when a statement of it took longer than STATEMENT_LIMIT.

    Inside a transaction all is done at once, and on SQLite, whose statements depend on no statistics.
    """

    def __init__(self, most: int, least: int) -> None:
        self.size, self.least = most, least

    def take(self, act: Callable[[int], Result]) -> Result:
        """Let ``act`` do so much, again for a quarter of it where that takes too long.

        ``act`` is undone by what it raises. The least portion takes as long as it takes.
        """
        limit = settings.STATEMENT_LIMIT
        while self.size > self.least and limit and is_postgresql() and not connection.in_atomic_block:
            try:
                with _session_limit(limit):
                    return act(self.size)
            except StatementTimeout:
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
            raise StatementTimeout from error
        raise
    finally:
        with suppress(DatabaseError, InterfaceError):  # a connection that is gone takes its limit along
            execute("RESET statement_timeout")


@contextmanager
def roll_back_after(seconds: float) -> Iterator[None]:
    """Undo what is done inside once a statement takes longer (PostgreSQL); raises TookTooLong. In a transaction."""
    if not seconds or not is_postgresql():
        yield
        return
    try:
        with transaction.atomic(), _limit(seconds):
            yield
    except OperationalError as error:
        if "statement timeout" in str(error):
            raise StatementTimeout from error
        raise


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End what is asked inside once it takes longer than that, a statement (PostgreSQL) or all (SQLite).

    Raises TookTooLong, without asking where there is no time at all. Nothing but temporary tables is written inside.
    """
    if seconds <= 0:
        raise StatementTimeout  # nobody looks that soon, so a small question would be answered
    try:
        with snapshot(), _limit(seconds):
            yield
    except OperationalError as error:
        if any(reason in str(error) for reason in ("statement timeout", "user request", "interrupted")):
            raise StatementTimeout from None
        raise


def statement_canceller() -> Callable[[], None]:
    """Return what ends the statement that this connection runs: for another thread, inside of ``within``."""
    connection.ensure_connection()
    driver = connection.connection
    return driver.cancel if is_postgresql() else driver.interrupt  # type: ignore[no-any-return]


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    if is_postgresql():
        [(before,)] = fetch_all("SHOW statement_timeout")
        execute(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")
        yield
        execute(
            "SELECT set_config('statement_timeout', %s, true)", [before]
        )  # a failed transaction forgets it
        return
    until = time.monotonic() + seconds
    connection.connection.set_progress_handler(lambda: time.monotonic() > until, PROGRESS_HANDLER_STEPS)
    try:
        yield
    finally:
        connection.connection.set_progress_handler(None, 0)
