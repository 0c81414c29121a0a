"""Writes customers, orders, order lines and events that are sent.

``customers.identity`` creates customers without profile data and moves records when profiles are merged, and
``customers.consent.states`` writes the consent of customers. Nothing else writes these tables.

A call writes one record or ten thousand, in one transaction, and may be repeated. Records (see
``customers.rows.parsing``) are staged in a temporary table, their ids are resolved to customers, and one statement
merges them into their table. A value that is None leaves the stored value as it is. The same transaction queues the
customers for ``customers.facts.update``. Records from before a customer's erasure are skipped.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from core.db import time_limits, transactions
from core.wakeup import notify_on_commit
from customers.identity import identity_locks, merging, resolver, tombstones
from customers.rows.kinds import CUSTOMERS, EVENTS, KINDS, ORDER_LINES, ORDERS, Kind
from customers.rows.parsing import Record
from customers.signals import records_changed

from . import drafts, event_partitions
from .combining import batches_without_repeats, named_customer_ids, rejected_repeats
from .customer_writer import write_customers
from .event_writer import write_events, write_new_events
from .line_writer import write_lines
from .order_writer import write_orders
from .results import Origin, Outcome
from .staging import IngestCall, stage_rows

MIN_BATCH_SIZE = 1_000  # records; batches shrink down to it while statements time out


def ingest(
    kind: Kind,
    numbered_records: Iterable[tuple[int, Record]],
    at: datetime | None = None,
    *,
    source: str = "",
    origin: Origin = Origin.RECORDS,
    notify: bool = True,
    trusts_ids: bool = True,
) -> Outcome:
    """Write records of one kind in one transaction. Each comes with the line or index that reports name it by.

    Of records with the same key, a later one overwrites an earlier one where it has a value. ``records_changed`` is
    sent after the commit, unless the caller sends it itself after several calls (``notify``). ``source`` goes into
    the history of consent. Customer ids of the records belong to the shop from now on, unless ``trusts_ids`` is
    False: then the records sum up messages whose ids are resolved already.
    """
    records, instant = list(numbered_records), at or datetime.now(UTC)
    call = IngestCall(instant, source, origin, trusts_ids)

    def ingest_in_batches(batch_size: int) -> Outcome:
        return transactions.retry_on_conflict(lambda: _ingest(kind, records, call, notify, batch_size))

    return time_limits.AdaptiveBatch(max(len(records), MIN_BATCH_SIZE), MIN_BATCH_SIZE).run(ingest_in_batches)


def ingest_new_events(events: Sequence[Record], at: datetime, *, origin: Origin) -> None:
    """Write events of messages in the caller's transaction. A ``customer`` and a ``visitor`` follow their columns.

    The caller has found that no event with one of their ids is stored and that none is from before an erasure
    (``tombstones.lock_shared``), and holds the lock of identities. It sends ``records_changed``. Raises
    ConcurrentWrite if another transaction has just stored an event with one of the ids.
    """
    numbered = list(enumerate(events))
    event_partitions.create_for(numbered, origin, at)
    write_new_events(
        IngestCall(at, "", origin, trusts_ids=False), [(line, *record) for line, record in numbered]
    )
    merging.follow_merges(f"staged_{EVENTS.name}")


def register_order_listener(confirm: Callable[[Sequence[str], datetime], None]) -> None:
    """Call a function with ids of orders that a file or the API has written, and messages have mentioned before."""
    _listeners.append(confirm)


_listeners: list[Callable[[Sequence[str], datetime], None]] = []


def _ingest(
    kind: Kind,
    numbered_records: Iterable[tuple[int, Record]],
    call: IngestCall,
    notify: bool,
    batch_size: int,
) -> Outcome:
    outcome = Outcome()
    tombstones.lock_shared()
    from_browser = call.origin is Origin.BROWSER
    kept, outcome.skipped = tombstones.skip_erased(kind, numbered_records, from_browser=from_browser)
    if kind in (ORDERS, ORDER_LINES):
        if call.trusts_ids:  # in the same order as message processing: first identities, then drafts
            identity_locks.lock_identities_to_trust(
                named_customer_ids(kind, ((line, *record) for line, record in kept))
            )
        if call.origin is Origin.RECORDS:  # whoever writes orders of messages has locked drafts before
            drafts.lock_for_records()
    awaited: list[str] = []
    if kind is EVENTS:
        event_partitions.create_for(kept, call.origin, call.at)
    for number, (rows, repeated) in enumerate(batches_without_repeats(kind, kept, batch_size)):
        if call.trusts_ids:
            resolver.trust_customer_ids(named_customer_ids(kind, rows), call.at)
        stage_rows(kind, rows)
        batch = _WRITERS[kind.name](replace(call, batch_number=number))
        merging.follow_merges(f"staged_{kind.name}")
        if kind is ORDERS and call.origin is Origin.RECORDS:
            awaited += drafts.orders_with_messages(f"staged_{kind.name}")
        rejected = [*batch.rejected, *rejected_repeats(batch.rejected, repeated)]
        outcome.created += batch.created
        outcome.updated += batch.updated + len(repeated) + len(batch.rejected) - len(rejected)
        outcome.rejected += rejected
        outcome.kept_unsubscribed += batch.kept_unsubscribed
        outcome.over_attribute_limit += batch.over_attribute_limit
    if awaited:
        for confirm in _listeners:
            confirm(awaited, call.at)
    if notify:
        notify_on_commit(records_changed)
    return outcome


_WRITERS: Mapping[str, Callable[[IngestCall], Outcome]] = {
    CUSTOMERS.name: write_customers,
    ORDERS.name: write_orders,
    ORDER_LINES.name: write_lines,
    EVENTS.name: write_events,
}
assert _WRITERS.keys() == KINDS.keys()
