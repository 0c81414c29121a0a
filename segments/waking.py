"""Real time: a pass is sent for when something was recorded; one may run, and one more wait, never a queue of them.

The mark that one waits is a key in Redis. It is taken away when a worker begins, so that what commits after that
sends for the next; and it ends by itself, should the message get lost. Without Redis, beat catches up.
"""

import time
from functools import cache
from typing import Any, Final

import redis
import structlog
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

log = structlog.get_logger(__name__)

MARK: Final = "segments:a-pass-waits"
LOST_AFTER: Final = 60  # seconds
QUIET_FOR: Final = 30  # seconds in which a Redis that did not answer is not asked again

_quiet_until = 0.0


def wake(**_: Any) -> None:
    """Send for a pass unless one waits already; never fails, and soon stops trying where Redis is away."""
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        if _redis().set(MARK, 1, nx=True, ex=LOST_AFTER):
            # By name: tasks know of waking, not the other way round.
            current_app.send_task("segments.tasks.catch_up")
    except (redis.RedisError, OperationalError) as error:
        _quiet_until = time.monotonic() + QUIET_FOR
        log.warning("no_pass_was_sent_for", error=str(error))


def begin() -> None:
    """Take the mark away: from here on, what commits sends for another pass."""
    try:
        _redis().delete(MARK)
    except redis.RedisError as error:
        log.warning("the_mark_stays", error=str(error))


@cache
def _redis() -> "redis.Redis":
    # Ingestion waits for it: better no call than a long one.
    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1)
