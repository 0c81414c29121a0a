"""When somebody is sent to deliver: after each commit of changes, when a message is due again, and by beat.

Without Redis, beat alone does it, each minute.
"""

import math
from datetime import datetime
from typing import Any, Final

from customers import volatile
from segments.models import Endpoint

MARK: Final = "webhooks:a-run-waits"
# By name: tasks know of waking, not the other way round.
TASK: Final = "segments.tasks.deliver_webhooks"
BEAT_COMES_WITHIN: Final = 60  # seconds


def wake_if_somebody_listens(**_: Any) -> None:
    """Send for a run unless nobody would be told."""
    if Endpoint.objects.filter(is_active=True).exists():
        wake()


def wake() -> None:
    """Send for a run unless one waits already."""
    volatile.send_once(TASK, MARK)


def wake_at(due: datetime, now: datetime) -> None:
    """Send for a run at an instant, unless beat comes before."""
    seconds = math.ceil((due - now).total_seconds())
    if seconds <= 0:
        wake()
    elif seconds < BEAT_COMES_WITHIN:
        # Named for its instant, so that several who see it coming send one.
        volatile.send_once(TASK, f"{MARK}-at-{math.ceil(due.timestamp())}", in_seconds=seconds)


def begin() -> None:
    """Take the mark away: from here on, what commits sends for another run."""
    volatile.begin(MARK)
