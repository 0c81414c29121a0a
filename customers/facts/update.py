"""The only writer of facts. It empties the queues that ingestion fills, and queues touched customers for segments.

Stored rows hold the facts of one instant, which never goes back. A record dated later is stored as upcoming and
counted once that instant has passed. Records that are appended in their order are merged into the stored row; after
any other change the customer's facts are recomputed.

A short queue is updated by one process at a time. On PostgreSQL, several processes update a long one side by side,
each some parts of the customers (``customers.facts.totals``) that no other has locked. Their instants can differ: the
instant of all rows is the latest, and a customer with a record between it and that of the own row is in ``Upcoming``,
like every customer with a later record.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

from django.db import connection
from django.db.models import Max

from core.db import backends, dialect, execution, time_limits
from core.db.sql import Sql, compose
from core.db.transactions import MAX_TRIES, ConcurrentWrite
from customers.models import Facts, PartialTotals, Upcoming

from . import definitions, queries, totals
from .selection import (
    ALL_CUSTOMERS,
    APPENDED_EVENTS_TABLE,
    APPENDED_ORDERS_TABLE,
    FACTS_TABLE,
    MERGED,
    QUEUE_TABLES,
    RECOMPUTED,
    SELECTED,
    STALE_TABLE,
    TOUCHED_TABLE,
    UPCOMING_TABLE,
    create_selection_table,
    mark_unmergeable,
)
from .touched_customers import touch_selected

UPDATE_BATCH_SIZE: Final = 20_000  # customers in one transaction
MIN_UPDATE_BATCH_SIZE: Final = 300  # while statements time out
FEW_CUSTOMERS: Final = 500  # for so few, the planner chooses look-ups by itself, and each statement counts
UPDATES_PER_SECOND: Final = 2_000  # queued rows, on a slow machine
Result = TypeVar("Result")
_ALONE: Final = (totals.PARTS.start,)  # the row to write if all parts are locked


def update_facts(
    at: datetime | None = None,
    progress: Callable[[int], None] = lambda _: None,
    *,
    not_before: datetime | None = None,
) -> int:
    """Bring the facts of every queued customer in line with the records. Return how many customers were updated.

    The rows then hold the facts of ``at``, by default the current time, or of their former instant if it is later.
    If the clock was set back, they hold at least those of ``not_before``. Each transaction updates a part of the
    queue. After a crash, the next call updates the rest. What other calls are updating is waited for.
    """

    def instant() -> datetime:
        return max(at or datetime.now(UTC), not_before) if not_before else at or datetime.now(UTC)

    queued, updated = _count_queued(instant()), 0
    batch = time_limits.AdaptiveBatch(UPDATE_BATCH_SIZE, MIN_UPDATE_BATCH_SIZE)
    while queued:
        shares = queued > batch.size and backends.is_postgresql() and not connection.in_atomic_block
        for of_batch in (_update_side_by_side if shares else _update_alone)(instant, batch):
            updated += of_batch
            progress(updated)
        # A record may have come due between the instants of two parts. The refresh that follows reads the stored rows
        # at the latest instant, so the end is an update of all parts at once.
        queued = _count_queued(instant()) if shares else 0
    return updated


def update_facts_within(seconds: float, at: datetime) -> None:
    """Bring the facts in line as ``update_facts`` does, for a request that waits.

    Raises StatementTimeout, and updates nothing, if more is queued than is usually updated in this time.
    """
    if _count_queued(at) > seconds * UPDATES_PER_SECOND:
        raise time_limits.StatementTimeout
    update_facts(at)


def _update_alone(instant: Callable[[], datetime], batch: time_limits.AdaptiveBatch) -> Iterator[int]:
    """Update the queue while no other process does. Yield how many customers each transaction updated."""

    def update_batch(size: int) -> tuple[int, bool]:
        with lock_facts():
            # Read the clock again: a record committed while we waited is not dated ahead.
            updated = _update_queued(instant(), size)
            return updated, updated == size

    is_more = True
    while is_more:
        updated, is_more = _run(batch, update_batch)
        yield updated


def _update_side_by_side(instant: Callable[[], datetime], batch: time_limits.AdaptiveBatch) -> Iterator[int]:
    """Update the queue part by part, beside other processes. Yield how many customers each transaction updated."""
    if facts_updated_until() is None:
        with lock_facts():
            _advance(instant(), facts_updated_until())
    remaining = set(totals.PARTS)
    while queued := {part: rows for part, rows in _queued_by_part(instant()).items() if part in remaining}:

        def update_batch(size: int) -> tuple[list[int], int, bool]:
            share = len(queued) * size // sum(queued.values())
            with totals.lock_free_parts(queued, max(1, share)) as parts:
                updated = _update_queued(instant(), size, parts) if parts else 0
                return parts, updated, updated == size

        parts, updated, is_more = _run(batch, update_batch)
        if not parts:
            totals.wait_for_part(queued)
            continue
        if not is_more:
            remaining.difference_update(parts)
        yield updated


def _run(batch: time_limits.AdaptiveBatch, update_batch: Callable[[int], Result]) -> Result:
    """Update a batch. If a new visitor in it becomes a customer meanwhile, update a smaller one instead."""
    for _ in range(MAX_TRIES - 1):
        try:
            return batch.run(update_batch)
        except ConcurrentWrite:
            batch.shrink()
    return batch.run(update_batch)


@dataclass(frozen=True)
class _Waiting:
    """The instant of the stored rows, and which queues have rows."""

    updated_until: datetime | None
    stale: bool
    events: bool
    orders: bool
    upcoming: bool
    touched: bool

    @property
    def is_update_due(self) -> bool:
        return self.stale or self.events or self.orders or self.upcoming


def _read_waiting(at: datetime) -> _Waiting:
    """Return what waits, with the records dated ahead whose date has come by an instant."""
    queues = ", ".join(f"EXISTS (SELECT 1 FROM {queue} LIMIT 1)" for queue in QUEUE_TABLES)
    [(updated_until, *waits)] = execution.fetch_all(
        f"""SELECT (SELECT max(updated_until) FROM {PartialTotals._meta.db_table}), {queues},
            EXISTS (SELECT 1 FROM {UPCOMING_TABLE} WHERE due_at <= %s LIMIT 1),
            EXISTS (SELECT 1 FROM {TOUCHED_TABLE} LIMIT 1)""",
        [dialect.datetime_param(at)],
    )
    instant = None if updated_until is None else dialect.datetime_from_row(updated_until)
    return _Waiting(instant, *map(bool, waits))


def _count_queued(at: datetime) -> int:
    """Return how many rows wait in the queues, with the records dated ahead whose date has come by an instant."""
    counts = " + ".join(f"(SELECT count(*) FROM {queue})" for queue in QUEUE_TABLES)
    [(count,)] = execution.fetch_all(
        f"SELECT {counts} + (SELECT count(*) FROM {UPCOMING_TABLE} WHERE due_at <= %s)",
        [dialect.datetime_param(at)],
    )
    return int(count)


def _queued_by_part(at: datetime) -> dict[int, int]:
    """Return the same for each part of the customers for which any waits."""
    queued = " UNION ALL ".join(f"SELECT customer_id FROM {queue}" for queue in QUEUE_TABLES)
    rows = execution.fetch_all(
        f"""SELECT {totals.part_sql("customer_id")} AS part, count(*) FROM (
                {queued} UNION ALL SELECT customer_id FROM {UPCOMING_TABLE} WHERE due_at <= %s
            ) AS queued GROUP BY 1""",
        [dialect.datetime_param(at)],
    )
    return dict(rows)


def is_update_due(at: datetime) -> bool:
    """Return whether customers wait in a queue, or have a record whose date has come."""
    return _read_waiting(at).is_update_due


def is_refresh_due(at: datetime) -> bool:
    """Return whether an update is due, or customers whose facts were updated wait for segments to read them."""
    waiting = _read_waiting(at)
    return waiting.is_update_due or waiting.touched


def has_records_due(until: datetime) -> bool:
    """Return whether any record dated after the facts' instant is due by another instant."""
    return Upcoming.objects.filter(due_at__lte=until).exists()


