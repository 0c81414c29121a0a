"""All facts, each declared once: how it is computed from records, and how an appended record changes it.

A fact is an aggregate over a customer's records up to an instant. Its declaration serves both ways to get a row of
facts: recomputing it from the records, and merging appended records into the stored row. Both lead to the same row.
"""

from dataclasses import dataclass
from typing import Final, Literal

from core.db import dialect, temporary_tables
from core.db.sql import Sql
from core.values import decimals
from customers.models import COUNTING_STATUSES

Kind = Literal["count", "amount", "quantity", "moment", "share", "days"]
Source = Literal["orders", "events", "derived"]
Merging = Literal["add", "latest", "earliest", "shift", "refill", ""]

SESSION_GAP_MINUTES: Final = 30
LATEST_ORDER_COUNT: Final = 5  # how many of the latest order times are facts
MAX_SUM: Final = 4 * 10**18  # two of them still add up within 64 bits
_PART: Final = 10**6


@dataclass(frozen=True)
class Fact:
    """One number or moment that sums up a customer.

    ``sql`` reads the rows of its source: ``orders`` (with ``counts``, ``value``, ``discounted``, ``refunded``, and
    ``nth``: 1 for the latest counting order, 2 for the one before) or ``events`` (with ``starts_session`` and
    ``in_cart``). A derived fact reads other facts and ``first_seen_at``. ``merging`` says how the stored value
    changes when the same aggregate over appended records is added. Amounts, quantities, shares and days are whole
    ten-thousandths, rounded half away from zero.
    """

    name: str
    source: Source
    kind: Kind
    merging: Merging
    help: str
    sql: str


def _ratio(numerator: str, denominator: str) -> str:
    # Integer division truncates on both databases; adding half the divisor first rounds half away from zero.
    half = f"CASE WHEN {numerator} < 0 THEN -{denominator} ELSE {denominator} END"
    return f"(2 * ({numerator}) + {half}) / NULLIF(2 * {denominator}, 0)"


def _in_cart(units: str) -> str:
    """Return the sum of what was added minus what was removed since the latest uncancelled order, at most
    ``MAX_SUM``.

    Anybody can send such events, so their sum may exceed 64 bits. It is computed from two halves that do not.
    """
    signed = f"CASE name WHEN 'Product Added' THEN {units} WHEN 'Product Removed' THEN -{units} END"
    high = f"COALESCE(sum(({signed}) / {_PART}) FILTER (WHERE in_cart), 0)"
    low = f"COALESCE(sum(({signed}) - ({signed}) / {_PART} * {_PART}) FILTER (WHERE in_cart), 0)"
    most = MAX_SUM // _PART
    return (
        f"CAST(CASE WHEN {high} >= {most} THEN {MAX_SUM} WHEN {high} <= -{most} THEN -{MAX_SUM}"
        f" ELSE {high} * {_PART} + {low} END AS bigint)"
    )


