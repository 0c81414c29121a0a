"""The inbox: acknowledged messages until they are processed. The only writer of ``Batch`` and ``RefusedMessage``.

A request is one row, written before the request is answered. A worker processes the rows in the order of receipt, and
deletes them in the same transaction, so a worker that is killed has processed all of them or none.

On PostgreSQL, several workers drain the inbox side by side. Rows that name the same ids (``named_ids``) form a group.
It belongs to the worker that has locked the oldest of its rows, so messages about one id are processed in the order of
receipt. ``customers.identity.drain_locks`` locks what they change.
"""

import gc
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any, Final, NamedTuple

import structlog
from django.db import transaction

from core.db import backends, execution, time_limits, transactions
from customers.facts import update
from customers.identity import drain_locks
from customers.models import Batch, RefusedMessage, Source
from customers.privacy.mentions import Mentions
from customers.wakeups import INBOX

from . import messages, processing
from .messages import BATCH
from .named_ids import hash_named_ids, read_hashes
from .processing import MessageProblem, ReceivedMessage
from .request_body import RequestBody

log = structlog.get_logger(__name__)

MAX_BATCHES: Final = 500
SPARE_GROUPS: Final = 1.5  # so many times the average are locked, because groups differ in size
MAX_TRIES: Final = 10  # drains that meet in one person try again
MESSAGES_BATCH_SIZE: Final = 10_000
MIN_MESSAGES_BATCH_SIZE: Final = 150  # if statements exceed their time limit
MAX_CHARACTERS: Final = 8_000_000  # bounds the memory of a worker
# Refused messages are limited, because anybody can send them with the key of a browser.
MAX_STORED_CHARACTERS, MAX_REASON_CHARACTERS = 2_000, 1_000
MAX_REFUSED_PER_DAY: Final = 1_000
REFUSED_RETENTION: Final = timedelta(days=14)


def store_batch(
    source: Source, call: str, body: RequestBody, size: int, user_agent: str, at: datetime
) -> None:
    """Store a request and wake a worker. When this returns, the request can be acknowledged."""
    Batch.objects.create(
        source=source,
        received_at=at,
        call=call,
        user_agent=user_agent[:500],
        size=size,
        body=body.text,
        named_ids=hash_named_ids(body.content, call),
    )
    INBOX.request()


def drain(seconds: float = math.inf) -> int:
    """Process waiting messages, then update facts. Return how many messages were processed.

    If other workers are draining what waits, stop. If the time is over before the inbox is empty, wake a worker again.
    """
    started_at, processed = time.monotonic(), 0
    portion = time_limits.AdaptiveBatch(MESSAGES_BATCH_SIZE, MIN_MESSAGES_BATCH_SIZE)
    INBOX.acknowledge()
    is_empty = not Batch.objects.exists()
    while not is_empty:
        try:
            done = portion.run(
                lambda limit: transactions.retry_on_conflict(lambda: _drain_batches(limit), MAX_TRIES)
            )
        except (transactions.LockNotAvailable, transactions.ConcurrentWrite):
            done = None
        if not done:
            INBOX.request_soon()
            break
        processed += done.messages
        is_empty = done.is_empty
        if not is_empty and time.monotonic() - started_at > seconds:
            INBOX.request()
            break
    if processed:
        update.update_facts()
    return processed


def retry_refused(refused: Iterable[RefusedMessage]) -> int:
    """Put refused messages back into the inbox. Return how many were not, because they are stored incompletely."""
    cut = 0
    with transaction.atomic():
        for one in refused:
            if len(one.message) >= MAX_STORED_CHARACTERS:
                cut += 1
                continue
            body = f'{{"{BATCH}": [{one.message}]}}' if one.call == BATCH else one.message
            Batch.objects.create(
                source_id=one.source_id,
                received_at=one.received_at,
                call=one.call,
                size=1,
                body=body,
                named_ids=hash_named_ids(_decode(body), one.call),
            )
            one.delete()
    INBOX.request()
    return cut


def remove_mentions(mentions: Mentions) -> None:
    """Delete waiting messages that mention a person."""
    for batch in Batch.objects.order_by("pk").iterator():
        if not mentions.in_json(batch.body):
            continue
        content = _decode(batch.body)
        bodies = content[BATCH] if batch.call == BATCH else []
        remaining = [one for one in bodies if not mentions.in_json(_encode(one))]
        if remaining:
            content = {**content, BATCH: remaining}
            Batch.objects.filter(pk=batch.pk).update(
                size=len(remaining),
                body=json.dumps(content),
                named_ids=hash_named_ids(content, batch.call),
            )
        else:
            batch.delete()


