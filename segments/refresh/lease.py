"""The lease of a refresh. One refresh runs at a time, and one whose worker died is replaced by the next.

The lock of members keeps concurrent writers apart. The lease shows staff and other workers which refresh is running,
so that no worker waits behind the lock.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction

from core.db import leases
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


def _lease() -> timedelta:
    return timedelta(seconds=settings.REFRESH_LEASE)


def _wait_and_start(*, wait: bool, queued: int | None) -> Refresh:
    while True:
        now = datetime.now(UTC)
        if _end_abandoned(now) and not wait:
            raise RefreshRunning
        try:
            with transaction.atomic():
                return _start_run(queued, now)
        except IntegrityError:
            if not wait:
                raise RefreshRunning from None
            time.sleep(POLL_SECONDS)


def _end_abandoned(now: datetime) -> bool:
    """Mark refreshes as failed whose worker died; return whether one is running."""
    died = {"state": Refresh.State.FAILED, "error": ABANDONED_ERROR, "finished_at": now}
    running = Refresh.objects.filter(state=Refresh.State.RUNNING)
    return leases.end_abandoned(running, now, _lease(), lambda _: died)


def _start_run(queued: int | None, now: datetime) -> Refresh:
    if queued is None:
        return Refresh.objects.create(at=now, started_at=now, heartbeat_at=now)
    waiting = Refresh.objects.filter(pk=queued, state=Refresh.State.QUEUED)
    if not leases.claim(waiting, state=Refresh.State.RUNNING, at=now, started_at=now, heartbeat_at=now):
        raise AlreadyStarted
    return Refresh.objects.get(pk=queued)
