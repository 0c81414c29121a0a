"""Responses that are stored for a day, for repeated requests. The only writer of ``IdempotentResponse``."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db.models import QuerySet

from core.db import leases
from core.db.execution import batches
from core.models import IdempotentResponse

RETENTION: Final = timedelta(hours=24)
# Longer than any request takes: an older one was cut off and rolled back.
LEASE: Final = timedelta(minutes=5)


class KeyAlreadyUsed(Exception):
    """Another request was sent under the same name."""


class RequestRunning(Exception):
    """The same request is still running."""


def claim_request(name: str, request: str, at: datetime) -> IdempotentResponse:
    """Claim a request, or return its stored response. Raises KeyAlreadyUsed and RequestRunning.

    ``name`` is a digest of the caller, the URL and the key, ``request`` one of the content. End each claim with
    ``store_response``, in the transaction of the request, or with ``release_request``.
    """
    stored, is_new = IdempotentResponse.objects.get_or_create(
        name=name, defaults={"request": request, "began_at": at}
    )
    if is_new:
        return stored
    is_running = stored.status is None
    if not leases.is_held(stored.began_at, at, LEASE if is_running else RETENTION):
        return _take_over(stored, request, at)
    if stored.request != request:
        raise KeyAlreadyUsed
    if is_running:
        raise RequestRunning
    return stored


def store_response(claimed: IdempotentResponse, status: int, headers: Mapping[str, str], body: str) -> None:
    """Store a response. Raises RequestRunning if another process has taken over the request meanwhile."""
    if not leases.claim(_claimed_queryset(claimed), status=status, headers=dict(headers), body=body):
        raise RequestRunning


def release_request(claimed: IdempotentResponse) -> None:
    """Delete a claim, so that the request can be sent again."""
    _claimed_queryset(claimed).delete()


def erase_bodies(names: Sequence[str]) -> None:
    """Empty responses that contain data of an erased customer. Their requests are still executed only once."""
    for batch in batches(names):
        IdempotentResponse.objects.filter(name__in=batch).update(headers={}, body="")


def delete_expired_responses(at: datetime) -> int:
    """Delete expired responses and return how many."""
    return IdempotentResponse.objects.filter(began_at__lte=at - RETENTION).delete()[0]


def _take_over(old: IdempotentResponse, request: str, at: datetime) -> IdempotentResponse:
    same = IdempotentResponse.objects.filter(name=old.name, began_at=old.began_at, status=old.status)
    if not leases.claim(same, request=request, began_at=at, status=None, headers={}, body=""):
        raise RequestRunning  # another process was faster
    return IdempotentResponse(name=old.name, request=request, began_at=at)


def _claimed_queryset(claimed: IdempotentResponse) -> QuerySet[IdempotentResponse]:
    return IdempotentResponse.objects.filter(name=claimed.name, began_at=claimed.began_at, status=None)