@dataclass(frozen=True)
class _Drained:
    """How many messages were processed, and whether no others were waiting."""

    messages: int
    is_empty: bool


def _drain_batches(limit: int) -> _Drained | None:
    """Process the oldest batches, of at most ``limit`` messages. Return None if all of them are other workers'.

    A single batch may have more. Called in a transaction.
    """
    if not drain_locks.begin():
        return None
    batches, are_all = _oldest_batches(limit)
    if not batches and not are_all:
        return None
    with _garbage_collected_later():
        received = [one for batch in batches for one in _messages_of_batch(batch)]
        if received:
            _process(received)
    Batch.objects.filter(pk__in=[batch.pk for batch in batches]).delete()
    return _Drained(len(received), are_all)


@contextmanager
def _garbage_collected_later() -> Iterator[None]:
    """Pause the collector of cycles: it would visit the objects of all messages again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Waiting(NamedTuple):
    """A batch that waits. ``length`` is that of its body."""

    key: int
    size: int
    length: int
    named_ids: bytes | memoryview | None


def _oldest_batches(limit: int) -> tuple[list[Batch], bool]:
    """Return the oldest batches that can be processed now, within the limits, and whether no others are waiting.

    They are locked until the transaction ends.
    """
    waiting, are_all = _read_waiting(limit)
    if not waiting:
        return [], True
    free = _free_batches(waiting, limit)
    chosen = _within_limits(free, limit)
    if drain_locks.max_drains() > 1:
        chosen = _without_others(chosen, free)
    found = Batch.objects.filter(pk__in=[one.key for one in chosen]).select_related("source").order_by("pk")
    return list(found), are_all and len(chosen) == len(waiting)


def _read_waiting(limit: int) -> tuple[list[_Waiting], bool]:
    """Return the oldest batches, so many that each drain finds some, and whether they are all."""
    drains = drain_locks.max_drains()
    portions = 1 if drains == 1 else 2 * drains
    length = "octet_length(body)" if backends.is_postgresql() else "length(body)"
    rows = execution.fetch_all(
        f"""SELECT id, size, {length}, named_ids, others FROM (
                SELECT *, sum(size) OVER (ORDER BY id) - size AS others FROM (
                    SELECT * FROM {Batch._meta.db_table} ORDER BY id LIMIT %s) AS oldest) AS added
            WHERE others < %s ORDER BY id""",
        [MAX_BATCHES * portions, limit * portions],
    )
    waiting = [_Waiting(*row) for *row, _ in rows]
    are_all = len(waiting) < MAX_BATCHES * portions and sum(one.size for one in waiting) < limit * portions
    return waiting, are_all


def _free_batches(waiting: Sequence[_Waiting], limit: int) -> list[_Waiting]:
    """Return the batches that no other drain processes, and that share no id with an earlier one of another drain.

    Batches that share ids belong to the drain that has locked the oldest of them.
    """
    if drain_locks.max_drains() == 1:
        return list(waiting)
    groups = _connected(waiting)
    share = min(limit / sum(one.size for one in waiting), MAX_BATCHES / len(waiting))
    count = math.ceil(SPARE_GROUPS * share * len(groups))
    oldest = Batch.objects.filter(pk__in=[*groups]).order_by("pk").values_list("pk", flat=True)
    ours = list(oldest.select_for_update(skip_locked=True)[:count])
    if len(ours) == count < len(groups):
        INBOX.request()  # enough is waiting for another worker
    return sorted(one for key in ours for one in groups[key])


def _connected(waiting: Sequence[_Waiting]) -> dict[int, list[_Waiting]]:
    """Return groups of batches that ids connect, by the key of the oldest batch of each."""
    if any(one.named_ids is None for one in waiting):  # it may name any id
        return {waiting[0].key: list(waiting)}
    parents = list(range(len(waiting)))

    def find_oldest(place: int) -> int:
        while parents[place] != place:
            parents[place] = place = parents[parents[place]]
        return place

    first_with: dict[int, int] = {}
    for place, one in enumerate(waiting):
        for named in read_hashes(one.named_ids or b""):
            first = first_with.setdefault(named, place)
            if first != place:
                older, newer = sorted((find_oldest(first), find_oldest(place)))
                parents[newer] = older
    groups: dict[int, list[_Waiting]] = {}
    for place, one in enumerate(waiting):
        groups.setdefault(waiting[find_oldest(place)].key, []).append(one)
    return groups


def _within_limits(free: Sequence[_Waiting], limit: int) -> list[_Waiting]:
    messages = accumulate(one.size for one in free)
    characters = accumulate(one.length for one in free)
    return [
        one
        for place, (one, count, length) in enumerate(zip(free, messages, characters, strict=True))
        if place == 0 or (place < MAX_BATCHES and count <= limit and length <= MAX_CHARACTERS)
    ]


def _without_others(chosen: Sequence[_Waiting], free: Sequence[_Waiting]) -> list[_Waiting]:
    """Lock free batches, and leave out the chosen ones that must wait for those that another drain has nevertheless.

    That is possible if an earlier batch was committed later: the other drain has not seen it.
    """
    rows = Batch.objects.filter(pk__in=[one.key for one in free]).order_by("pk")
    locked = set(rows.select_for_update(skip_locked=True).values_list("pk", flat=True))
    others = [one for one in free if one.key not in locked]
    if not others:
        return list(chosen)
    if any(one.named_ids is None for one in free):
        return []
    remaining = []
    lost = {named for one in others for named in read_hashes(one.named_ids or b"")}
    for one in chosen:
        hashes = read_hashes(one.named_ids or b"")
        if lost.isdisjoint(hashes):
            remaining.append(one)
        else:
            lost |= hashes
    return remaining


def _messages_of_batch(batch: Batch) -> Iterator[ReceivedMessage]:
    content = _decode(batch.body)
    bodies = content[BATCH] if batch.call == BATCH else [content]
    sent_at = content.get("sentAt")
    for body in bodies:
        yield ReceivedMessage(
            batch.source, batch.received_at, batch.call, body, sent_at, batch.user_agent, batch.pk
        )


def _decode(body: str) -> Any:
    """Decode JSON that the endpoint has decoded before; the deeper stack here needs a higher recursion limit."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(2 * limit)
    try:
        return json.loads(body)
    finally:
        sys.setrecursionlimit(limit)


