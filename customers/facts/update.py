"""The only writer of facts. It empties the queues that ingestion fills, and queues touched customers for segments.

Stored rows hold the facts of one instant, which never goes back. A record dated later is stored as upcoming and
counted once that instant has passed. Records that are appended in their order are merged into the stored row; after
any other change the customer's facts are recomputed.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from core.db import dialect, execution, time_limits, transactions
from core.db.sql import Sql, compose
from customers.models import Facts, Totals, Upcoming

from . import definitions, queries
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
    TOTALS_TABLE,
    TOUCHED_TABLE,
    UPCOMING_TABLE,
    create_selection_table,
    mark_unmergeable,
)
from .touched_customers import touch_selected

UPDATE_BATCH_SIZE: Final = 20_000  # customers in one transaction
MIN_UPDATE_BATCH_SIZE: Final = 300  # while statements time out


def update_facts(
    at: datetime | None = None,
    progress: Callable[[int], None] = lambda _: None,
    *,
    not_before: datetime | None = None,
) -> int:
    """Bring the facts of every queued customer in line with the records. Return how many customers were updated.

    The rows then hold the facts of ``at``, by default the current time, or of their former instant if it is later.
    If the clock was set back, they hold at least those of ``not_before``. Each transaction updates a part of the
    queue. After a crash, the next call updates the rest.
    """

    def update_batch(batch_size: int) -> tuple[int, bool]:
        with lock_facts():
            # Read the clock again: a record committed while we waited is not dated ahead.
            updated = _update_queued(_instant(at, not_before), batch_size)
            return updated, updated == batch_size

    if not is_update_due(_instant(at, not_before)):
        return 0
    updated, is_more, batch = 0, True, time_limits.AdaptiveBatch(UPDATE_BATCH_SIZE, MIN_UPDATE_BATCH_SIZE)
    while is_more:
        of_batch, is_more = batch.run(update_batch)
        updated += of_batch
        progress(updated)
    return updated


def _instant(at: datetime | None, not_before: datetime | None) -> datetime:
    at = at or datetime.now(UTC)
    return max(at, not_before) if not_before else at


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
        f"""SELECT (SELECT max(updated_until) FROM {TOTALS_TABLE}), {queues},
            EXISTS (SELECT 1 FROM {UPCOMING_TABLE} WHERE due_at <= %s LIMIT 1),
            EXISTS (SELECT 1 FROM {TOUCHED_TABLE} LIMIT 1)""",
        [dialect.datetime_param(at)],
    )
    instant = None if updated_until is None else dialect.datetime_from_row(updated_until)
    return _Waiting(instant, *map(bool, waits))


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
    return Totals.objects.values_list("updated_until", flat=True).first()


def recompute_all(at: datetime | None = None) -> int:
    """Recompute the facts of all customers from the records. Return how many customers there are.

    A full refresh must follow, to bring the members in line.
    """
    with lock_facts():
        at = _advance(at or datetime.now(UTC), facts_updated_until())
        _select_queued(at, "")
        execution.execute("UPDATE facts_selected SET recompute = 1")
        touch_selected()
        _recompute(ALL_CUSTOMERS, at)
        Totals.objects.update(customers=0, buyers=0, total_spent=0, average_order_value=0)
        _add_to_totals(at, [0, 0, 0, 0], _sums(ALL_CUSTOMERS), moved=True)
        _delete_queued(QUEUE_TABLES)
        return Facts.objects.count()


def lock_facts() -> AbstractContextManager[None]:
    """Return a transaction in which nobody else writes facts."""
    return transactions.locked_table(TOTALS_TABLE)


def delete_facts(customers: Sequence[int]) -> None:
    """Delete the facts of customers, by primary key, and their rows in the queues.

    Call it inside ``lock_facts``. The totals are reduced by their facts.
    """
    keys = Sql(", ".join(map(str, customers)))
    before = _sums(keys)
    for table in (FACTS_TABLE, UPCOMING_TABLE, TOUCHED_TABLE, *QUEUE_TABLES):
        _delete_rows(table, keys)
    _add_to_totals(None, before, [0, 0, 0, 0], moved=before[1] > 0)


def _advance(at: datetime, before: datetime | None) -> datetime:
    """Return the instant to update the facts to: ``at``, unless the clock was set back."""
    if before is None:
        Totals.objects.create(pk=1, updated_until=at)
        return at
    return max(at, before)


def _update_queued(at: datetime, limit: int) -> int:
    waiting = _read_waiting(at)
    instant = _advance(at, waiting.updated_until)
    selected = _select_queued(instant, f"LIMIT {limit}")
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
    _add_to_totals(instant, before, after, moved=moved)
    if selected:
        touch_selected()
        queues = zip(QUEUE_TABLES, (waiting.stale, waiting.events, waiting.orders), strict=True)
        _delete_queued([queue for queue, has_rows in queues if has_rows])
    return selected


def _select_queued(at: datetime, limit: str) -> int:
    """Fill ``facts_selected`` from the queues: who is recomputed, and about whom something was recorded."""
    create_selection_table()
    return execution.execute(
        f"""INSERT INTO facts_selected SELECT customer_id, max(recompute), max(recorded), max(merged) FROM (
                SELECT customer_id, 1 AS recompute, 1 AS recorded, CASE WHEN merged THEN 1 ELSE 0 END AS merged
                    FROM {STALE_TABLE}
                UNION ALL SELECT customer_id, 0, 1, 0 FROM {APPENDED_EVENTS_TABLE}
                UNION ALL SELECT customer_id, 0, 1, 0 FROM {APPENDED_ORDERS_TABLE}
                UNION ALL SELECT customer_id, 1, 0, 0 FROM {UPCOMING_TABLE} WHERE due_at <= %s
            ) AS queued GROUP BY customer_id ORDER BY customer_id {limit}""",
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


def _add_to_totals(
    updated_until: datetime | None, before: list[int], after: list[int], *, moved: bool
) -> None:
    """Add what was gained, and store the instant of the rows if it is given."""
    gained = [new - old for old, new in zip(before, after, strict=True)]
    instant = "" if updated_until is None else f"updated_until = {dialect.datetime_cast_sql('%s')}, "
    execution.execute(
        f"""UPDATE {TOTALS_TABLE} SET {instant}
            customers = customers + %s, buyers = buyers + %s, total_spent = total_spent + %s,
            average_order_value = average_order_value + %s, buyers_version = buyers_version + %s""",
        [*([dialect.datetime_param(updated_until)] if updated_until else []), *gained, int(moved)],
    )


def _delete_queued(queues: Iterable[str]) -> None:
    # The same snapshot selected and computed them: rows queued meanwhile stay in the queue.
    for queue in queues:
        _delete_rows(queue, SELECTED)


def _delete_rows(table: str, customers: Sql) -> None:
    execution.execute(
        compose(f"DELETE FROM {table} WHERE customer_id IN ({{customers}})", customers=customers)
    )
