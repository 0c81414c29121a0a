"""A run of the campaigns is sent for when members changed: one may run, and one more wait. Without Redis, beat does."""

from typing import Any, Final

from customers import volatile

MARK: Final = "campaigns:a-run-waits"


def wake(**_: Any) -> None:
    """Send for a run unless one waits already; never fails, and soon stops trying where Redis is away."""
    # By name: tasks know of waking, not the other way round.
    volatile.send_once("campaigns.tasks.carry_out", MARK)


def begin() -> None:
    """Take the mark away: from here on, what commits sends for another run."""
    volatile.begin(MARK)
