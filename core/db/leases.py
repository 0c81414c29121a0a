"""Leases: work that one worker has claimed, for as long as it shows that it is at it.

A claim is a conditional UPDATE. Where it does not change exactly one row, another worker got there first. A lease that
is not extended for its length is abandoned: its worker is gone, and another one claims the work. What a worker writes
while it holds a lease is conditional, too, on a value that each claim changes.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db import DatabaseError, connection
from django.db.models import Model, Q, QuerySet

Row = TypeVar("Row", bound=Model)


def claim(row: QuerySet[Any], **change: Any) -> bool:
    """Change the row, selected in a state that can be claimed; return False where another worker got there first."""
    return row.update(**change) == 1


def claim_many(rows: QuerySet[Row], most: int, **change: Any) -> list[Row]:
    """Change the first rows that no other worker is claiming at this moment, and return them as they were.

    To be called in a transaction.
    """
    skip = connection.features.has_select_for_update_skip_locked
    claimed = list(rows.select_for_update(of=("self",), skip_locked=skip)[:most])
    rows.model._default_manager.filter(pk__in=[row.pk for row in claimed]).update(**change)
    return claimed


def is_held(extended_at: datetime, at: datetime, length: timedelta) -> bool:
    """Return whether a lease holds at an instant.

    One that was extended in the future does not: the clock was set back since.
    """
    return abs(at - extended_at) < length


def abandoned_q(field: str, at: datetime, length: timedelta) -> Q:
    """Select the rows whose lease, by the field that says when it was claimed, is over at an instant."""
    return Q(**{f"{field}__lte": at - length})


def end_abandoned(
    running: QuerySet[Any], at: datetime, length: timedelta, change: Callable[[Any], Mapping[str, Any]]
) -> bool:
    """End the work of workers that are gone; return whether a lease is still held.

    A lease was extended at ``heartbeat_at``, or claimed at ``started_at``. ``change`` returns what becomes of a row. It
    is not written where another worker wrote first, or the lease was extended after all.
    """
    held = False
    for row in running:
        heartbeat_at: datetime | None = row.heartbeat_at
        if is_held(heartbeat_at or row.started_at, at, length):
            held = True
        else:
            claim(running.filter(pk=row.pk, heartbeat_at=heartbeat_at), **change(row))
    return held


def extend_periodically(row: QuerySet[Any], length: timedelta) -> AbstractContextManager[None]:
    """Extend a lease three times in its length, by ``heartbeat_at``, until the block ends."""
    return run_periodically(lambda: row.update(heartbeat_at=datetime.now(UTC)), length / 3)


@contextmanager
def run_periodically(action: Callable[[], object], every: timedelta) -> Iterator[None]:
    """Call this again and again, from a thread of its own, until the block ends."""
    ended = threading.Event()
    threading.Thread(target=_repeat, args=(action, every.total_seconds(), ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _repeat(action: Callable[[], object], every: float, ended: threading.Event) -> None:
    try:
        while not ended.wait(every):
            try:
                action()
            except DatabaseError:
                continue  # SQLite is writing: no other worker can write either, so none claims the work
    finally:
        connection.close()
