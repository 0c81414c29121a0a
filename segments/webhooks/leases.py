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


def claim_messages(endpoint: Endpoint, most: int, at: datetime) -> list[Message]:
    """Claim the oldest messages that may be sent to an endpoint now."""
    with transaction.atomic():
        due = _sendable_messages().filter(endpoint=endpoint, due_at__lte=at)
        free = due.filter(Q(leased_until=None) | Q(leased_until__lte=at)).order_by("pk")
        claimed = leases.claim_many(
            free,
            most,
            leased_until=at + LEASE_DURATION,
            tries=F("tries") + 1,
            first_tried_at=Coalesce("first_tried_at", at),
        )
    for message in claimed:
        message.endpoint = endpoint
        message.tries += 1
    prefetch_related_objects(claimed, "segment")
    return claimed


def changes_of_messages(messages: Iterable[Message]) -> dict[int, Change]:
    """Return the changes of messages about one customer, by id."""
    return Change.objects.in_bulk({message.first_id for message in messages if message.first_id})


def release_messages(messages: Iterable[Message]) -> None:
    """Undo the claim of messages that were not sent."""
    for message in messages:
        ours = Message.objects.waiting().filter(pk=message.pk, tries=message.tries)
        # The message still has the values from before the claim, except for ``tries``.
        ours.update(leased_until=None, tries=message.tries - 1, first_tried_at=message.first_tried_at)


def record_attempts(results: Sequence[AttemptResult]) -> set[int]:
    """Record attempts and the new states of their messages, unless another worker has claimed these since.

    Return the keys of the endpoints that get no more requests for now.
    """
    held_back = set()
    with transaction.atomic():
        concerned = Endpoint.objects.select_for_update().filter(
            pk__in={one.message.endpoint_id for one in results}
        )
        for endpoint in concerned.order_by("pk"):
            _record_attempts_of_endpoint(
                endpoint, [one for one in results if one.message.endpoint_id == endpoint.pk]
            )
            if endpoint.held_until or not endpoint.is_active:
                held_back.add(endpoint.pk)
    return held_back


def _record_attempts_of_endpoint(endpoint: Endpoint, results: Sequence[AttemptResult]) -> None:
    stored = {
        message.pk: message
        for message in Message.objects.waiting()
        .select_for_update(of=("self",))
        .filter(pk__in=[one.message.pk for one in results])
    }
    ours = [
        one
        for one in results
        if one.message.pk in stored and stored[one.message.pk].tries == one.message.tries
    ]
    has_recovered = endpoints.record_responses(endpoint, [one.response for one in ours])
    Attempt.objects.bulk_create(_new_attempt(stored[one.message.pk], one) for one in ours)
    delivered = [one.message.pk for one in ours if not one.response.problem]
    if delivered:
        done_at = max(one.response.at + one.response.took for one in ours)
        _messages_by_key(delivered).update(state=Message.State.DELIVERED, leased_until=None, done_at=done_at)
    for one in ours:
        if one.response.problem:
            _schedule_retry(endpoint, stored[one.message.pk], one.response.at)
    if has_recovered:
        # The outage is over: send the waiting messages now, not hours later.
        late = Message.objects.waiting().filter(endpoint=endpoint, tries__gt=0, leased_until=None)
        now = max(one.response.at for one in ours)
        late.filter(due_at__gt=now).update(due_at=now)


def _schedule_retry(endpoint: Endpoint, message: Message, at: datetime) -> None:
    """Schedule the next attempt. After a day, give the message up, or stop the endpoint if all messages failed."""
    assert message.first_tried_at
    last_try = message.first_tried_at + RETRY_PERIOD
    if at < last_try:
        due_at = min(at + BACKOFF.delay(message.tries), last_try)
        _messages_by_key([message.pk]).update(leased_until=None, due_at=due_at)
    elif message.kind != Message.Kind.TEST and (
        endpoint.failing_since and endpoint.failing_since <= message.first_tried_at + LEASE_DURATION
    ):
        # No message got through, so this one is not to blame: it stays, and the endpoint is stopped.
        endpoints.stop_endpoint(endpoint, at, because=endpoints.STOPPED_FAILING)
        _messages_by_key([message.pk]).update(leased_until=None)
    else:
        _messages_by_key([message.pk]).update(state=Message.State.GIVEN_UP, leased_until=None, done_at=at)


def _new_attempt(message: Message, result: AttemptResult) -> Attempt:
    # A response may name a customer who has been erased meanwhile, so it is not stored.
    is_about_nobody = message.customer_id is None and message.kind in (
        Message.Kind.ENTERED,
        Message.Kind.LEFT,
    )
    return Attempt(
        message=message,
        at=result.response.at,
        took=int(result.response.took.total_seconds() * 1000),
        status=result.response.status,
        problem=result.response.problem,
        answer="" if is_about_nobody else result.response.text,
    )


def next_due_at() -> datetime | None:
    """Return when the next message may be sent, which may be in the past. None if no message waits."""
    when = Greatest("due_at", Coalesce("leased_until", "due_at"), Coalesce("endpoint__held_until", "due_at"))
    due: datetime | None = _sendable_messages().aggregate(next=Min(when))["next"]
    return due


def _sendable_messages() -> QuerySet[Message]:
    return Message.objects.next_in_order().filter(Q(endpoint__is_active=True) | Q(kind=Message.Kind.TEST))


def _messages_by_key(keys: Iterable[int]) -> QuerySet[Message]:
    return Message.objects.filter(pk__in=list(keys))