def facts_updated_until() -> datetime | None:
    """Return the instant of the stored rows; None before the first update."""
    latest: datetime | None = PartialTotals.objects.aggregate(latest=Max("updated_until"))["latest"]
    return latest


def recompute_all(at: datetime | None = None) -> int:
    """Recompute the facts of all customers from the records. Return how many customers there are.

    A full refresh must follow, to bring the members in line.
    """
    with lock_facts():
        at = _advance(at or datetime.now(UTC), facts_updated_until())
        _select_queued(at)
        execution.execute("UPDATE facts_selected SET recompute = 1")
        touch_selected()
        _recompute(ALL_CUSTOMERS, at)
        totals.reset_totals()
        totals.add_to_totals([*_sums(ALL_CUSTOMERS), 1], _ALONE, at)
        _delete_queued(QUEUE_TABLES)
        return Facts.objects.count()


def lock_facts() -> AbstractContextManager[None]:
    """Return a transaction in which nobody else writes facts."""
    return totals.lock_all_parts()


def delete_facts(customers: Sequence[int]) -> None:
    """Delete the facts of customers, by primary key, and their rows in the queues.

    Call it inside ``lock_facts``. The totals are reduced by their facts.
    """
    keys = Sql(", ".join(map(str, customers)))
    before = _sums(keys)
    for table in (FACTS_TABLE, UPCOMING_TABLE, TOUCHED_TABLE, *QUEUE_TABLES):
        _delete_rows(table, keys)
    totals.add_to_totals([*(-value for value in before), int(before[1] > 0)], _ALONE)


def _advance(at: datetime, before: datetime | None) -> datetime:
    """Return the instant to update the facts to: ``at``, unless the clock was set back."""
    if before is None:
        totals.create_parts(at)
        return at
    return max(at, before)


