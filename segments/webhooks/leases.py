"""Leases: claim the messages to send, and record the attempts in ``Attempt`` and ``Message``.

A claim is a lease. If a worker dies, another one sends the message when the lease expires. A worker may record an
attempt as long as no other worker has claimed the message since.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet, prefetch_related_objects
from django.db.models.functions import Coalesce, Greatest

from core.backoff import Backoff
from core.db import leases
from segments.models import Attempt, Change, Endpoint, Message

from . import endpoints
from .signed_requests import Response

LEASE_DURATION: Final = timedelta(minutes=2)
"""Longer than any request can take."""
RETRY_PERIOD: Final = timedelta(days=1)
BACKOFF: Final = Backoff(
    (
        timedelta(seconds=5),
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(hours=2),
        timedelta(hours=5),
        timedelta(hours=10),
    )
)
"""The schedule of Standard Webhooks. The last attempt is made at the end of ``RETRY_PERIOD``."""


@dataclass(frozen=True)
class AttemptResult:
    """A message that was sent, and the response."""

    message: Message
    response: Response


def endpoints_to_serve() -> list[Endpoint]:
    """Return the active endpoints, and those with a test message."""
    tests = Message.objects.waiting().filter(endpoint=OuterRef("pk"), kind=Message.Kind.TEST)
    return list(Endpoint.objects.filter(Q(is_active=True) | Exists(tests)).order_by("pk"))


def claim_messages(endpoint: Endpoint, limit: int, at: datetime) -> list[Message]:
    """Claim the oldest messages that may be sent to an endpoint now."""
    with transaction.atomic():
        due = _sendable_messages().filter(endpoint=endpoint, due_at__lte=at)
        free = due.filter(Q(leased_until=None) | Q(leased_until__lte=at)).order_by("pk")
        claimed = leases.claim_many(
            free,
            limit,
            leased_until=at + LEASE_DURATION,
            attempt_count=F("attempt_count") + 1,
            first_attempt_at=Coalesce("first_attempt_at", at),
        )
    for message in claimed:
        message.endpoint = endpoint
        message.attempt_count += 1
    prefetch_related_objects(claimed, "segment")
    return claimed


def changes_of_messages(messages: Iterable[Message]) -> dict[int, Change]:
    """Return the changes of messages about one customer, by id."""
    return Change.objects.in_bulk({message.first_id for message in messages if message.first_id})


def release_messages(messages: Iterable[Message]) -> None:
    """Undo the claim of messages that were not sent."""
    for message in messages:
        unclaimed_since = Message.objects.waiting().filter(pk=message.pk, attempt_count=message.attempt_count)
        # The message still has the values from before the claim, except for ``attempt_count``.
        unclaimed_since.update(
            leased_until=None,
            attempt_count=message.attempt_count - 1,
            first_attempt_at=message.first_attempt_at,
        )


def record_attempts(results: Sequence[AttemptResult]) -> set[int]:
    """Record attempts and the new states of their messages, unless another worker has claimed these since.

    Return the keys of the endpoints that get no more requests for now.
    """
    held_back = set()
    with transaction.atomic():
        locked = Endpoint.objects.select_for_update().filter(
            pk__in={result.message.endpoint_id for result in results}
        )
        for endpoint in locked.order_by("pk"):
            _record_attempts_of_endpoint(
                endpoint, [result for result in results if result.message.endpoint_id == endpoint.pk]
            )
            if endpoint.held_until or not endpoint.is_active:
                held_back.add(endpoint.pk)
    return held_back


def _record_attempts_of_endpoint(endpoint: Endpoint, results: Sequence[AttemptResult]) -> None:
    stored = {
        message.pk: message
        for message in Message.objects.waiting()
        .select_for_update(of=("self",))
        .filter(pk__in=[result.message.pk for result in results])
    }
    valid = [
        result
        for result in results
        if result.message.pk in stored
        and stored[result.message.pk].attempt_count == result.message.attempt_count
    ]
    has_recovered = endpoints.record_responses(endpoint, [result.response for result in valid])
    Attempt.objects.bulk_create(_new_attempt(stored[result.message.pk], result) for result in valid)
    delivered = [result.message.pk for result in valid if not result.response.problem]
    if delivered:
        done_at = max(result.response.at + result.response.duration for result in valid)
        _messages_by_key(delivered).update(state=Message.State.DELIVERED, leased_until=None, done_at=done_at)
    for result in valid:
        if result.response.problem:
            _schedule_retry(endpoint, stored[result.message.pk], result.response.at)
    if has_recovered:
        # The outage is over: send the waiting messages now, not hours later.
        postponed = Message.objects.waiting().filter(
            endpoint=endpoint, attempt_count__gt=0, leased_until=None
        )
        at = max(result.response.at for result in valid)
        postponed.filter(due_at__gt=at).update(due_at=at)


def _schedule_retry(endpoint: Endpoint, message: Message, at: datetime) -> None:
    """Schedule the next attempt. After a day, give the message up, or stop the endpoint if all messages failed."""
    assert message.first_attempt_at
    last_attempt_at = message.first_attempt_at + RETRY_PERIOD
    if at < last_attempt_at:
        due_at = min(at + BACKOFF.delay(message.attempt_count), last_attempt_at)
        _messages_by_key([message.pk]).update(leased_until=None, due_at=due_at)
    elif message.kind != Message.Kind.TEST and (
        endpoint.failing_since and endpoint.failing_since <= message.first_attempt_at + LEASE_DURATION
    ):
        # No message got through, so this one is not to blame: it stays, and the endpoint is stopped.
        endpoints.stop_endpoint(endpoint, at, reason=endpoints.STOPPED_FAILING)
        _messages_by_key([message.pk]).update(leased_until=None)
    else:
        _messages_by_key([message.pk]).update(state=Message.State.GIVEN_UP, leased_until=None, done_at=at)


def _new_attempt(message: Message, result: AttemptResult) -> Attempt:
    # A response may name a customer who has been erased meanwhile, so it is not stored.
    is_erased = message.customer_id is None and message.kind in (
        Message.Kind.ENTERED,
        Message.Kind.LEFT,
    )
    return Attempt(
        message=message,
        at=result.response.at,
        duration_ms=int(result.response.duration.total_seconds() * 1000),
        status=result.response.status,
        problem=result.response.problem,
        response_text="" if is_erased else result.response.text,
    )


def next_due_at() -> datetime | None:
    """Return when the next message may be sent, which may be in the past. None if no message waits."""
    sendable_at = Greatest(
        "due_at", Coalesce("leased_until", "due_at"), Coalesce("endpoint__held_until", "due_at")
    )
    due: datetime | None = _sendable_messages().aggregate(next=Min(sendable_at))["next"]
    return due


def _sendable_messages() -> QuerySet[Message]:
    return Message.objects.next_in_order().filter(Q(endpoint__is_active=True) | Q(kind=Message.Kind.TEST))


def _messages_by_key(keys: Iterable[int]) -> QuerySet[Message]:
    return Message.objects.filter(pk__in=list(keys))
