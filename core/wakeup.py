"""Wake-ups: signals to a worker after a commit. They carry no data, so one that is lost or comes twice does no harm.

What there is to do is in rows. Each wake-up is at most once in the queue; where Redis is away, beat runs the task.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.dispatch import Signal

from .redis import delete_marker, enqueue_once

BEAT_INTERVAL_SECONDS: Final = 60  # seconds
RETRY_AFTER_SECONDS: Final = 1  # seconds, where another worker does the work


@dataclass(frozen=True)
class WakeUp:
    """A task, by its name since tasks import wake-ups and not the reverse, and the marker that says that it waits."""

    task: str
    marker: str

    def request(self, **_: Any) -> None:
        """Send the task unless it waits already; never fails. It can receive a signal."""
        enqueue_once(self.task, self.marker)

    def request_soon(self) -> None:
        """Send the task in a moment. Until then nobody sends one that would find another worker doing the work."""
        enqueue_once(self.task, self.marker, in_seconds=RETRY_AFTER_SECONDS)

    def request_at(self, due: datetime, now: datetime) -> None:
        """Send the task at an instant, unless beat runs it before."""
        seconds = math.ceil((due - now).total_seconds())
        if seconds <= 0:
            self.request()
        elif seconds < BEAT_INTERVAL_SECONDS:
            # The marker names the instant, so that several workers that see it coming send one task.
            enqueue_once(self.task, f"{self.marker}-at-{math.ceil(due.timestamp())}", in_seconds=seconds)

    def acknowledge(self) -> None:
        """Delete the marker as the task starts: what is committed from now on sends the next task.

        To be called once, not in each round of the task: otherwise each round adds a task to the one that waits.
        """
        delete_marker(self.marker)


def notify_on_commit(signal: Signal) -> None:
    """Send a signal once this transaction is committed; a receiver that fails does not undo the commit."""
    transaction.on_commit(lambda: signal.send(sender=None), robust=True)
