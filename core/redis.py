"""Redis, for data that may be lost: markers and counters. While Redis is unavailable, nothing waits and nothing fails.

``enqueue_once`` keeps a task in the queue at most once. A marker shows that it is queued, from sending to start. The
marker expires in case the task is lost. A task that is still queued then is not sent again.
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

MARKER_SECONDS: Final = 60  # in case the task is lost
PAUSE_AFTER_FAILURE_SECONDS: Final = 30  # in which Redis is not tried again

Client = redis.Redis
Result = TypeVar("Result")
_not_tried_until: dict[str, float] = {}  # by URL, in monotonic seconds


def call_redis(command: Callable[[Client], Result]) -> Result | None:
    """Run a command and return its result, or None while Redis is unavailable."""
    url = settings.REDIS_URL
    if time.monotonic() < _not_tried_until.get(url, 0.0):
        return None
    try:
        return command(_client(url))
    except (redis.RedisError, OperationalError) as error:
        _not_tried_until[url] = time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS
        # A management command that runs outside of an installation does not need Redis.
        log_event = log.warning if settings.REDIS_IS_CONFIGURED else log.debug
        log_event("redis_unavailable", error=str(error))
        return None


def enqueue_once(task: str, marker: str, *, countdown: int = 0) -> None:
    """Send a task by its name unless it is queued already. ``countdown`` is in seconds."""

    def send(client: Client) -> None:
        if _set_marker(client, marker, MARKER_SECONDS + countdown) and not _is_queued(client, task):
            # No retry: the caller may be a web request, and the next one sends the task anyway.
            current_app.send_task(task, countdown=countdown, retry=False)

    call_redis(send)


def set_marker(marker: str) -> bool:
    """Set a marker that expires. Return whether it was unset; True also while Redis is unavailable."""
    return call_redis(lambda client: _set_marker(client, marker, MARKER_SECONDS)) is not False


def delete_marker(marker: str) -> None:
    """Delete a marker. Tries Redis even if it did not answer a moment ago."""
    try:
        _client(settings.REDIS_URL).delete(marker)
    except redis.RedisError as error:
        log.warning("marker_not_deleted", error=str(error))


@contextmanager
def hold(marker: str, seconds: int) -> Iterator[bool]:
    """Hold a marker during the block. Yields whether nobody else holds it.

    This saves work but is no lock: while Redis is unavailable, everybody holds it. The marker expires after
    ``seconds``.
    """
    token = secrets.token_hex(8)
    is_ours = call_redis(lambda client: _set_marker(client, marker, seconds, token)) is not False
    try:
        yield is_ours
    finally:
        if is_ours:
            call_redis(lambda client: client.get(marker) == token.encode() and client.delete(marker))


def extend_hold(marker: str, seconds: int) -> None:
    """Let a marker that is held expire ``seconds`` from now."""
    call_redis(lambda client: client.expire(marker, seconds))


def connect(url: str, timeout: float, *, retries: int) -> Client:
    """Return a client. ``timeout`` is in seconds, for connecting and for each command."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=timeout,
        socket_timeout=timeout,
        retry=Retry(NoBackoff(), retries=retries),
    )


def _set_marker(client: Client, marker: str, seconds: int, value: str = "1") -> bool:
    return bool(client.set(marker, value, nx=True, ex=seconds))


def _is_queued(client: Client, task: str) -> bool:
    """Return whether the task is in the queue although its marker has expired."""
    for message in cast("list[bytes]", client.lrange(current_app.conf.task_default_queue, 0, -1)):
        headers = json.loads(message).get("headers", {})
        # A task that expires may never run, and one with an eta is for later.
        if headers.get("task") == task and not headers.get("expires") and not headers.get("eta"):
            return True
    return False


@cache
def _client(url: str) -> Client:
    # Requests wait for it, so the timeout is short. One retry, as a pooled connection may have been closed.
    return connect(url, 1, retries=1)
