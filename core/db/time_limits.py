"""Time limits of statements."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from django.conf import settings
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from .backends import Done, execute, is_postgresql, log, rows
from .transactions import snapshot

STEPS_BETWEEN_LOOKS = 10_000  # of SQLite's virtual machine, at the clock: about a millisecond


class TookTooLong(Exception):
    """A statement was ended, since it took longer than somebody waits for it."""


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
