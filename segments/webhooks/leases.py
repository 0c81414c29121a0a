"""Claims: which messages are sent now, and what becomes of them. The only writer of ``Attempt`` and of their state.

A claim is a lease: the message of a worker that died is sent again by another once it is over. What a worker records
counts as long as nobody else has claimed the message since.
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
"""Longer than any request takes."""
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
"""The schedule of Standard Webhooks; a last try is made when the day is over."""


@dataclass(frozen=True)
class AttemptResult:
    """A message that was claimed and sent, and what was answered."""

    message: Message
    answer: Response


def endpoints_to_serve() -> list[Endpoint]:
    """Give the endpoints that something may be sent to."""
    tests = Message.objects.waiting().filter(endpoint=OuterRef("pk"), kind=Message.Kind.TEST)
    return list(Endpoint.objects.filter(Q(is_active=True) | Exists(tests)).order_by("pk"))


def claim_messages(endpoint: Endpoint, most: int, at: datetime) -> list[Message]:
    """Take the oldest messages that may be sent to an endpoint now, for the length of a lease."""
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
    """Give the changes that messages for single customers tell of, by id."""
    return Change.objects.in_bulk({message.first_id for message in messages if message.first_id})


def release_messages(messages: Iterable[Message]) -> None:
    """Give back messages that were claimed and not sent."""
    for message in messages:
        ours = Message.objects.waiting().filter(pk=message.pk, tries=message.tries)
        # As it was before the claim, which the message does not know of but for its number.
        ours.update(leased_until=None, tries=message.tries - 1, first_tried_at=message.first_tried_at)


def record_attempts(tried: Sequence[AttemptResult]) -> set[int]:
    """Keep what was answered, and what becomes of the messages; of those claimed by others since, nothing.

    Gives the keys of the endpoints that nothing more is to be sent to for now.
    """
    troubled = set()
    with transaction.atomic():
        concerned = Endpoint.objects.select_for_update().filter(
            pk__in={one.message.endpoint_id for one in tried}
        )
        for endpoint in concerned.order_by("pk"):
            _record_attempts_of_endpoint(
                endpoint, [one for one in tried if one.message.endpoint_id == endpoint.pk]
            )
            if endpoint.held_until or not endpoint.is_active:
                troubled.add(endpoint.pk)
    return troubled


def _record_attempts_of_endpoint(endpoint: Endpoint, tried: Sequence[AttemptResult]) -> None:
    stored = {
        message.pk: message
        for message in Message.objects.waiting()
        .select_for_update(of=("self",))
        .filter(pk__in=[one.message.pk for one in tried])
    }
    ours = [
        one for one in tried if one.message.pk in stored and stored[one.message.pk].tries == one.message.tries
    ]
    is_back = endpoints.record_responses(endpoint, [one.answer for one in ours])
    Attempt.objects.bulk_create(_new_attempt(stored[one.message.pk], one) for one in ours)
    delivered = [one.message.pk for one in ours if not one.answer.problem]
    if delivered:
        done_at = max(one.answer.at + one.answer.took for one in ours)
        _messages_by_key(delivered).update(state=Message.State.DELIVERED, leased_until=None, done_at=done_at)
    for one in ours:
        if one.answer.problem:
            _schedule_retry(endpoint, stored[one.message.pk], one.answer.at)
    if is_back:
        # Nobody waits for hours because of an outage that is over.
        late = Message.objects.waiting().filter(endpoint=endpoint, tries__gt=0, leased_until=None)
        now = max(one.answer.at for one in ours)
        late.filter(due_at__gt=now).update(due_at=now)


def _schedule_retry(endpoint: Endpoint, message: Message, at: datetime) -> None:
    """Say when a message is tried again; after a day give it up, unless the endpoint takes no other either."""
    assert message.first_tried_at
    last_try = message.first_tried_at + RETRY_PERIOD
    if at < last_try:
        due_at = min(at + BACKOFF.delay(message.tries), last_try)
        _messages_by_key([message.pk]).update(leased_until=None, due_at=due_at)
    elif message.kind != Message.Kind.TEST and (
        endpoint.failing_since and endpoint.failing_since <= message.first_tried_at + LEASE_DURATION
    ):
        # It is not this message: nothing got through. It stays, and so does what comes after it.
        endpoints.stop_endpoint(endpoint, at, because=endpoints.STOPPED_FAILING)
        _messages_by_key([message.pk]).update(leased_until=None)
    else:
        _messages_by_key([message.pk]).update(state=Message.State.GIVEN_UP, leased_until=None, done_at=at)


def _new_attempt(message: Message, tried: AttemptResult) -> Attempt:
    # Whoever is erased is not to be named by what somebody else has answered.
    is_about_nobody = message.customer_id is None and message.kind in (
        Message.Kind.ENTERED,
        Message.Kind.LEFT,
    )
    return Attempt(
        message=message,
        at=tried.answer.at,
        took=int(tried.answer.took.total_seconds() * 1000),
        status=tried.answer.status,
        problem=tried.answer.problem,
        answer="" if is_about_nobody else tried.answer.text,
    )


def next_due_at() -> datetime | None:
    """Give when the next message may be sent, which may be now or in the past; None where none waits."""
    when = Greatest("due_at", Coalesce("leased_until", "due_at"), Coalesce("endpoint__held_until", "due_at"))
    due: datetime | None = _sendable_messages().aggregate(next=Min(when))["next"]
    return due


def _sendable_messages() -> QuerySet[Message]:
    return Message.objects.next_in_order().filter(Q(endpoint__is_active=True) | Q(kind=Message.Kind.TEST))


def _messages_by_key(keys: Iterable[int]) -> QuerySet[Message]:
    return Message.objects.filter(pk__in=list(keys))
