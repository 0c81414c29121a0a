"""Redis, for what may get lost: markers and counts. Where Redis is away, nobody waits for it and nothing fails.

A task that many send is to wait in the queue once. A marker says that it waits, from the moment it is sent until it
starts. The marker expires, in case the task gets lost; while the task is still in the queue, it is not sent again.
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

MARKER_SECONDS: Final = 60  # seconds, in case the task it stands for gets lost
PAUSE_AFTER_FAILURE_SECONDS: Final = 30  # seconds after Redis did not answer

Client = redis.Redis
Result = TypeVar("Result")
_not_tried_until: dict[str, float] = {}  # by URL, in monotonic seconds


def call_redis(command: Callable[[Client], Result]) -> Result | None:
    """Return what a command returns; None where Redis is away."""
    url = settings.REDIS_URL
    if time.monotonic() < _not_tried_until.get(url, 0.0):
        return None
    try:
        return command(_client(url))
    except (redis.RedisError, OperationalError) as error:
        _not_tried_until[url] = time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS
        # A management command that runs outside of an installation does not need Redis.
        tell = log.warning if settings.REDIS_IS_CONFIGURED else log.debug
        tell("redis_is_away", error=str(error))
        return None


def enqueue_once(task: str, marker: str, *, in_seconds: int = 0) -> None:
    """Send a task by its name, now or later, unless it waits already."""

    def send(client: Client) -> None:
        if _set_marker(client, marker, MARKER_SECONDS + in_seconds) and not _is_queued(client, task):
            # The sender may be in the middle of a request: another one will send again.
            current_app.send_task(task, countdown=in_seconds, retry=False)

    call_redis(send)


def set_marker(marker: str) -> bool:
    """Set a marker that expires; return whether it was not set, which is also true where Redis is away."""
    return call_redis(lambda client: _set_marker(client, marker, MARKER_SECONDS)) is not False


def delete_marker(marker: str) -> None:
    """Delete a marker, also soon after Redis was away."""
    try:
        _client(settings.REDIS_URL).delete(marker)
    except redis.RedisError as error:
        log.warning("marker_not_deleted", error=str(error))


@contextmanager
def hold(marker: str, seconds: int) -> Iterator[bool]:
    """Hold a marker during the block; the value is whether nobody else held it. It expires after so many seconds.

    It saves work and is no lock: where Redis is away, everybody holds it.
    """
    token = secrets.token_hex(8)
    is_ours = call_redis(lambda client: _set_marker(client, marker, seconds, token)) is not False
    try:
        yield is_ours
    finally:
        if is_ours:
            call_redis(lambda client: client.get(marker) == token.encode() and client.delete(marker))


def extend_hold(marker: str, seconds: int) -> None:
    """Let a marker that is held expire so many seconds from now."""
    call_redis(lambda client: client.expire(marker, seconds))


def connect(url: str, timeout: float, *, retries: int) -> Client:
    """Return a client that gives up after a time, in seconds."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=timeout,
        socket_timeout=timeout,
        retry=Retry(NoBackoff(), retries=retries),
    )


def _set_marker(client: Client, marker: str, seconds: int, value: str = "1") -> bool:
    return bool(client.set(marker, value, nx=True, ex=seconds))


def _is_queued(client: Client, task: str) -> bool:
    """Return whether a worker can take the task from the queue now, although its marker has expired."""
    for message in cast("list[bytes]", client.lrange(current_app.conf.task_default_queue, 0, -1)):
        headers = json.loads(message).get("headers", {})
        # A task that expires may never run, and one with an eta is for later.
        if headers.get("task") == task and not headers.get("expires") and not headers.get("eta"):
            return True
    return False


@cache
def _client(url: str) -> Client:
    # A request waits for it, so the timeout is short. One retry, since a kept connection may be closed by now.
    return connect(url, 1, retries=1)
