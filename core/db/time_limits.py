"""Time limits of statements, and batches that shrink when a limit is reached."""

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

PROGRESS_HANDLER_STEPS = (
    10_000  # of SQLite's virtual machine between two looks at the clock: about a millisecond
)


class StatementTimeout(Exception):
    """A statement reached its time limit and was ended."""


class AdaptiveBatch:
    """A batch size that shrinks when a statement takes longer than ``STATEMENT_LIMIT``.

    It stays as it is inside a transaction, and on SQLite, whose plans do not depend on statistics.
    """

    def __init__(self, size: int, minimum: int) -> None:
        self.size, self.minimum = size, minimum

    def run(self, process: Callable[[int], Result]) -> Result:
        """Call ``process`` with the size, and again with a quarter of it after a timeout.

        ``process`` must undo its work when a statement fails. The minimum has no time limit.
        """
        limit = settings.STATEMENT_LIMIT
        while self.size > self.minimum and limit and is_postgresql() and not connection.in_atomic_block:
            try:
                with _session_limit(limit):
                    return process(self.size)
            except StatementTimeout:
                self.shrink()
                log.warning("batch_size_reduced", size=self.size)
        return process(self.size)

    def shrink(self) -> None:
        self.size = max(self.minimum, self.size // 4)


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
        with suppress(DatabaseError, InterfaceError):  # a closed connection has no limit any more
            execute("RESET statement_timeout")


@contextmanager
def roll_back_after(seconds: float) -> Iterator[None]:
    """Run the block in a transaction with a limit for each statement (PostgreSQL only). Raises StatementTimeout."""
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
    """Read in the block with a limit for each statement (PostgreSQL) or for all of them (SQLite).

    Raises StatementTimeout, at once if there is no time left. The block may write only temporary tables.
    """
    if seconds <= 0:
        raise StatementTimeout  # a short query would end before the limit is checked
    try:
        with snapshot(), _limit(seconds):
            yield
    except OperationalError as error:
        if any(reason in str(error) for reason in ("statement timeout", "user request", "interrupted")):
            raise StatementTimeout from None
        raise


def statement_canceller() -> Callable[[], None]:
    """Return a function that another thread calls to cancel this connection's statement, inside ``time_limit``."""
    connection.ensure_connection()
    driver = connection.connection
    return driver.cancel if is_postgresql() else driver.interrupt  # type: ignore[no-any-return]


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    if is_postgresql():
        [(before, _)] = fetch_all(
            "SELECT current_setting('statement_timeout'), set_config('statement_timeout', %s, true)",
            [str(max(1, int(seconds * 1000)))],
        )
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
