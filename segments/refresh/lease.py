"""Refreshes as rows with a lease: one runs at a time, and one whose worker died gives way to the next.

What keeps members right is the turn that every writer takes inside its transaction; the lease tells people and
other workers what goes on, so that nobody queues up behind a turn, or believes in a run that is no more.
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
ABANDONED_ERROR = "The process that ran it is gone; the next refresh completes its work."


class RefreshRunning(Exception):
    """Another refresh is running."""


class AlreadyStarted(Exception):
    """A queued refresh is not queued any more: another worker has begun it."""


@contextmanager
def acquire(*, wait: bool, queued: int | None = None) -> Iterator[Refresh]:
    """Hold the lease; wait for a running refresh to end, or raise Busy.

    ``queued`` is the key of a refresh that was asked for, and begins now; raises Taken where it has begun before.

    The block sets how the run ended, in the transaction of what it did. An exception ends it as failed.
    """
    run = _wait_and_start(wait=wait, queued=queued)
    mine = Refresh.objects.filter(pk=run.pk, state=Refresh.State.RUNNING)
    try:
        with leases.extend_periodically(mine, _lease()):
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
    """Let refreshes whose worker is gone fail; return whether one is running."""
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
