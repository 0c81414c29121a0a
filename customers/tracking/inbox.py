"""The inbox: what was acknowledged stays here until it is taken. The only writer of ``Batch`` and ``RefusedMessage``.

A request is one row, written before it is answered. A worker takes the rows off in the order in which they came, in
the transaction that records what they say: killed at any moment, it has taken them or has not.
"""

import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import structlog
from django.db import transaction
from django.db.models import F, Sum, Window
from django.db.models.functions import Length

from core.db import locks, time_limits, transactions
from customers.facts import update
from customers.identity import identity_locks
from customers.models import Batch, RefusedMessage, Source
from customers.privacy.mentions import Mentions
from customers.wakeups import INBOX

from . import messages, processing
from .messages import BATCH
from .processing import MessageProblem, ReceivedMessage

log = structlog.get_logger(__name__)

MAX_BATCHES: Final = 500
MESSAGES_BATCH_SIZE: Final = 10_000
MIN_MESSAGES_BATCH_SIZE: Final = 150  # where statements take too long
MAX_CHARACTERS: Final = 8_000_000  # so that memory is bounded whatever was sent
# Of refused messages, which anybody can send: characters of each, how many of a source and day, and for how long.
MAX_STORED_CHARACTERS, MAX_REASON_CHARACTERS = 2_000, 1_000
MAX_REFUSED_PER_DAY: Final = 1_000
REFUSED_RETENTION: Final = timedelta(days=14)


def store_batch(source: Source, call: str, text: str, size: int, user_agent: str, at: datetime) -> None:
    """Keep what came in; when this returns, it is safe, and a worker is sent for."""
    Batch.objects.create(
        source=source, received_at=at, call=call, user_agent=user_agent[:500], size=size, body=text
    )
    INBOX.request()


def drain(seconds: float = math.inf) -> int:
    """Take what waits; give how many messages that were. Facts are current at the end.

    Where another worker does so already, this one leaves it to that one; what is left when the time is over sends
    for the next.
    """
    begun, taken = time.monotonic(), 0
    portion = time_limits.AdaptiveBatch(MESSAGES_BATCH_SIZE, MIN_MESSAGES_BATCH_SIZE)
    INBOX.acknowledge()
    while Batch.objects.exists():
        done = portion.run(_drain_batches)
        if done is None:
            INBOX.request_soon()
            break
        taken += done
        if time.monotonic() - begun > seconds:
            INBOX.request()
            break
    if taken:
        update.update_facts()
    return taken


def retry_refused(refused: Iterable[RefusedMessage]) -> int:
    """Put refused messages back into the inbox, as they came; give how many are too long to have been kept whole."""
    cut = 0
    with transaction.atomic():
        for one in refused:
            if len(one.message) >= MAX_STORED_CHARACTERS:
                cut += 1
                continue
            body = f'{{"{BATCH}": [{one.message}]}}' if one.call == BATCH else one.message
            Batch.objects.create(
                source_id=one.source_id, received_at=one.received_at, call=one.call, size=1, body=body
            )
            one.delete()
    INBOX.request()
    return cut


def remove_mentions(mentions: Mentions) -> None:
    """Take the messages that name a person out of what waits."""
    for batch in Batch.objects.order_by("pk").iterator():
        if not mentions.in_json(batch.body):
            continue
        content = _decode(batch.body)
        inside = content[BATCH] if batch.call == BATCH else []
        staying = [one for one in inside if not mentions.in_json(_encode(one))]
        if staying:
            body = json.dumps({**content, BATCH: staying})
            Batch.objects.filter(pk=batch.pk).update(size=len(staying), body=body)
        else:
            batch.delete()


def _drain_batches(most: int) -> int | None:
    """Take the oldest batches, of about so many messages; None where another worker is at it."""
    with transaction.atomic():
        if not locks.try_acquire(identity_locks.IDENTITY_LOCK):
            return None
        batches = _oldest_batches(most)
        received = [one for batch in batches for one in _messages_of_batch(batch)]
        _process(received)
        Batch.objects.filter(pk__in=[batch.pk for batch in batches]).delete()
        return len(received)


