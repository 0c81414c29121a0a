"""Queries that return rows of facts: from all records, or from the stored rows and appended records.

On SQLite, building a query fills the temporary tables that it reads. So run each one before the next is built.
"""

from datetime import datetime
from typing import Final

from core.db import dialect
from core.db.backends import is_postgresql
from core.db.execution import execute
from core.db.sql import Sql, compose
from customers.models import COUNTING_STATUSES

from .definitions import MAX_SUM, SESSION_GAP_MINUTES, Fact, declared_facts

NO_LIMIT: Final = 2**62  # removes no row, but keeps SQLite from evaluating the query again at each mention


def recompute_sql(customers: Sql, at: datetime, *, only_existing: bool = False) -> Sql:
    """Return a query that computes facts of customers, selected by primary key, from their records up to an instant.

    ``only_existing`` leaves out those who are first seen later.
    """
    until = dialect.datetime_param(at)
    orders = compose(
        "SELECT * FROM customers_order WHERE customer_id IN ({customers}) AND placed_at <= {until}",
        customers=customers,
        until=until,
    )
    events = compose(
        "SELECT * FROM customers_event WHERE customer_id IN ({customers}) AND occurred_at <= {until}",
        customers=customers,
        until=until,
    )
    first_seen = _first_seen_sql(customers)
    if only_existing:
        first_seen = compose(
            "SELECT * FROM ({first_seen}) AS met WHERE first_seen_at <= {until}",
            first_seen=first_seen,
            until=until,
        )
    values = [_recomputed_column_sql(fact) for fact in declared_facts() if fact.source != "derived"]
    ctes = _cte("o", _order_facts_sql(orders)) + _cte("e", _event_facts_sql(events))
    return compose(
        f"""
        WITH {{ctes}} people AS MATERIALIZED ({{first_seen}})
        SELECT id, first_seen_at, {_all_columns_sql()} FROM (
            SELECT c.id, c.first_seen_at, {", ".join(values)}
            FROM people c LEFT JOIN o ON o.customer_id = c.id LEFT JOIN e ON e.customer_id = c.id
        ) AS summed WHERE true""",
        ctes=ctes,
        first_seen=first_seen,
    )


def _first_seen_sql(customers: Sql) -> Sql:
    """Return a query of customers and when they were first seen: the earliest of ``first_seen`` and their records."""
    first_seen = f"COALESCE({dialect.least_sql('first_seen', 'first_order', 'first_event')}, recorded_at)"
    return compose(
        f"""
        SELECT id, {first_seen} AS first_seen_at FROM (
            SELECT c.id, c.first_seen, c.recorded_at,
                (SELECT min(placed_at) FROM customers_order r WHERE r.customer_id = c.id) AS first_order,
                (SELECT min(occurred_at) FROM customers_event r WHERE r.customer_id = c.id) AS first_event
            FROM customers_customer c WHERE c.id IN ({{customers}}) AND c.merged_into_id IS NULL
            LIMIT {NO_LIMIT}
        ) AS dated""",
        customers=customers,
    )


def merge_sql(customers: Sql) -> Sql:
    """Return a query that merges appended records into the stored rows of customers, selected by primary key.

    Appended records are not older than stored ones, and each customer has at most one appended order: see
    ``customers.facts.selection``.
    """
    orders = compose(
        "SELECT * FROM customers_appendedorder WHERE customer_id IN ({customers})", customers=customers
    )
    # Sub-selects, not a join: statistics of the queue lag behind, and the planner would read all rows of facts.
    stored = "FROM customers_facts f WHERE f.customer_id = a.customer_id"
    events = compose(
        f"""SELECT a.*, (SELECT f.last_event_at {stored}) AS stored_event_at,
            (SELECT f.uncancelled_order_at {stored}) AS stored_order_at
            FROM customers_appendedevent a WHERE customer_id IN ({{customers}})""",
        customers=customers,
    )
    values = [_merged_column_sql(fact) for fact in declared_facts() if fact.source != "derived"]
    # Without records, first_seen_at is when the customer was created; the dates of records replace it.
    known = "CASE WHEN f.newest_at IS NULL THEN c.first_seen ELSE f.first_seen_at END"
    first_seen = dialect.least_sql(known, "o.first_at", "e.first_at")
    ctes = _cte("o", _order_facts_sql(orders)) + _cte("e", _event_facts_sql(events, stored=True))
    return compose(
        f"""
        WITH {{ctes}} those AS ({{customers}})
        SELECT id, first_seen_at, {_all_columns_sql()} FROM (
            SELECT c.id, {first_seen} AS first_seen_at, {", ".join(values)}
            FROM customers_customer c LEFT JOIN customers_facts f ON f.customer_id = c.id
            LEFT JOIN o ON o.customer_id = c.id LEFT JOIN e ON e.customer_id = c.id
            WHERE c.id IN (SELECT customer_id FROM those)
        ) AS summed WHERE true""",
        ctes=ctes,
        customers=customers,
    )


