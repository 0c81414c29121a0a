"""How often something may be done in a minute: counted in Redis, and by each process for itself where that is away."""

import threading
from collections import Counter
from datetime import datetime
from typing import Final

from django.conf import settings

from . import redis

COUNTER_SECONDS: Final = 120  # seconds
MAX_LOCAL_COUNTERS: Final = 100_000  # callers a minute that one process tells apart

_lock = threading.Lock()
_counted_here: Counter[str] = Counter()


def throttle_group(group: str, who: str, at: datetime, count: int = 1) -> int:
    """Count one request (or more) of a group of ``API_RATES``; return 0, or the seconds until the next may come."""
    most: int = settings.API_RATES[group]
    return throttle(f"{group}:{who}", most, at, count) if most else 0


def throttle(who: str, most: int, at: datetime, count: int = 1) -> int:
    """Count what somebody does now; give 0, or the seconds until they may do so again.

    What finds room at its beginning is taken whole, however low the limit. Web processes share the count, which
    Redis adds up in one step.
    """
    minute = int(at.timestamp()) // 60
    counter = f"limits:{who}:{minute}"

    def add(client: redis.Client) -> int:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.incrby(counter, count)
            pipeline.expire(counter, COUNTER_SECONDS)
            return int(pipeline.execute()[0])

    so_far = redis.call_redis(add)
    if so_far is None:
        so_far = _count_here(counter, minute, count)
    if so_far - count < most:
        return 0
    return 60 - int(at.timestamp()) % 60


def _count_here(counter: str, minute: int, count: int) -> int:
    """Count in this process alone; what is of another minute is forgotten."""
    with _lock:
        if len(_counted_here) >= MAX_LOCAL_COUNTERS or not next(iter(_counted_here), counter).endswith(
            f":{minute}"
        ):
            _counted_here.clear()
        _counted_here[counter] += count
        return _counted_here[counter]
