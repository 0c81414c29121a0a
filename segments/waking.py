"""Real time: a pass is sent for when something was recorded; one may run, and one more wait, never a queue of them.

The mark that one waits is taken away when a worker begins, so that what commits after that sends for the next.
Without Redis, beat catches up.
"""

from typing import Any, Final

from customers import volatile

MARK: Final = "segments:a-pass-waits"


def wake(**_: Any) -> None:
    """Send for a pass unless one waits already; never fails, and soon stops trying where Redis is away."""
    # By name: tasks know of waking, not the other way round.
    volatile.send_once("segments.tasks.catch_up", MARK)


def begin() -> None:
    """Take the mark away: from here on, what commits sends for another pass."""
    volatile.begin(MARK)