def _update_queued(at: datetime, limit: int, parts: Sequence[int] | None = None) -> int:
    """Update at most ``limit`` queued customers, of all or some parts, which are locked. Return how many."""
    waiting = _read_waiting(at)
    instant = _advance(at, waiting.updated_until)
    selected = _select_queued(instant, parts, limit)
    if selected > FEW_CUSTOMERS:
        backends.expect_rows_in_memory()
    appended = waiting.events or waiting.orders
    marked = mark_unmergeable(instant) if selected and appended else 0
    # Records dated ahead are asked for by the clock. If it was set back, they may be due as well.
    recompute = bool(selected) and (waiting.stale or waiting.upcoming or marked > 0 or instant > at)
    before = after = _sums(SELECTED) if selected else [0, 0, 0, 0]
    if recompute:
        _recompute(RECOMPUTED, instant)
    merged = _store(queries.merge_sql(MERGED, with_orders=waiting.orders)) if selected and appended else 0
    if recompute or waiting.orders:
        after = _sums(SELECTED)
    elif selected:  # events change no totals
        after = [merged, *before[1:]]
    moved = (waiting.orders and merged > 0) or (recompute and before[1] + after[1] > 0)
    gained = [new - old for old, new in zip(before, after, strict=True)]
    totals.add_to_totals([*gained, int(moved)], parts or _ALONE, instant)
    if selected:
        touch_selected()
        queues = zip(QUEUE_TABLES, (waiting.stale, waiting.events, waiting.orders), strict=True)
        _delete_queued([queue for queue, has_rows in queues if has_rows])
    return selected


def _select_queued(at: datetime, parts: Sequence[int] | None = None, limit: int | None = None) -> int:
    """Fill ``facts_selected`` from the queues: who is recomputed, and about whom something was recorded."""
    create_selection_table()
    among = f"WHERE {totals.part_sql('customer_id')} IN ({', '.join(map(str, parts))})" if parts else ""
    return execution.execute(
        f"""INSERT INTO facts_selected SELECT customer_id, max(recompute), max(recorded), max(merged) FROM (
                SELECT customer_id, 1 AS recompute, 1 AS recorded, CASE WHEN merged THEN 1 ELSE 0 END AS merged
                    FROM {STALE_TABLE}
                UNION ALL SELECT customer_id, 0, 1, 0 FROM {APPENDED_EVENTS_TABLE}
                UNION ALL SELECT customer_id, 0, 1, 0 FROM {APPENDED_ORDERS_TABLE}
                UNION ALL SELECT customer_id, 1, 0, 0 FROM {UPCOMING_TABLE} WHERE due_at <= %s
            ) AS queued {among} GROUP BY customer_id ORDER BY customer_id {f"LIMIT {limit}" if limit else ""}""",
        [dialect.datetime_param(at)],
    )


def _recompute(customers: Sql, at: datetime) -> None:
    """Recompute facts from the records, and store when the next record dated ahead comes due."""
    _store(queries.recompute_sql(customers, at))
    execution.execute(
        compose(
            f"""DELETE FROM {FACTS_TABLE} WHERE customer_id IN ({{customers}}) AND customer_id IN (
                    SELECT id FROM customers_customer WHERE merged_into_id IS NOT NULL)""",
            customers=customers,
        )
    )
    _delete_rows(UPCOMING_TABLE, customers)
    execution.execute(
        compose(
            f"""INSERT INTO {UPCOMING_TABLE} (customer_id, due_at) SELECT customer_id, min(at) FROM (
                    {{ahead}} UNION ALL SELECT customer_id, first_seen_at FROM {FACTS_TABLE}
                    WHERE customer_id IN ({{customers}}) AND first_seen_at > {{at}}
                ) AS ahead GROUP BY customer_id""",
            ahead=queries.first_ahead_sql(customers, at),
            customers=customers,
            at=dialect.datetime_param(at),
        )
    )


def _store(select: Sql) -> int:
    names = definitions.fact_columns()
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name != "customer_id")
    return execution.execute(
        compose(
            f"INSERT INTO {FACTS_TABLE} ({', '.join(names)}) {{select}}"
            f" ON CONFLICT (customer_id) DO UPDATE SET {updates}",
            select=select,
        )
    )


def _sums(customers: Sql) -> list[int]:
    [row] = execution.fetch_all(
        compose(
            f"""SELECT count(*), count(*) FILTER (WHERE order_count > 0),
                    COALESCE(sum(total_spent) FILTER (WHERE order_count > 0), 0),
                    COALESCE(sum(average_order_value) FILTER (WHERE order_count > 0), 0)
                FROM {FACTS_TABLE} WHERE customer_id IN ({{customers}})""",
            customers=customers,
        )
    )
    return [int(value) for value in row]


def _delete_queued(queues: Iterable[str]) -> None:
    # The same snapshot selected and computed them: rows queued meanwhile stay in the queue.
    for queue in queues:
        _delete_rows(queue, SELECTED)


def _delete_rows(table: str, customers: Sql) -> None:
    execution.execute(
        compose(f"DELETE FROM {table} WHERE customer_id IN ({{customers}})", customers=customers)
    )
