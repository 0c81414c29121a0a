"""Leases: work that one worker has claimed until a time at which another may take it.

A claim is a conditional UPDATE. If it does not change exactly one row, another worker got there first. A lease that is
not extended in time is abandoned, and another worker claims the work. While a worker holds a lease, its writes are
conditional, too, on a value that each claim changes.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db import DatabaseError, connection, connections
from django.db.models import Model, Q, QuerySet

Row = TypeVar("Row", bound=Model)


def claim(row: QuerySet[Any], **change: Any) -> bool:
    """Change a row that is selected in a claimable state. Return False if another worker got there first."""
    return row.update(**change) == 1


def claim_many(rows: QuerySet[Row], limit: int, **change: Any) -> list[Row]:
    """Change the first rows that no other worker is claiming right now, and return them as they were before.

    Must be called in a transaction.
    """
    skip = connection.features.has_select_for_update_skip_locked
    claimed = list(rows.select_for_update(of=("self",), skip_locked=skip)[:limit])
    rows.model._default_manager.filter(pk__in=[row.pk for row in claimed]).update(**change)
    return claimed


def is_held(extended_at: datetime, at: datetime, length: timedelta) -> bool:
    """Return whether a lease is held at an instant.

    A lease that was extended in the future is not: the clock has been set back since.
    """
    return abs(at - extended_at) < length


def abandoned_q(field: str, at: datetime, length: timedelta) -> Q:
    """Select rows whose lease has expired. ``field`` holds when it was claimed."""
    return Q(**{f"{field}__lte": at - length})


def end_abandoned(
    running: QuerySet[Any], at: datetime, length: timedelta, change: Callable[[Any], Mapping[str, Any]]
) -> bool:
    """End abandoned work, and return whether any lease is still held.

    A lease was extended at ``heartbeat_at`` or claimed at ``started_at``. ``change`` returns the new values of a row.
    They are not written if another worker wrote first or the lease was extended meanwhile.
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
    """Set ``heartbeat_at`` three times per lease length, until the block ends."""
    return run_periodically(lambda: row.update(heartbeat_at=datetime.now(UTC)), length / 3)


@contextmanager
def run_periodically(action: Callable[[], object], every: timedelta) -> Iterator[None]:
    """Call an action repeatedly, in a thread of its own, until the block ends."""
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
                continue  # SQLite is busy: no other worker can write either, so the lease is safe
    finally:
        connections.close_all()  # of this thread; most blocks end before it has opened one