def declared_facts() -> list[Fact]:
    gaps = "((order_count - 1) * 8640000)"  # gaps × microseconds in a ten-thousandth of a day
    span = dialect.microseconds_between_sql("last_order_at", "first_order_at")
    return [
        Fact("order_count", "orders", "count", "add", "Counting orders.", "count(*) FILTER (WHERE counts)"),
        Fact("total_spent", "orders", "amount", "add", "Value of the counting orders.",
             "CAST(COALESCE(sum(value) FILTER (WHERE counts), 0) AS bigint)"),
        Fact("first_order_at", "orders", "moment", "earliest", "First counting order.",
             "min(placed_at) FILTER (WHERE counts)"),
        Fact("last_order_at", "orders", "moment", "latest", "Latest counting order.",
             "max(placed_at) FILTER (WHERE counts)"),
        *(
            Fact(f"order_{nth}_at", "orders", "moment", "shift", f"The {nth}th latest counting order.",
                 f"max(placed_at) FILTER (WHERE counts AND nth = {nth})")
            for nth in range(2, LATEST_ORDER_COUNT + 1)
        ),
        Fact("discounted_count", "orders", "count", "add", "Counting orders with a discount or coupon.",
             "count(*) FILTER (WHERE counts AND discounted)"),
        Fact("refund_count", "orders", "count", "add", "Refunded orders, in part or whole.",
             "count(*) FILTER (WHERE refunded)"),
        Fact("any_order_at", "orders", "moment", "latest", "Latest order of any status.", "max(placed_at)"),
        Fact("uncancelled_order_at", "orders", "moment", "latest", "Latest order that is not cancelled.",
             "max(placed_at) FILTER (WHERE status <> 'cancelled')"),
        Fact("event_count", "events", "count", "add", "Events.", "count(*)"),
        Fact("session_count", "events", "count", "add", "Sessions, a new one after more than 30 minutes' pause.",
             "count(*) FILTER (WHERE starts_session)"),
        Fact("last_event_at", "events", "moment", "latest", "Latest event.", "max(occurred_at)"),
        Fact("last_added_at", "events", "moment", "latest", "Latest “Product Added”.",
             "max(occurred_at) FILTER (WHERE name = 'Product Added')"),
        Fact("cart_value", "events", "amount", "refill", "Value added less removed since the latest uncancelled order.",
             _in_cart("product_value")),
        Fact("cart_quantity", "events", "quantity", "refill",
             "Quantity added less removed since the latest uncancelled order.",
             _in_cart(f"COALESCE(product_quantity, {decimals.SCALE})")),
        Fact("average_order_value", "derived", "amount", "", "Mean value of the counting orders.",
             _ratio("total_spent", "order_count")),
        Fact("days_between_orders", "derived", "days", "", "Mean gap between consecutive counting orders.",
             f"CASE WHEN order_count >= 2 THEN {_ratio(span, gaps)} END"),
        Fact("discounted_order_share", "derived", "share", "", "Share of counting orders with a discount or coupon.",
             _ratio(f"discounted_count * {10_000}", "order_count")),
        Fact("last_activity_at", "derived", "moment", "", "Latest of first seen, any event, any order.",
             dialect.greatest_sql("first_seen_at", "any_order_at", "last_event_at")),
        Fact("newest_at", "derived", "moment", "", "The newest record of all.",
             dialect.greatest_sql("any_order_at", "last_event_at")),
    ]  # fmt: skip


def fact_columns() -> list[str]:
    """Return the columns of a row of facts, in the order of the queries below."""
    return ["customer_id", "first_seen_at", *(fact.name for fact in declared_facts())]


def recompute_sql(people: str, among: str, bound: str) -> Sql:
    """Return a query that computes facts of people from their records up to an instant.

    ``people`` is a query of ``id`` and ``first_seen_at``, ``among`` one of the same people's primary keys, ``bound``
    the instant as an SQL expression.
    """
    its = f"customer_id IN ({among})"
    orders = f"SELECT * FROM customers_order WHERE {its} AND placed_at <= {bound}"
    events = f"SELECT * FROM customers_event WHERE {its} AND occurred_at <= {bound}"
    values = [_alone(fact) for fact in declared_facts() if fact.source != "derived"]
    summed = temporary_tables.cte_by_customer("o", _sum_orders(orders)) + temporary_tables.cte_by_customer(
        "e", _sum_events(events)
    )
    return Sql(f"""
        WITH {summed} people AS MATERIALIZED ({people})
        SELECT id, first_seen_at, {_with_derived()} FROM (
            SELECT c.id, c.first_seen_at, {", ".join(values)}
            FROM people c LEFT JOIN o ON o.customer_id = c.id LEFT JOIN e ON e.customer_id = c.id
        ) AS summed WHERE true""")


