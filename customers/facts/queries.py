"""Queries that return rows of facts: from all records, or from the stored rows and appended records.

On SQLite, building a query fills the temporary tables that it reads. So run each one before the next is built.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.db import dialect
from core.db.backends import is_postgresql
from core.db.execution import execute
from core.db.sql import Sql, compose
from customers.models import COUNTING_STATUSES

from .definitions import MAX_SUM, SESSION_GAP_MINUTES, Fact, declared_facts
from .selection import APPENDED_EVENTS_TABLE, APPENDED_ORDERS_TABLE, FACTS_TABLE


@dataclass(frozen=True)
class MergedTables:
    """The rows of facts that appended records are merged into, and the records."""

    facts: str = FACTS_TABLE
    events: str = APPENDED_EVENTS_TABLE
    orders: str = APPENDED_ORDERS_TABLE


STORED_TABLES: Final = MergedTables()


def recompute_sql(
    customers: Sql, at: datetime, *, only_existing: bool = False, dated_ahead: Sql | None = None
) -> Sql:
    """Return a query that computes facts of customers, selected by primary key, from their records up to an instant.

    ``only_existing`` leaves out those who are first seen later. ``dated_ahead`` is a query of ``customer_id`` and
    ``at``, by default ``first_ahead_sql``.
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
    values = [_recomputed_column_sql(fact) for fact in declared_facts() if fact.source != "derived"]
    first_seen = dialect.least_sql("c.first_seen", "o.first_at", "e.first_at", "ahead.at")
    return compose(
        f"""
        SELECT id, first_seen_at, {_all_columns_sql()} FROM (
            SELECT c.id, COALESCE({first_seen}, c.recorded_at) AS first_seen_at, {", ".join(values)}
            FROM customers_customer c LEFT JOIN {{orders}} ON o.customer_id = c.id
            LEFT JOIN {{events}} ON e.customer_id = c.id LEFT JOIN {{ahead}} ON ahead.customer_id = c.id
            WHERE c.id IN ({{customers}}) AND c.merged_into_id IS NULL
        ) AS summed WHERE {{is_included}}""",
        orders=_relation("o", _order_facts_sql(orders)),
        events=_relation("e", _event_facts_sql(events, latest=_latest_order_relation(orders))),
        ahead=compose("({ahead}) AS ahead", ahead=dated_ahead or first_ahead_sql(customers, at)),
        customers=customers,
        is_included=compose("first_seen_at <= {until}", until=until) if only_existing else Sql("true"),
    )


def first_ahead_sql(customers: Sql, at: datetime) -> Sql:
    """Return a query of ``customer_id`` and ``at``: the first record of customers dated later than an instant."""
    return compose(
        """
        SELECT customer_id, min(at) AS at FROM (
            SELECT customer_id, placed_at AS at FROM customers_order
            WHERE customer_id IN ({customers}) AND placed_at > {until}
            UNION ALL SELECT customer_id, occurred_at FROM customers_event
            WHERE customer_id IN ({customers}) AND occurred_at > {until}
        ) AS dated GROUP BY customer_id""",
        customers=customers,
        until=dialect.datetime_param(at),
    )


def merge_sql(
    customers: Sql,
    *,
    with_orders: bool,
    customer: int | None = None,
    tables: MergedTables = STORED_TABLES,
) -> Sql:
    """Return a query that merges appended records into the stored rows of customers, selected by primary key.

    Appended records are not older than stored ones: see ``customers.facts.selection``. ``with_orders`` says whether
    any has one. If there is one customer only, ``customer`` is its key: where tables are distributed, one machine
    then answers.
    """
    # Sub-selects, not a join: statistics of the queue lag behind, and the planner would read all rows of facts.
    its = "a.customer_id" if customer is None else str(customer)
    stored = f"FROM {tables.facts} f WHERE f.customer_id = {its}"
    latest_order, joined, first_at = f"(SELECT f.uncancelled_order_at {stored})", Sql(""), ["e.first_at"]
    if with_orders:
        appended = f"FROM {tables.orders} r WHERE r.customer_id = {its} AND r.status <> 'cancelled'"
        latest_order = dialect.greatest_sql(latest_order, f"(SELECT max(r.placed_at) {appended})")
        orders = compose(
            f"SELECT * FROM {tables.orders} WHERE customer_id IN ({{customers}})", customers=customers
        )
        joined = compose(
            "LEFT JOIN {orders} ON o.customer_id = c.id", orders=_relation("o", _order_facts_sql(orders))
        )
        first_at.append("o.first_at")
    events = compose(
        f"""SELECT a.*, (SELECT f.last_event_at {stored}) AS stored_event_at, {latest_order} AS latest_order_at
            FROM {tables.events} a WHERE customer_id IN ({{customers}})""",
        customers=customers,
    )
    values = [
        _merged_column_sql(fact, with_orders=with_orders)
        for fact in declared_facts()
        if fact.source != "derived"
    ]
    # Without records, first_seen_at is when the customer was created; the dates of records replace it.
    known = "CASE WHEN f.newest_at IS NULL THEN c.first_seen ELSE f.first_seen_at END"
    return compose(
        f"""
        SELECT id, first_seen_at, {_all_columns_sql()} FROM (
            SELECT c.id, {dialect.least_sql(known, *first_at)} AS first_seen_at, {", ".join(values)}
            FROM customers_customer c LEFT JOIN {tables.facts} f ON f.customer_id = c.id
            LEFT JOIN {{events}} ON e.customer_id = c.id {{joined}}
            WHERE c.id IN ({{customers}})
        ) AS summed WHERE true""",
        events=_relation("e", _event_facts_sql(events)),
        joined=joined,
        customers=customers,
    )


