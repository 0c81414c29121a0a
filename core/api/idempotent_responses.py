"""Answers kept for a day, for whoever sends the same request again. The only writer of ``IdempotentResponse``."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import QuerySet

from core.db import leases
from core.db.execution import batches
from core.models import IdempotentResponse

RETENTION: Final = timedelta(hours=24)
# Longer than any request takes: one that has begun before was cut off, and has done nothing.
LEASE: Final = timedelta(minutes=5)


class KeyAlreadyUsed(Exception):
    """Another request was sent under the same name."""


class RequestRunning(Exception):
    """The same request is being done right now."""


def claim_request(name: str, request: str, at: datetime) -> IdempotentResponse:
    """Begin a request, or give its answer where there is one; raises Reused and Running.

    ``name`` and ``request`` are digests: of who sends it where under which key, and of what is sent. Whoever begins
    ends with ``keep``, in the transaction of what the request does, or with ``release``.
    """
    kept, is_new = IdempotentResponse.objects.get_or_create(
        name=name, defaults={"request": request, "began_at": at}
    )
    if is_new:
        return kept
    is_running = kept.status is None
    if not leases.is_held(kept.began_at, at, LEASE if is_running else RETENTION):
        return _take_over(kept, request, at)
    if kept.request != request:
        raise KeyAlreadyUsed
    if is_running:
        raise RequestRunning
    return kept


def store_response(begun: IdempotentResponse, status: int, headers: Mapping[str, str], body: str) -> None:
    """Keep an answer; raises Running where somebody has taken the request over meanwhile."""
    if not leases.claim(_begun(begun), status=status, headers=dict(headers), body=body):
        raise RequestRunning


def release_request(begun: IdempotentResponse) -> None:
    """Let a request be sent again as if for the first time."""
    _begun(begun).delete()


def erase_bodies(names: Sequence[str]) -> None:
    """Empty answers that name somebody who is erased; their requests are still done once."""
    for some in batches(names):
        IdempotentResponse.objects.filter(name__in=some).update(headers={}, body="")


def delete_expired_responses(now: datetime) -> int:
    """Delete answers older than a day; give how many."""
    return IdempotentResponse.objects.filter(began_at__lte=now - RETENTION).delete()[0]


def _take_over(old: IdempotentResponse, request: str, at: datetime) -> IdempotentResponse:
    same = IdempotentResponse.objects.filter(name=old.name, began_at=old.began_at, status=old.status)
    if not leases.claim(same, request=request, began_at=at, status=None, headers={}, body=""):
        raise RequestRunning  # of two that come at once the other was first
    return IdempotentResponse(name=old.name, request=request, began_at=at)


def _begun(begun: IdempotentResponse) -> QuerySet[IdempotentResponse]:
    return IdempotentResponse.objects.filter(name=begun.name, began_at=begun.began_at, status=None)