def _cte(name: str, query: Sql) -> Sql:
    """Return the start of a WITH clause for a query with one row per ``customer_id``.

    On SQLite, create an indexed temporary table and return an empty text: SQLite would scan the rows for each join.
    """
    if is_postgresql():
        return compose(f"{name} AS ({{query}}),", query=query)
    execute(f"DROP TABLE IF EXISTS temp.{name}")
    execute(compose(f"CREATE TEMPORARY TABLE {name} AS {{query}}", query=query))
    execute(f"CREATE UNIQUE INDEX temp.{name}_of_customer ON {name} (customer_id)")
    return Sql("")


def _order_facts_sql(orders: Sql) -> Sql:
    counting = ", ".join(f"'{status}'" for status in COUNTING_STATUSES)
    facts = ", ".join(f"{fact.sql} AS {fact.name}" for fact in declared_facts() if fact.source == "orders")
    return compose(
        f"""
        SELECT customer_id, min(placed_at) AS first_at, {facts}
        FROM (
            SELECT customer_id, placed_at, status, total - refunded_total AS value,
                status IN ({counting}) AS counts,
                discount_total > 0 OR coupon_code <> '' AS discounted,
                refunded_total > 0 OR status = 'refunded' AS refunded,
                row_number() OVER (
                    PARTITION BY customer_id, status IN ({counting}) ORDER BY placed_at DESC) AS nth
            FROM ({{orders}}) AS orders
        ) AS placed
        GROUP BY customer_id""",
        orders=orders,
    )


def _event_facts_sql(events: Sql, *, stored: bool = False) -> Sql:
    facts = ", ".join(f"{fact.sql} AS {fact.name}" for fact in declared_facts() if fact.source == "events")
    lag = "lag(occurred_at) OVER (PARTITION BY customer_id ORDER BY occurred_at)"
    previous = f"COALESCE({lag}, stored_event_at)" if stored else lag
    latest_order = (
        dialect.greatest_sql("o.uncancelled_order_at", "stored_order_at")
        if stored
        else "o.uncancelled_order_at"
    )
    starts = dialect.is_further_apart_sql("occurred_at", "previous_at", SESSION_GAP_MINUTES)
    stored_column = ", stored_order_at" if stored else ""
    return compose(
        f"""
        SELECT customer_id, min(occurred_at) AS first_at, {facts}
        FROM (
            SELECT seen.*, previous_at IS NULL OR {starts} AS starts_session,
                {latest_order} IS NULL OR occurred_at > {latest_order} AS in_cart
            FROM (
                SELECT customer_id, occurred_at, name, product_value, product_quantity{stored_column},
                    {previous} AS previous_at
                FROM ({{events}}) AS events
            ) AS seen LEFT JOIN o USING (customer_id)
        ) AS happened
        GROUP BY customer_id""",
        events=events,
    )


def _all_columns_sql() -> str:
    return ", ".join(
        f"{fact.sql} AS {fact.name}" if fact.source == "derived" else fact.name for fact in declared_facts()
    )


def _recomputed_column_sql(fact: Fact) -> str:
    column = f"{fact.source[0]}.{fact.name}"
    return f"{column if fact.kind == 'moment' else f'COALESCE({column}, 0)'} AS {fact.name}"


def _merged_column_sql(fact: Fact) -> str:
    stored, appended = f"f.{fact.name}", f"{fact.source[0]}.{fact.name}"
    match fact.merging:
        case "add":
            value = f"COALESCE({stored}, 0) + COALESCE({appended}, 0)"
        case "latest":
            value = dialect.greatest_sql(stored, appended)
        case "earliest":
            value = dialect.least_sql(stored, appended)
        case "shift":  # the appended order moves each latest order to the next position
            nth = int(fact.name.split("_")[1])
            before = "f.last_order_at" if nth == 2 else f"f.order_{nth - 1}_at"
            value = f"CASE WHEN o.order_count > 0 THEN {before} ELSE {stored} END"
        case _:  # "refill": an order empties the cart
            kept = f"CASE WHEN o.uncancelled_order_at IS NULL THEN COALESCE({stored}, 0) ELSE 0 END"
            value = dialect.least_sql(
                str(MAX_SUM), dialect.greatest_sql(str(-MAX_SUM), f"{kept} + COALESCE({appended}, 0)")
            )
    return f"{value} AS {fact.name}"