def _relation(name: str, query: Sql) -> Sql:
    """Return a FROM item for a query with one row per ``customer_id``.

    On SQLite, create an indexed temporary table: SQLite would scan the rows for each join.
    """
    if is_postgresql():
        return compose(f"({{query}}) AS {name}", query=query)
    execute(f"DROP TABLE IF EXISTS temp.{name}")
    execute(compose(f"CREATE TEMPORARY TABLE {name} AS {{query}}", query=query))
    execute(f"CREATE UNIQUE INDEX temp.{name}_of_customer ON {name} (customer_id)")
    return Sql(name)


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


def _latest_order_relation(orders: Sql) -> Sql:
    """Return a FROM item with ``latest_order_at`` of each customer."""
    if not is_postgresql():
        return Sql("(SELECT customer_id, uncancelled_order_at AS latest_order_at FROM o) AS latest")
    # Not from `o`: a sub-query that two others use is kept apart from both.
    return compose(
        """(SELECT customer_id, max(placed_at) AS latest_order_at FROM ({orders}) AS orders
            WHERE status <> 'cancelled' GROUP BY customer_id) AS latest""",
        orders=orders,
    )


def _event_facts_sql(events: Sql, *, latest: Sql | None = None) -> Sql:
    """Return a query of the facts of events.

    ``latest`` is a FROM item with ``latest_order_at`` of each customer. Without it, the events are appended ones, and
    have this column and ``stored_event_at``.
    """
    facts = ", ".join(f"{fact.sql} AS {fact.name}" for fact in declared_facts() if fact.source == "events")
    previous = "lag(occurred_at) OVER (PARTITION BY customer_id ORDER BY occurred_at)"
    kept = ""
    if latest is None:
        previous, kept = f"COALESCE({previous}, stored_event_at)", "latest_order_at,"
    starts = dialect.is_further_apart_sql("occurred_at", "previous_at", SESSION_GAP_MINUTES)
    return compose(
        f"""
        SELECT customer_id, min(occurred_at) AS first_at, {facts}
        FROM (
            SELECT seen.*, previous_at IS NULL OR {starts} AS starts_session,
                latest_order_at IS NULL OR occurred_at > latest_order_at AS in_cart
            FROM (
                SELECT customer_id, occurred_at, name, product_value, product_quantity, {kept}
                    {previous} AS previous_at
                FROM ({{events}}) AS events
            ) AS seen {{joined}}
        ) AS happened
        GROUP BY customer_id""",
        events=events,
        joined=compose("LEFT JOIN {latest} USING (customer_id)", latest=latest) if latest else Sql(""),
    )


def _all_columns_sql() -> str:
    return ", ".join(
        f"{fact.sql} AS {fact.name}" if fact.source == "derived" else fact.name for fact in declared_facts()
    )


def _recomputed_column_sql(fact: Fact) -> str:
    column = f"{fact.source[0]}.{fact.name}"
    return f"{column if fact.kind == 'moment' else f'COALESCE({column}, 0)'} AS {fact.name}"


def _merged_column_sql(fact: Fact, *, with_orders: bool) -> str:
    stored, appended = f"f.{fact.name}", f"{fact.source[0]}.{fact.name}"
    match fact.merging:
        case _ if fact.source == "orders" and not with_orders:
            value = stored if fact.kind == "moment" else f"COALESCE({stored}, 0)"
        case "add":
            value = f"COALESCE({stored}, 0) + COALESCE({appended}, 0)"
        case "latest":
            value = dialect.greatest_sql(stored, appended)
        case "earliest":
            value = dialect.least_sql(stored, appended)
        case "shift":  # each appended order moves the latest stored orders to the next position
            nth = int(fact.name.split("_")[1])
            before = [f"f.order_{place}_at" for place in range(nth, 1, -1)] + ["f.last_order_at"]
            moved = " ".join(f"WHEN {count} THEN {column}" for count, column in enumerate(before))
            value = f"CASE COALESCE(o.order_count, 0) {moved} ELSE {appended} END"
        case _:  # "refill": an order empties the cart
            kept = f"COALESCE({stored}, 0)"
            if with_orders:
                kept = f"CASE WHEN o.uncancelled_order_at IS NULL THEN {kept} ELSE 0 END"
            value = dialect.least_sql(
                str(MAX_SUM), dialect.greatest_sql(str(-MAX_SUM), f"{kept} + COALESCE({appended}, 0)")
            )
    return f"{value} AS {fact.name}"