def _process(received: Sequence[ReceivedMessage]) -> None:
    """Process messages. If that fails, process them in halves, until the message that causes the error is alone.

    If the database causes the error, all messages stay in the inbox and are tried again.
    """
    try:
        with transaction.atomic():
            problems = processing.process_messages(received, datetime.now(UTC))
            _store_refused(problems)
    except Exception as error:
        if not _is_caused_by_messages(error):
            raise
        log.exception("messages_could_not_be_processed", messages=len(received))
        if len(received) > 1:
            middle = len(received) // 2
            _process(received[:middle])
            _process(received[middle:])
        else:
            reason = (
                f"an internal error ({type(error).__name__}) stopped this message; the log has the details"
            )
            _store_refused([MessageProblem(received[0], reason)])


def _is_caused_by_messages(error: Exception) -> bool:
    """Return whether the messages cause an error, and not a database or machine that is unavailable."""
    return not transactions.is_transient_error(error) and not isinstance(error, OSError | MemoryError)


def _store_refused(problems: Sequence[MessageProblem]) -> None:
    """Store the first refused messages of each source and day (UTC); the log counts the others."""
    space: dict[tuple[int, date], int] = {}
    stored, dropped = [], Counter[int]()
    for problem in problems:
        source, day = problem.received.source.pk, problem.received.received_at.astimezone(UTC).date()
        if (source, day) not in space:
            begin = datetime.combine(day, datetime.min.time(), UTC)
            of_the_day = RefusedMessage.objects.filter(
                source=source, received_at__gte=begin, received_at__lt=begin + timedelta(days=1)
            )
            space[source, day] = MAX_REFUSED_PER_DAY - of_the_day.count()
        if space[source, day] > 0:
            space[source, day] -= 1
            stored.append(_refused_message(problem))
        else:
            dropped[source] += 1
    RefusedMessage.objects.bulk_create(stored, batch_size=500)
    for source, count in dropped.items():
        log.warning("refused_messages_not_stored", source=source, messages=count)


def delete_expired_refused(at: datetime) -> None:
    RefusedMessage.objects.filter(received_at__lte=at - REFUSED_RETENTION).delete()


def _refused_message(problem: MessageProblem) -> RefusedMessage:
    one = problem.received
    body, message_id = one.body, None
    if isinstance(body, dict):
        message_id = body.get("messageId")
        # With the batch's sentAt, so that a retry on its own corrects the time in the same way.
        body = {**body, "sentAt": one.sent_at} if one.sent_at and not body.get("sentAt") else body
    return RefusedMessage(
        source=one.source,
        received_at=one.received_at,
        call=one.call,
        message_id=message_id[:255].replace("\x00", "") if isinstance(message_id, str) else "",
        reason=problem.reason.replace("\x00", "").encode(errors="replace").decode()[:MAX_REASON_CHARACTERS],
        message=_encode(body),
    )


def _encode(body: Any) -> str:
    try:
        return json.dumps(body)[:MAX_STORED_CHARACTERS]
    except RecursionError:
        return json.dumps(messages.TOO_DEEP)
