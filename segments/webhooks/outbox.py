"""The outbox: messages written from the log of changes. The only one who makes and deletes ``Message``.

The log is written in the transaction of the change, and its ids commit in their order, so each endpoint's position in
it is all there is to remember: what lies behind it is still to be told. Only so many messages of one endpoint wait at
a time. The others wait in the log, where they cost nothing. What becomes of a message: ``segments.webhooks.leases``.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final

from django.db import transaction
from django.db.models import Count, Max, Min, Q, QuerySet

from core.db.locks import acquire
from segments.models import Attempt, Change, Endpoint, Message

from . import endpoints

MAX_WAITING: Final = 10_000
WRITE_BATCH_SIZE: Final = 1_000
DELETE_BATCH_SIZE: Final = 5_000
BULK_CAUSES: Final = (Change.Cause.DEFINITION, Change.Cause.INITIAL)
"""What makes many enter and leave at once: told in one message for each segment and refresh."""


def lock_outbox() -> None:
    """Wait until nobody else writes new messages; the turn ends with the transaction."""
    acquire("webhooks")


# -- From the log


def write_messages(at: datetime) -> None:
    """Write messages of the changes that came since the last time, for each endpoint as many as may wait."""
    newest = endpoints.latest_change_id()
    for endpoint in _endpoints_behind(newest):
        while _write_batch(endpoint.pk, newest, at):
            pass


def has_unwritten_changes() -> bool:
    """Tell whether there are changes to write messages of, and room for these."""
    return any(_free_places(endpoint) > 0 for endpoint in _endpoints_behind(endpoints.latest_change_id()))


def _endpoints_behind(newest: int) -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(is_active=True, position__lt=newest).order_by("pk")


def _free_places(endpoint: Endpoint) -> int:
    """Give how many more messages of an endpoint may wait."""
    return MAX_WAITING - Message.objects.waiting().filter(endpoint=endpoint).count()


def _write_batch(key: int, newest: int, at: datetime) -> bool:
    """Write the next messages of one endpoint; tell whether there may be more to write."""
    with transaction.atomic():
        lock_outbox()
        endpoint = Endpoint.objects.select_for_update().filter(pk=key, is_active=True).first()
        if endpoint is None or (room := min(_free_places(endpoint), WRITE_BATCH_SIZE)) <= 0:
            return False
        log = _changes_for(endpoint).filter(pk__gt=endpoint.position, pk__lte=newest)
        one_by_one = log if endpoint.wants_singles else log.exclude(cause__in=BULK_CAUSES)
        singles = [_change_message(endpoint, change, at) for change in one_by_one.order_by("pk")[:room]]
        reached = singles[-1].last_id or newest if len(singles) == room else newest
        together = Change.objects.none() if endpoint.wants_singles else log.filter(cause__in=BULK_CAUSES)
        summaries = _summary_messages(endpoint, together.filter(pk__lte=reached), at)
        Message.objects.bulk_create(sorted([*singles, *summaries], key=attrgetter("first_id")))
        endpoints.set_position(endpoint, reached)
        return reached < newest


def _changes_for(endpoint: Endpoint) -> QuerySet[Change]:
    """Give the changes that concern an endpoint; of those who are erased the log tells nothing any more."""
    chosen = Q() if endpoint.every_segment else Q(segment__in=endpoint.segments.values("pk"))
    return Change.objects.filter(chosen).exclude(public_id="")


def _change_message(endpoint: Endpoint, change: Change, at: datetime) -> Message:
    is_entering = change.change == Change.Kind.ENTERED
    return Message(
        endpoint=endpoint,
        kind=Message.Kind.ENTERED if is_entering else Message.Kind.LEFT,
        segment_id=change.segment_id,
        customer_id=change.customer_id,
        first_id=change.pk,
        last_id=change.pk,
        written_at=at,
        due_at=at,
    )


def _summary_messages(endpoint: Endpoint, log: QuerySet[Change], at: datetime) -> list[Message]:
    """Write one message for each segment and refresh: how many entered and left, and where to read whom."""
    rows = (
        log.values("segment_id", "refresh_id", "cause")
        .annotate(
            first_id=Min("pk"),
            last_id=Max("pk"),
            at=Max("at"),
            entered=Count("pk", filter=Q(change=Change.Kind.ENTERED)),
            left=Count("pk", filter=Q(change=Change.Kind.LEFT)),
        )
        .order_by()
    )
    return [
        Message(
            endpoint=endpoint,
            kind=Message.Kind.BULK,
            segment_id=row["segment_id"],
            first_id=row["first_id"],
            last_id=row["last_id"],
            summary={
                "at": row["at"].isoformat().replace("+00:00", "Z"),
                "cause": row["cause"],
                "entered": row["entered"],
                "left": row["left"],
            },
            written_at=at,
            due_at=at,
        )
        for row in rows
    ]


def write_test_message(endpoint: Endpoint, at: datetime) -> Message:
    """Write a message that tells of nothing, to try the endpoint out with, also where it is paused."""
    return Message.objects.create(endpoint=endpoint, kind=Message.Kind.TEST, written_at=at, due_at=at)


def replay_changes(endpoint: Endpoint, first: int) -> None:
    """Tell again of a change, by its id, and of all after it. Raises ValueError where that has not been told yet."""
    with transaction.atomic():
        lock_outbox()
        locked = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        if not 1 <= first <= locked.position:
            raise ValueError(f"give an id between 1 and {locked.position}")
        # They are written anew; one that is on its way just now comes before its repetition.
        waiting = Message.objects.waiting().filter(endpoint=locked, first_id__gte=first, leased_until=None)
        _delete(waiting)
        endpoints.set_position(locked, first - 1)


def resume_endpoint(endpoint: Endpoint, at: datetime, *, skip: bool) -> None:
    """Go on telling an endpoint that was paused or stopped: of all that waits, or only of what comes from now on."""
    with transaction.atomic():
        lock_outbox()
        locked = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        waiting = Message.objects.waiting().filter(endpoint=locked)
        if skip:
            _delete(waiting)
            endpoints.set_position(locked, endpoints.latest_change_id())
        else:
            waiting.update(tries=0, first_tried_at=None, due_at=at)
        endpoints.activate_endpoint(locked)


def delete_endpoint(endpoint: Endpoint, at: datetime) -> None:
    """Delete an endpoint with all that it was told."""
    endpoints.pause_endpoint(endpoint, at)  # from here on nobody writes it any more
    _delete_in_batches(Message.objects.filter(endpoint=endpoint).order_by("pk"))
    endpoint.delete()


# -- What is kept


def forget_customers(customers: Sequence[int]) -> None:
    """Delete what was told, or was to be told, of customers named by their keys, with what was answered.

    To be called when the log has forgotten them. Leavings that it still names are told, and one that a worker is
    sending just now stays, naming nobody; what is answered to it is not kept.
    """
    messages = Message.objects.filter(customer__in=customers)
    # Locked before the attempts are looked for: none is added then.
    rows = dict(messages.select_for_update(of=("self",)).values_list("pk", "leased_until"))
    on_their_way = {key for key, leased_until in rows.items() if leased_until}
    leavings = Change.objects.filter(customer=None, change=Change.Kind.LEFT).exclude(public_id="")
    to_be_told = messages.waiting().filter(first_id__in=leavings.values("pk"))
    kept = on_their_way | set(to_be_told.values_list("pk", flat=True))
    Attempt.objects.filter(message__in=kept).delete()
    _messages_by_key(kept).update(customer=None)
    _delete(_messages_by_key(rows.keys() - kept))


def withdraw_messages(messages: Iterable[Message]) -> None:
    """Delete messages that have nothing to say any more."""
    _delete(_messages_by_key(message.pk for message in messages))


def forget_old_messages(before: datetime) -> int:
    """Delete messages that were delivered or given up before an instant; give how many those were."""
    return _delete_in_batches(Message.objects.filter(done_at__lt=before).order_by("done_at"))


def _messages_by_key(keys: Iterable[int]) -> QuerySet[Message]:
    return Message.objects.filter(pk__in=list(keys))


def _delete_in_batches(messages: QuerySet[Message]) -> int:
    deleted = 0
    while keys := list(messages.values_list("pk", flat=True)[:DELETE_BATCH_SIZE]):
        _delete(_messages_by_key(keys))
        deleted += len(keys)
    return deleted


def _delete(messages: QuerySet[Message]) -> None:
    """Delete messages with their attempts."""
    keys = list(messages.values_list("pk", flat=True))
    with transaction.atomic():
        Attempt.objects.filter(message__in=keys).delete()
        _messages_by_key(keys).delete()
