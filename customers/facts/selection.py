"""The customers whose facts are updated or computed: a temporary table, filled from the queues."""

from datetime import datetime
from typing import Final

from core.db import dialect, execution, temporary_tables
from core.db.sql import Sql, compose
from customers.models import (
    AppendedEvent,
    AppendedOrder,
    Facts,
    FactsAsOf,
    StaleFacts,
    Touched,
    Upcoming,
)

FACTS_TABLE, AS_OF_TABLE, UPCOMING_TABLE = (
    Facts._meta.db_table,
    FactsAsOf._meta.db_table,
    Upcoming._meta.db_table,
)
STALE_TABLE, TOUCHED_TABLE = StaleFacts._meta.db_table, Touched._meta.db_table
APPENDED_EVENTS_TABLE, APPENDED_ORDERS_TABLE = AppendedEvent._meta.db_table, AppendedOrder._meta.db_table
QUEUE_TABLES = (STALE_TABLE, APPENDED_EVENTS_TABLE, APPENDED_ORDERS_TABLE)
SELECTED: Final = Sql("SELECT customer_id FROM facts_selected")
RECOMPUTED, MERGED = SELECTED + Sql(" WHERE recompute = 1"), SELECTED + Sql(" WHERE recompute = 0")
ALL_CUSTOMERS: Final = Sql("SELECT id FROM customers_customer")


def create_selection_table() -> None:
    columns = "customer_id bigint PRIMARY KEY, recompute integer, recorded integer, merged integer"
    temporary_tables.create_temporary_table("facts_selected", columns, joins_large=True)


def unmergeable_sql(customers: Sql, at: datetime) -> Sql:
    """Return a query of those customers, of a query of primary keys, whose appended records cannot be merged into the
    stored row, because they are older than it or dated ahead.
    """
    return compose(
        f"""SELECT c.id FROM customers_customer c LEFT JOIN {FACTS_TABLE} f ON f.customer_id = c.id
            LEFT JOIN (
                SELECT customer_id, min(occurred_at) AS first_at, max(occurred_at) AS last_at
                FROM {APPENDED_EVENTS_TABLE} WHERE customer_id IN ({{customers}}) GROUP BY customer_id
            ) AS e ON e.customer_id = c.id
            LEFT JOIN (
                SELECT customer_id, count(*) AS orders, max(placed_at) AS placed_at
                FROM {APPENDED_ORDERS_TABLE} WHERE customer_id IN ({{customers}}) GROUP BY customer_id
            ) AS o ON o.customer_id = c.id
            WHERE c.id IN ({{customers}}) AND (c.merged_into_id IS NOT NULL
                OR e.first_at < f.last_event_at OR e.last_at > {{at}}
                OR o.orders > 1 OR o.placed_at > {{at}}
                OR o.placed_at < f.any_order_at OR o.placed_at < f.last_event_at)""",
        customers=customers,
        at=dialect.datetime_param(at),
    )


def mark_unmergeable(at: datetime) -> int:
    """Mark the selected customers whose appended records cannot be merged. Return how many there are."""
    return execution.execute(
        compose(
            """UPDATE facts_selected SET recompute = 1
               WHERE recompute = 0 AND customer_id IN ({unmergeable})""",
            unmergeable=unmergeable_sql(MERGED, at),
        )
    )
