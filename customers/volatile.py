"""Redis, for what may get lost: marks and counts. Where it is away nobody waits for it, and nobody fails.

A task of a kind is sent for by many, and waits once: a mark says so from the moment it is sent until it begins. The
mark ends by itself, should the task get lost; while the task still stands in the queue, no other one joins it.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final, TypeVar, cast

import redis
import structlog
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError
from redis.backoff import NoBackoff
from redis.retry import Retry

log = structlog.get_logger(__name__)

LOST_AFTER: Final = 60  # seconds until a mark ends by itself, should the message it stands for get lost
QUIET_FOR: Final = 30  # seconds in which a Redis that did not answer is not asked again

Client = redis.Redis
Answer = TypeVar("Answer")
_quiet_until = 0.0


def ask(question: Callable[[Client], Answer]) -> Answer | None:
    """Ask Redis something; None where it is away."""
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return None
    try:
        return question(_redis())
    except (redis.RedisError, OperationalError) as error:
        _quiet_until = time.monotonic() + QUIET_FOR
        # A command beside no installation has no Redis to miss.
        tell = log.warning if settings.REDIS_IS_CONFIGURED else log.debug
        tell("redis_is_away", error=str(error))
        return None


def send_once(task: str, mark: str, *, in_seconds: int = 0) -> None:
    """Send for a task by its name, now or later, unless one waits already."""

    def send(client: Client) -> None:
        if client.set(mark, 1, nx=True, ex=LOST_AFTER + in_seconds) and not _waits(client, task):
            # Who sends is in the middle of a request: another one will send again.
            current_app.send_task(task, countdown=in_seconds, retry=False)

    ask(send)


def is_first(mark: str) -> bool:
    """Set a mark that ends by itself; tell whether it was not set, also where Redis is away."""
    return ask(lambda client: bool(client.set(mark, 1, nx=True, ex=LOST_AFTER))) is not False


def _waits(client: Client, task: str) -> bool:
    """Tell whether a task stands in the queue for a worker to take now: its mark has ended before its turn came."""
    for message in cast("list[bytes]", client.lrange(current_app.conf.task_default_queue, 0, -1)):
        headers = json.loads(message).get("headers", {})
        # One that expires may never run, and one with an instant is for later.
        if headers.get("task") == task and not headers.get("expires") and not headers.get("eta"):
            return True
    return False


def begin(mark: str) -> None:
    """Take the mark away as the task begins, once: from here on, what commits sends for the next.

    Not at each look of the task: one that waits already would be joined by another each time.
    """
    try:
        _redis().delete(mark)
    except redis.RedisError as error:
        log.warning("the_mark_stays", error=str(error))


@contextmanager
def held(mark: str, seconds: int) -> Iterator[bool]:
    """Hold a mark for the block, and tell whether nobody else did; it ends by itself after so many seconds.

    For politeness alone: where Redis is away, everybody holds it.
    """
    token = secrets.token_hex(8)
    is_ours = ask(lambda client: bool(client.set(mark, token, nx=True, ex=seconds))) is not False
    try:
        yield is_ours
    finally:
        if is_ours:
            ask(lambda client: client.get(mark) == token.encode() and client.delete(mark))


def hold_on(mark: str, seconds: int) -> None:
    """Let a mark that is held end so many seconds from now."""
    ask(lambda client: client.expire(mark, seconds))


@cache
def _redis() -> Client:
    # A request waits for it: better no answer than a late one. Tried again once, where a connection has grown old.
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1, retry=Retry(NoBackoff(), retries=1)
    )