def merge_sql(among: str) -> Sql:
    """Return a query that merges appended records into the stored rows of people.

    ``among`` is a query of their primary keys. Appended records are not older than stored ones, and each customer has
    at most one appended order: see ``customers.facts.selection``.
    """
    its = f"customer_id IN ({among})"
    orders = f"SELECT * FROM customers_appendedorder WHERE {its}"
    events = f"SELECT * FROM customers_appendedevent WHERE {its}"
    # Sub-selects, not a join: statistics of the queue lag behind, and the planner would read all rows of facts.
    theirs = "FROM customers_facts f WHERE f.customer_id = a.customer_id"
    after_stored = f"""SELECT a.*, (SELECT f.last_event_at {theirs}) AS stored_event_at,
        (SELECT f.uncancelled_order_at {theirs}) AS stored_order_at FROM ({events}) AS a"""
    values = [_merged(fact) for fact in declared_facts() if fact.source != "derived"]
    # Without records, first_seen_at is when the customer was created; the dates of records replace it.
    known = "CASE WHEN f.newest_at IS NULL THEN c.first_seen ELSE f.first_seen_at END"
    first = dialect.least_sql(known, "o.first_at", "e.first_at")
    summed = temporary_tables.cte_by_customer("o", _sum_orders(orders))
    summed += temporary_tables.cte_by_customer("e", _sum_events(after_stored, stored=True))
    return Sql(f"""
        WITH {summed} those AS ({among})
        SELECT id, first_seen_at, {_with_derived()} FROM (
            SELECT c.id, {first} AS first_seen_at, {", ".join(values)}
            FROM customers_customer c LEFT JOIN customers_facts f ON f.customer_id = c.id
            LEFT JOIN o ON o.customer_id = c.id LEFT JOIN e ON e.customer_id = c.id
            WHERE c.id IN (SELECT customer_id FROM those)
        ) AS summed WHERE true""")


def _sum_orders(orders: str) -> str:
    counting = ", ".join(f"'{status}'" for status in COUNTING_STATUSES)
    facts = ", ".join(f"{fact.sql} AS {fact.name}" for fact in declared_facts() if fact.source == "orders")
    return f"""
        SELECT customer_id, min(placed_at) AS first_at, {facts}
        FROM (
            SELECT customer_id, placed_at, status, total - refunded_total AS value,
                status IN ({counting}) AS counts,
                discount_total > 0 OR coupon_code <> '' AS discounted,
                refunded_total > 0 OR status = 'refunded' AS refunded,
                row_number() OVER (
                    PARTITION BY customer_id, status IN ({counting}) ORDER BY placed_at DESC) AS nth
            FROM ({orders}) AS orders
        ) AS placed
        GROUP BY customer_id"""


def _sum_events(events: str, *, stored: bool = False) -> str:
    facts = ", ".join(f"{fact.sql} AS {fact.name}" for fact in declared_facts() if fact.source == "events")
    lag = "lag(occurred_at) OVER (PARTITION BY customer_id ORDER BY occurred_at)"
    previous = f"COALESCE({lag}, stored_event_at)" if stored else lag
    latest_order = (
        dialect.greatest_sql("o.uncancelled_order_at", "stored_order_at")
        if stored
        else "o.uncancelled_order_at"
    )
    starts = dialect.is_further_apart_sql("occurred_at", "previous_at", SESSION_GAP_MINUTES)
    carried = ", stored_order_at" if stored else ""
    return f"""
        SELECT customer_id, min(occurred_at) AS first_at, {facts}
        FROM (
            SELECT seen.*, previous_at IS NULL OR {starts} AS starts_session,
                {latest_order} IS NULL OR occurred_at > {latest_order} AS in_cart
            FROM (
                SELECT customer_id, occurred_at, name, product_value, product_quantity{carried},
                    {previous} AS previous_at
                FROM ({events}) AS events
            ) AS seen LEFT JOIN o USING (customer_id)
        ) AS happened
        GROUP BY customer_id"""


def _with_derived() -> str:
    return ", ".join(
        f"{fact.sql} AS {fact.name}" if fact.source == "derived" else fact.name for fact in declared_facts()
    )


def _alone(fact: Fact) -> str:
    column = f"{fact.source[0]}.{fact.name}"
    return f"{column if fact.kind == 'moment' else f'COALESCE({column}, 0)'} AS {fact.name}"


def _merged(fact: Fact) -> str:
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
