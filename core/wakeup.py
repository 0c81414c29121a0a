"""Wake-ups: signals to a worker that it has work to do. Rows hold the work, so a lost or repeated wake-up is harmless.

Each wake-up is in the queue at most once. While Redis is unavailable, beat runs the task.
"""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.dispatch import Signal

from .redis import delete_marker, enqueue_once

BEAT_INTERVAL_SECONDS: Final = 60
RETRY_AFTER_SECONDS: Final = 1  # while another worker does the work


@dataclass(frozen=True)
class WakeUp:
    """A task and the marker that shows that it is queued. The task is a name because tasks import wake-ups."""

    task: str
    marker: str

    def request(self, **_: Any) -> None:
        """Send the task unless it is queued already. Never fails. Can be connected to a signal."""
        enqueue_once(self.task, self.marker)

    def request_soon(self) -> None:
        """Send the task in a moment, while another worker does the work. Until then it is not sent again."""
        enqueue_once(self.task, self.marker, countdown=RETRY_AFTER_SECONDS)

    def request_at(self, due: datetime, now: datetime) -> None:
        """Send the task at an instant, unless beat runs it earlier anyway."""
        seconds = math.ceil((due - now).total_seconds())
        if seconds <= 0:
            self.request()
        elif seconds < BEAT_INTERVAL_SECONDS:
            # The marker names the instant, so that several workers together send one task.
            enqueue_once(self.task, f"{self.marker}-at-{math.ceil(due.timestamp())}", countdown=seconds)

    def acknowledge(self) -> None:
        """Delete the marker when the task starts, so that later commits send it again.

        Call it once per task, not in each round: otherwise each round adds another task to the queue.
        """
        delete_marker(self.marker)


def notify_on_commit(signal: Signal) -> None:
    """Send a signal after this transaction commits. A failing receiver does not affect the commit."""
    transaction.on_commit(lambda: signal.send(sender=None), robust=True)
