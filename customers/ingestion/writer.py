"""The only writer of customers, orders, lines and events: set-based, idempotent, all or nothing a call.

One call takes one record or ten thousand. Records (see ``customers.rows.parsing``) are staged in a temporary table,
their ids resolved to customers, and merged into the tables by one statement; a value that is None leaves what
is there. Customers touched are queued in the same transaction, for ``customers.facts.update`` to settle. The past of
customers who were erased is left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from core.db import backends, time_limits, transactions
from core.wakeup import notify_on_commit
from customers.identity import identity_locks, merging, resolver, tombstones
from customers.rows.kinds import CUSTOMERS, EVENTS, KINDS, ORDER_LINES, ORDERS, Kind
from customers.rows.parsing import Record
from customers.signals import records_changed

from . import drafts
from .combining import batches_without_repeats, named_customer_ids, rejected_repeats
from .customer_writer import write_customers
from .event_writer import write_events
from .line_writer import write_lines
from .order_writer import write_orders
from .results import Origin, Outcome
from .staging import IngestCall, stage_rows

MIN_BATCH_SIZE = 1_000  # records, where statements take too long


def ingest(
    kind: Kind,
    numbered: Iterable[tuple[int, Record]],
    now: datetime | None = None,
    *,
    source: str = "",
    origin: Origin = Origin.RECORDS,
    announce: bool = True,
    names: bool = True,
) -> Outcome:
    """Take records of one kind, each with the line or index to name it by, in one transaction.

    Records of the same key are taken one after the other, the later one winning where it gives a value. Their
    commit is announced, unless the caller does so after the last of many calls. ``source`` says what brought them,
    for the history of consent. A customer id in a record is named by somebody who is trusted, unless ``names`` is
    False: then the records tell what messages have told already.
    """
    given, instant = list(numbered), now or datetime.now(UTC)
    call = IngestCall(instant, source, origin, names)

    def ingest_at_once(rows: int) -> Outcome:
        return transactions.retry_on_deadlock(lambda: _ingest(kind, given, call, announce, rows))

    return time_limits.AdaptiveBatch(max(len(given), MIN_BATCH_SIZE), MIN_BATCH_SIZE).run(ingest_at_once)


def register_order_listener(confirm: Callable[[Sequence[str], datetime], None]) -> None:
    """Let what messages told of orders follow once a file or the API tells of these, by their ids."""
    _listeners.append(confirm)


_listeners: list[Callable[[Sequence[str], datetime], None]] = []


def _ingest(
    kind: Kind, numbered: Iterable[tuple[int, Record]], call: IngestCall, announce: bool, most: int
) -> Outcome:
    outcome = Outcome()
    backends.check_foreign_keys_immediately()
    tombstones.lock_shared()
    from_browser = call.origin is Origin.BROWSER
    staying, outcome.left_out = tombstones.skip_erased(kind, numbered, from_browser=from_browser)
    if kind in (ORDERS, ORDER_LINES):
        if call.names:  # whoever takes messages has the turn first, and then the drafts
            identity_locks.lock_identities_to_trust(
                named_customer_ids(kind, ((line, *record) for line, record in staying))
            )
        drafts.lock_shared()
    awaited: list[str] = []
    for place, (rows, repeated) in enumerate(batches_without_repeats(kind, staying, most)):
        if call.names:
            resolver.trust_customer_ids(named_customer_ids(kind, rows), call.now)
        stage_rows(kind, rows)
        part = _WRITERS[kind.name](replace(call, place=place))
        merging.follow_merges(f"staged_{kind.name}")
        if kind is ORDERS and call.origin is Origin.RECORDS:
            awaited += drafts.orders_with_messages(f"staged_{kind.name}")
        refused = [*part.refused, *rejected_repeats(part.refused, repeated)]
        outcome.created += part.created
        outcome.updated += part.updated + len(repeated) + len(part.refused) - len(refused)
        outcome.refused += refused
        outcome.kept_unsubscribed += part.kept_unsubscribed
        outcome.crowded += part.crowded
    if awaited:
        for confirm in _listeners:
            confirm(awaited, call.now)
    if announce:
        notify_on_commit(records_changed)
    return outcome


_WRITERS: Mapping[str, Callable[[IngestCall], Outcome]] = {
    CUSTOMERS.name: write_customers,
    ORDERS.name: write_orders,
    ORDER_LINES.name: write_lines,
    EVENTS.name: write_events,
}
assert _WRITERS.keys() == KINDS.keys()