def _oldest_batches(most: int) -> list[Batch]:
    """Give the oldest batches, of about so many messages."""
    first = Batch.objects.order_by("pk")[:MAX_BATCHES]
    counted = Batch.objects.filter(pk__in=list(first.values_list("pk", flat=True))).annotate(
        messages=Window(Sum("size"), order_by=F("pk").asc()),
        characters=Window(Sum(Length("body")), order_by=F("pk").asc()),
    )
    chosen = [
        key
        for place, (key, messages, characters) in enumerate(
            counted.order_by("pk").values_list("pk", "messages", "characters")
        )
        if place == 0 or (messages <= most and characters <= MAX_CHARACTERS)
    ]
    return list(Batch.objects.filter(pk__in=chosen).select_related("source").order_by("pk"))


def _messages_of_batch(batch: Batch) -> Iterator[ReceivedMessage]:
    content = _decode(batch.body)
    inside = content[BATCH] if batch.call == BATCH else [content]
    sent_at = content.get("sentAt")
    for body in inside:
        yield ReceivedMessage(
            batch.source, batch.received_at, batch.call, body, sent_at, batch.user_agent, batch.pk
        )


def _decode(body: str) -> Any:
    """Decode what was decoded before it was kept, from wherever we are called: nested as deeply as it may be."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(2 * limit)
    try:
        return json.loads(body)
    finally:
        sys.setrecursionlimit(limit)


def _process(received: Sequence[ReceivedMessage]) -> None:
    """Take messages; what cannot be taken as a whole is taken in halves, until what is at fault is alone.

    Where the database is at fault, all of them wait in the inbox, and are tried again.
    """
    try:
        with transaction.atomic():
            complaints = processing.process_messages(received, datetime.now(UTC))
            _store_refused(complaints)
    except Exception as error:
        if not _is_caused_by_messages(error):
            raise
        log.exception("messages_could_not_be_taken", messages=len(received))
        if len(received) > 1:
            middle = len(received) // 2
            _process(received[:middle])
            _process(received[middle:])
        else:
            reason = f"it could not be taken ({type(error).__name__}); this is a fault of ours"
            _store_refused([MessageProblem(received[0], reason)])


def _is_caused_by_messages(error: Exception) -> bool:
    """Tell whether an error comes of what was sent, not of a database or a machine that cannot take it now."""
    return not transactions.is_transient_error(error) and not isinstance(error, OSError | MemoryError)


def _store_refused(complaints: Sequence[MessageProblem]) -> None:
    """Keep the first refused messages of each source and day (of UTC); the log counts the others."""
    room: dict[tuple[int, date], int] = {}
    kept, lost = [], Counter[int]()
    for complaint in complaints:
        source, day = complaint.received.source.pk, complaint.received.received_at.astimezone(UTC).date()
        if (source, day) not in room:
            begin = datetime.combine(day, datetime.min.time(), UTC)
            of_the_day = RefusedMessage.objects.filter(
                source=source, received_at__gte=begin, received_at__lt=begin + timedelta(days=1)
            )
            room[source, day] = MAX_REFUSED_PER_DAY - of_the_day.count()
        if room[source, day] > 0:
            room[source, day] -= 1
            kept.append(_refused_message(complaint))
        else:
            lost[source] += 1
    RefusedMessage.objects.bulk_create(kept, batch_size=500)
    for source, count in lost.items():
        log.warning("refused_messages_not_kept", source=source, messages=count)


def delete_expired_refused(at: datetime) -> None:
    """Delete refused messages that were kept for long enough."""
    RefusedMessage.objects.filter(received_at__lte=at - REFUSED_RETENTION).delete()


def _refused_message(complaint: MessageProblem) -> RefusedMessage:
    one = complaint.received
    body, message_id = one.body, None
    if isinstance(body, dict):
        message_id = body.get("messageId")
        # With what the batch said of its sender's clock, should it be tried again alone.
        body = {**body, "sentAt": one.sent_at} if one.sent_at and not body.get("sentAt") else body
    return RefusedMessage(
        source=one.source,
        received_at=one.received_at,
        call=one.call,
        message_id=message_id[:255].replace("\x00", "") if isinstance(message_id, str) else "",
        reason=complaint.reason.replace("\x00", "").encode(errors="replace").decode()[:MAX_REASON_CHARACTERS],
        message=_encode(body),
    )


def _encode(body: Any) -> str:
    try:
        return json.dumps(body)[:MAX_STORED_CHARACTERS]
    except RecursionError:
        return json.dumps(messages.TOO_DEEP)
