"""The lease of a refresh. One refresh runs at a time, and one whose worker died is replaced by the next.

The lock of members keeps concurrent writers apart. The lease shows staff and other workers which refresh is running,
so that no worker waits behind the lock.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connection, transaction

from core.db import execution, leases
from segments.models import Refresh

POLL_SECONDS = 0.05
ABANDONED_ERROR = "The process of this refresh has ended. The next refresh does its work."


class RefreshRunning(Exception):
    """Another refresh is running."""


class AlreadyStarted(Exception):
    """Another worker has started the requested refresh already."""


@contextmanager
def acquire(*, wait: bool, queued: int | None = None) -> Iterator[Refresh]:
    """Hold the lease. If another refresh is running, wait for its end, or raise RefreshRunning.

    ``queued`` is the key of a requested refresh, which starts now. Raises AlreadyStarted if it has started before.

    The block stores how the refresh ended, in the transaction of its work. After an exception it is stored as failed.
    """
    run = _wait_and_start(wait=wait, queued=queued)
    own_row = Refresh.objects.filter(pk=run.pk, state=Refresh.State.RUNNING)
    try:
        with leases.extend_periodically(own_row, _lease()):
            yield run
    except BaseException as error:
        Refresh.objects.filter(pk=run.pk).update(
            state=Refresh.State.FAILED,
            error=f"{type(error).__name__}: {error}",
            finished_at=datetime.now(UTC),
        )
        raise


def store_end(run: Refresh) -> None:
    """Store how a refresh ended and what it did."""
    names = ("at", "state", "finished_at", "touched", "evaluated", "statistics", "statistics_from")
    values = _stored_values(run)
    changed = {name: values[name] for name in (*names, "buyers_version", "time_zone", "error")}
    assignments = ", ".join(f"{name} = %s" for name in changed)
    execution.execute(
        f"UPDATE {Refresh._meta.db_table} SET {assignments} WHERE id = %s", [*changed.values(), run.pk]
    )


def _stored_values(run: Refresh) -> dict[str, Any]:
    """Return the values of all columns but the key, as the database driver takes them."""
    return {
        field.column: field.get_db_prep_save(getattr(run, field.attname), connection)
        for field in Refresh._meta.concrete_fields
        if field.column and not field.primary_key
    }


def _lease() -> timedelta:
    return timedelta(seconds=settings.REFRESH_LEASE)


def _wait_and_start(*, wait: bool, queued: int | None) -> Refresh:
    while True:
        now = datetime.now(UTC)
        if run := _start_run(now) if queued is None else _start_queued(queued, now):
            return run
        if _end_abandoned(now):
            if not wait:
                raise RefreshRunning
            time.sleep(POLL_SECONDS)


def _end_abandoned(now: datetime) -> bool:
    """Mark refreshes as failed whose worker died; return whether one is running."""
    died = {"state": Refresh.State.FAILED, "error": ABANDONED_ERROR, "finished_at": now}
    running = Refresh.objects.filter(state=Refresh.State.RUNNING)
    return leases.end_abandoned(running, now, _lease(), lambda _: died)


def _start_run(now: datetime) -> Refresh | None:
    """Start a refresh; return None if another one is running."""
    run = Refresh(at=now, started_at=now, heartbeat_at=now)
    values = _stored_values(run)
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    started = execution.fetch_all(
        f"INSERT INTO {Refresh._meta.db_table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING RETURNING id",
        [*values.values()],
    )
    for (key,) in started:
        run.pk, run._state.adding, run._state.db = key, False, DEFAULT_DB_ALIAS
        return run
    return None


def _start_queued(queued: int, now: datetime) -> Refresh | None:
    """Start a requested refresh; return None if another one is running. Raises AlreadyStarted."""
    waiting = Refresh.objects.filter(pk=queued, state=Refresh.State.QUEUED)
    try:
        with transaction.atomic():
            if not leases.claim(
                waiting, state=Refresh.State.RUNNING, at=now, started_at=now, heartbeat_at=now
            ):
                raise AlreadyStarted
    except IntegrityError:
        return None
    return Refresh.objects.get(pk=queued)
