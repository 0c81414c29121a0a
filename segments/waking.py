"""Real time: a pass is sent for when something was recorded; one may run, and one more wait, never a queue of them.

The mark that one waits is taken away when a worker begins, so that what commits after that sends for the next. It is
taken away once, not at each look: a pass in progress finds what commits meanwhile, and so does the one that waits.
Without Redis, beat catches up.
"""

from typing import Any, Final

from customers import volatile

MARK: Final = "segments:a-pass-waits"
# By name: tasks know of waking, not the other way round.
TASK: Final = "segments.tasks.catch_up"
LOOKED_AGAIN_AFTER: Final = 1  # second, where another refresh runs


def wake(**_: Any) -> None:
    """Send for a pass unless one waits already; never fails, and soon stops trying where Redis is away."""
    volatile.send_once(TASK, MARK)


def wake_soon() -> None:
    """Send for a pass in a moment: until then, nobody sends for one that would only find a refresh running."""
    volatile.send_once(TASK, MARK, in_seconds=LOOKED_AGAIN_AFTER)


def begin() -> None:
    """Take the mark away: from here on, what commits sends for another pass."""
    volatile.begin(MARK)
