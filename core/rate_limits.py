"""Limits per minute, counted in Redis, or by each process alone while Redis is unavailable."""

import threading
from collections import Counter
from datetime import datetime
from typing import Final

from django.conf import settings

from . import redis

COUNTER_SECONDS: Final = 120
MAX_LOCAL_COUNTERS: Final = 100_000  # callers that one process counts in a minute

_lock = threading.Lock()
_counted_here: Counter[str] = Counter()


def throttle_group(group: str, caller: str, at: datetime, count: int = 1) -> int:
    """Count requests in a group of ``API_RATES``. Return 0, or the seconds to wait when the limit is reached."""
    limit: int = settings.API_RATES[group]
    return throttle(f"{group}:{caller}", limit, at, count) if limit else 0


def throttle(caller: str, limit: int, at: datetime, count: int = 1) -> int:
    """Count what a caller does now. Return 0, or the seconds to wait when the limit was reached before.

    A count that exceeds the limit is accepted as a whole if the limit was not reached before. All web processes
    share the count.
    """
    minute = int(at.timestamp()) // 60
    counter = f"limits:{caller}:{minute}"

    def add(client: redis.Client) -> int:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.incrby(counter, count)
            pipeline.expire(counter, COUNTER_SECONDS)
            return int(pipeline.execute()[0])

    so_far = redis.call_redis(add)
    if so_far is None:
        so_far = _count_here(counter, minute, count)
    if so_far - count < limit:
        return 0
    return 60 - int(at.timestamp()) % 60


def _count_here(counter: str, minute: int, count: int) -> int:
    """Count in this process, and drop the counters of other minutes."""
    with _lock:
        if len(_counted_here) >= MAX_LOCAL_COUNTERS or not next(iter(_counted_here), counter).endswith(
            f":{minute}"
        ):
            _counted_here.clear()
        _counted_here[counter] += count
        return _counted_here[counter]
