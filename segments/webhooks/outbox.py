"""The outbox: messages written from the change log. Only this module creates ``Message``, and deletes old messages.

Changes are logged in the transaction that makes them, and their ids commit in order. So each endpoint needs only a
cursor in the log: the changes after it have no message yet. At most ``MAX_WAITING`` messages of an endpoint wait at a
time; later changes wait in the log, where they cost nothing.
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
"""Causes that move many customers at once. They get one summary for each segment and refresh."""


def lock_outbox() -> None:
    """Lock the outbox for writing until the end of the transaction."""
    acquire("webhooks")


# -- Writing messages


def write_messages(at: datetime) -> None:
    """Write messages for new changes, as many as may wait for each endpoint."""
    until = Change.objects.latest_id()
    for endpoint in _endpoints_behind(until):
        while _write_batch(endpoint.pk, until, at):
            pass


def has_unwritten_changes() -> bool:
    """Return whether there are changes without a message, of an endpoint whose outbox is not full."""
    return any(_free_capacity(endpoint) > 0 for endpoint in _endpoints_behind(Change.objects.latest_id()))


def _endpoints_behind(change_id: int) -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(is_active=True, cursor__lt=change_id).order_by("pk")


def _free_capacity(endpoint: Endpoint) -> int:
    """Return how many more messages of an endpoint may wait."""
    return MAX_WAITING - Message.objects.waiting().filter(endpoint=endpoint).count()


def _write_batch(endpoint_id: int, until: int, at: datetime) -> bool:
    """Write the next messages of one endpoint. Return whether there may be more to write."""
    with transaction.atomic():
        lock_outbox()
        endpoint = Endpoint.objects.select_for_update().filter(pk=endpoint_id, is_active=True).first()
        if endpoint is None or (limit := min(_free_capacity(endpoint), WRITE_BATCH_SIZE)) <= 0:
            return False
        unread = _changes_for(endpoint).filter(pk__gt=endpoint.cursor, pk__lte=until)
        single = unread if endpoint.without_summaries else unread.exclude(cause__in=BULK_CAUSES)
        messages = [_change_message(endpoint, change, at) for change in single.order_by("pk")[:limit]]
        cursor = messages[-1].last_id or until if len(messages) == limit else until
        if not endpoint.without_summaries:
            bulk = unread.filter(cause__in=BULK_CAUSES, pk__lte=cursor)
            messages += _summary_messages(endpoint, bulk, at)
        Message.objects.bulk_create(sorted(messages, key=attrgetter("first_id")))
        endpoints.set_cursor(endpoint, cursor)
        return cursor < until


def _changes_for(endpoint: Endpoint) -> QuerySet[Change]:
    """Return the changes that an endpoint gets. Changes of erased customers have no id, and are left out."""
    chosen = Q() if endpoint.every_segment else Q(segment__in=endpoint.segments.values("pk"))
    return Change.objects.filter(chosen).exclude(public_id="")


def _change_message(endpoint: Endpoint, change: Change, at: datetime) -> Message:
    is_entering = change.change == Change.Kind.ENTERED
    return Message(
        endpoint=endpoint,
        kind=Message.Kind.ENTERED if is_entering else Message.Kind.LEFT,
        segment_id=change.segment_id,
        customer_id=None if change.names_erased else change.customer_id,
        first_id=change.pk,
        last_id=change.pk,
        written_at=at,
        due_at=at,
    )


def _summary_messages(endpoint: Endpoint, changes: QuerySet[Change], at: datetime) -> list[Message]:
    """Return one summary for each segment and refresh: how many customers entered and left."""
    rows = (
        changes.values("segment_id", "refresh_id", "cause")
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
    """Write a test message. It is sent to a paused endpoint, too."""
    return Message.objects.create(endpoint=endpoint, kind=Message.Kind.TEST, written_at=at, due_at=at)


def replay_changes(endpoint: Endpoint, first_id: int) -> None:
    """Send a change, by its id, and all later ones again. Raises ValueError if the id is after the cursor."""
    with transaction.atomic():
        lock_outbox()
        locked = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        if not 1 <= first_id <= locked.cursor:
            raise ValueError(f"give an id between 1 and {locked.cursor}")
        # The waiting ones are written again. A message that is being sent stays, and arrives before its repetition.
        waiting = Message.objects.waiting().filter(endpoint=locked, first_id__gte=first_id, leased_until=None)
        _delete(waiting)
        endpoints.set_cursor(locked, first_id - 1)


def resume_endpoint(endpoint: Endpoint, at: datetime, *, skip: bool) -> None:
    """Send to a paused or stopped endpoint again: what waits and what follows, or with ``skip`` only what follows."""
    with transaction.atomic():
        lock_outbox()
        locked = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        waiting = Message.objects.waiting().filter(endpoint=locked)
        if skip:
            _delete(waiting)
            endpoints.set_cursor(locked, Change.objects.latest_id())
        else:
            waiting.update(attempt_count=0, first_attempt_at=None, due_at=at)
        endpoints.activate_endpoint(locked)


def delete_endpoint(endpoint: Endpoint, at: datetime) -> None:
    """Delete an endpoint with its messages."""
    endpoints.pause_endpoint(endpoint, at)  # so that nobody writes messages any more
    _delete_in_batches(Message.objects.filter(endpoint=endpoint).order_by("pk"))
    endpoint.delete()


# -- Deleting messages


def erase_customers(customers: Sequence[int]) -> None:
    """Delete the messages about customers, named by their keys, with the responses.

    Call this after the change log has forgotten the customers. Exits that the log still names are sent. A message that
    a worker is sending stays without its customer, and its response is not stored.
    """
    messages = Message.objects.filter(customer__in=customers)
    # Locked before attempts are deleted, so that no worker adds one.
    rows = dict(messages.select_for_update(of=("self",)).values_list("pk", "leased_until"))
    in_flight = {key for key, leased_until in rows.items() if leased_until}
    named_exits = Change.objects.filter(customer__in=customers, names_erased=True)
    still_sent = messages.waiting().filter(first_id__in=named_exits.values("pk"))
    kept = in_flight | set(still_sent.values_list("pk", flat=True))
    Attempt.objects.filter(message__in=kept).delete()
    _messages_by_key(kept).update(customer=None)
    _delete(_messages_by_key(rows.keys() - kept))


def withdraw_messages(messages: Iterable[Message]) -> None:
    """Delete messages whose content no longer exists."""
    _delete(_messages_by_key(message.pk for message in messages))


def delete_old_messages(before: datetime) -> int:
    """Delete messages that were delivered or given up before an instant. Return their number."""
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
