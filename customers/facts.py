"""Each fact declared once, and the only writer of the facts.

A fact is an aggregate over a customer's records. One declaration serves the stored row, which sums up all
records, and the row as of a past instant, which sums up those not later than it. A stored row holds for an
instant as long as no record of the customer is newer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from django.db import transaction

from . import engine
from .models import COUNTING_STATUSES, Facts, FactsAsOf, StaleFacts
from .turns import take_turn

Kind = Literal["count", "amount", "moment", "share", "days"]

SESSION_GAP_MINUTES: Final = 30
LATEST_ORDERS: Final = 5  # how many of the latest order times are facts
SETTLED_AT_ONCE: Final = 20_000  # customers a transaction


@dataclass(frozen=True)
class Fact:
    """One number or moment that sums a customer up.

    ``sql`` reads the rows of its source: ``orders`` (with ``counts``, ``value``, ``discounted``, ``refunded``
    and ``nth``, the how-manieth latest of the counting ones), ``events`` (with ``starts_session`` and
    ``in_cart``), or ``customer``, where the facts of both are at hand as ``o`` and ``e``, besides ``c``.
    Amounts, shares and days are whole ten-thousandths, rounded half away from zero.
    """

    name: str
    source: Literal["orders", "events", "customer"]
    kind: Kind
    help: str
    sql: str


def _ratio(numerator: str, denominator: str) -> str:
    # Integer division cuts towards zero on both databases; adding half the divisor first rounds half away.
    half = f"CASE WHEN {numerator} < 0 THEN -{denominator} ELSE {denominator} END"
    return f"(2 * ({numerator}) + {half}) / NULLIF(2 * {denominator}, 0)"


def declared() -> list[Fact]:
    """Declare every fact."""
    gaps = "((o.order_count - 1) * 8640000)"  # gaps × microseconds in a ten-thousandth of a day
    span = engine.microseconds("o.last_order_at", "o.first_order_at")
    return [
        Fact("order_count", "orders", "count", "Counting orders.", "count(*) FILTER (WHERE counts)"),
        Fact("total_spent", "orders", "amount", "Value of the counting orders.",
             "CAST(COALESCE(sum(value) FILTER (WHERE counts), 0) AS bigint)"),
        Fact("first_order_at", "orders", "moment", "First counting order.", "min(placed_at) FILTER (WHERE counts)"),
        Fact("last_order_at", "orders", "moment", "Latest counting order.", "max(placed_at) FILTER (WHERE counts)"),
        *(
            Fact(f"order_{nth}_at", "orders", "moment", f"The {nth}th latest counting order.",
                 f"max(placed_at) FILTER (WHERE counts AND nth = {nth})")
            for nth in range(2, LATEST_ORDERS + 1)
        ),
        Fact("discounted_count", "orders", "count", "Counting orders with a discount or coupon.",
             "count(*) FILTER (WHERE counts AND discounted)"),
        Fact("refund_count", "orders", "count", "Refunded orders, in part or whole.",
             "count(*) FILTER (WHERE refunded)"),
        Fact("any_order_at", "orders", "moment", "Latest order of any status.", "max(placed_at)"),
        Fact("uncancelled_order_at", "orders", "moment", "Latest order that is not cancelled.",
             "max(placed_at) FILTER (WHERE status <> 'cancelled')"),
        Fact("event_count", "events", "count", "Events.", "count(*)"),
        Fact("session_count", "events", "count", "Sessions, a new one after more than 30 minutes' pause.",
             "count(*) FILTER (WHERE starts_session)"),
        Fact("last_event_at", "events", "moment", "Latest event.", "max(occurred_at)"),
        Fact("last_added_at", "events", "moment", "Latest “Product Added”.",
             "max(occurred_at) FILTER (WHERE name = 'Product Added')"),
        Fact("cart_value", "events", "amount", "Value added less removed since the latest order not cancelled.",
             "CAST(COALESCE(sum(CASE name WHEN 'Product Added' THEN product_value"
             " WHEN 'Product Removed' THEN -product_value END) FILTER (WHERE in_cart), 0) AS bigint)"),
        Fact("average_order_value", "customer", "amount", "Mean value of the counting orders.",
             _ratio("o.total_spent", "o.order_count")),
        Fact("days_between_orders", "customer", "days", "Mean gap between consecutive counting orders.",
             f"CASE WHEN o.order_count >= 2 THEN {_ratio(span, gaps)} END"),
        Fact("discounted_order_share", "customer", "share", "Share of counting orders with a discount or coupon.",
             _ratio(f"o.discounted_count * {10_000}", "o.order_count")),
        Fact("last_activity_at", "customer", "moment", "Latest of first seen, any event, any order.",
             engine.greatest("c.first_seen_at", engine.greatest("o.any_order_at", "e.last_event_at"))),
        Fact("newest_at", "customer", "moment", "The newest record of all.",
             engine.greatest("o.any_order_at", "e.last_event_at")),
    ]  # fmt: skip


def settle(
    now: Callable[[], datetime] = lambda: datetime.now(UTC), progress: Callable[[int], None] = lambda _: None
) -> int:
    """Bring the facts of every queued customer in line with the records; give how many customers that were.

    A transaction takes a share of the queue; what a crash leaves in it, the next call settles.
    """
    settled = 0
    while True:
        with transaction.atomic():
            take_turn("facts")
            taken = _take_queued()
            if not taken:
                return settled
            _write_stored(now())
        settled += taken
        progress(settled)


def _take_queued() -> int:
    queue = StaleFacts._meta.db_table
    engine.temporary_table("facts_among", "customer_id bigint PRIMARY KEY")
    taken = engine.execute(
        "INSERT INTO facts_among"
        f" SELECT DISTINCT customer_id FROM {queue} ORDER BY customer_id LIMIT {SETTLED_AT_ONCE}"
    )
    if taken:
        engine.analyze("facts_among")
        # Before the records are read: whatever is queued and committed by now is seen, what comes later stays.
        engine.execute(f"DELETE FROM {queue} WHERE customer_id IN (SELECT customer_id FROM facts_among)")
    return taken


def _write_stored(now: datetime) -> None:
    table, names = Facts._meta.db_table, _columns()
    first_seen = engine.least(
        "c.first_seen",
        "(SELECT min(placed_at) FROM customers_order r WHERE r.customer_id = c.id)",
        "(SELECT min(occurred_at) FROM customers_event r WHERE r.customer_id = c.id)",
    )
    select, params = _select(
        people=f"""SELECT c.id, COALESCE({first_seen}, c.recorded_at) AS first_seen_at
            FROM customers_customer c JOIN facts_among a ON a.customer_id = c.id
            WHERE c.joined_into_id IS NULL""",
        bound=None,
        settled_at=now,
    )
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name != "customer_id")
    engine.execute(
        f"DELETE FROM {table} WHERE customer_id IN (SELECT c.id FROM customers_customer c"
        " JOIN facts_among a ON a.customer_id = c.id WHERE c.joined_into_id IS NOT NULL)"
    )
    engine.execute(
        f"INSERT INTO {table} ({', '.join(names)}) {select}"
        f" ON CONFLICT (customer_id) DO UPDATE SET {updates}",
        params,
    )


def relation_at(at: datetime) -> Literal["facts", "facts_as_of"]:
    """Name the relation of a customer that holds the facts of an instant, having filled it where needed.

    The stored rows serve as they are unless a record is newer than ``at``. Else a temporary table takes the
    rows that hold, and recomputes the others from the records. Customers first seen later are in neither
    sense there: ask for ``first_seen_at`` not after ``at``.
    """
    newer = Facts.objects.filter(newest_at__gt=at, first_seen_at__lte=at)
    if not newer.exists():
        return "facts"
    until = engine.moment(at)
    stored, names = Facts._meta.db_table, ", ".join(_columns())
    _make_as_of_table()
    engine.temporary_table("facts_among", "customer_id bigint PRIMARY KEY")
    engine.execute(
        f"INSERT INTO facts_among SELECT customer_id FROM {stored} WHERE newest_at > %s AND first_seen_at <= %s",
        [until, until],
    )
    engine.analyze("facts_among")
    table = FactsAsOf._meta.db_table
    engine.execute(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {stored}"
        " WHERE (newest_at IS NULL OR newest_at <= %s) AND first_seen_at <= %s",
        [until, until],
    )
    recompute_as_of(at)
    return "facts_as_of"


def recompute_all_at(at: datetime) -> Literal["facts_as_of"]:
    """Sum every customer up from the records alone, whatever is stored: what verification compares with."""
    until = engine.moment(at)
    _make_as_of_table()
    engine.temporary_table("facts_among", "customer_id bigint PRIMARY KEY")
    engine.execute(
        f"INSERT INTO facts_among SELECT customer_id FROM {Facts._meta.db_table} WHERE first_seen_at <= %s",
        [until],
    )
    engine.analyze("facts_among")
    recompute_as_of(at)
    return "facts_as_of"


def recompute_as_of(at: datetime) -> None:
    """Sum up, from the records not later than ``at``, the customers of ``facts_among``."""
    select, params = _select(
        people="""SELECT stored.customer_id AS id, stored.first_seen_at
            FROM customers_facts stored JOIN facts_among a ON a.customer_id = stored.customer_id""",
        bound=at,
        settled_at=at,
    )
    engine.execute(f"INSERT INTO {FactsAsOf._meta.db_table} ({', '.join(_columns())}) {select}", params)
    engine.analyze(FactsAsOf._meta.db_table)


def _make_as_of_table() -> None:
    table = FactsAsOf._meta.db_table
    engine.execute(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} AS SELECT * FROM {Facts._meta.db_table} WHERE 1 = 0"
    )
    schema = "" if engine.is_postgresql() else "temp."
    engine.execute(f"CREATE UNIQUE INDEX IF NOT EXISTS {schema}facts_as_of_customer ON {table} (customer_id)")
    engine.empty(table)


def _columns() -> list[str]:
    return ["customer_id", "first_seen_at", "settled_at", *(fact.name for fact in declared())]


def _select(*, people: str, bound: datetime | None, settled_at: datetime) -> tuple[str, list[str]]:
    facts = declared()
    orders = ", ".join(f"{fact.sql} AS {fact.name}" for fact in facts if fact.source == "orders")
    events = ", ".join(f"{fact.sql} AS {fact.name}" for fact in facts if fact.source == "events")
    counting = ", ".join(f"'{status}'" for status in COUNTING_STATUSES)
    starts = engine.further_apart("occurred_at", "previous_at", SESSION_GAP_MINUTES)
    sql = f"""
        WITH o AS (
            SELECT customer_id, {orders}
            FROM (
                SELECT customer_id, placed_at, status, total - refunded_total AS value,
                    status IN ({counting}) AS counts,
                    discount_total > 0 OR coupon_code <> '' AS discounted,
                    refunded_total > 0 OR status = 'refunded' AS refunded,
                    row_number() OVER (
                        PARTITION BY customer_id, status IN ({counting}) ORDER BY placed_at DESC) AS nth
                FROM customers_order
                WHERE customer_id IN (SELECT customer_id FROM facts_among) {"AND placed_at <= %s" if bound else ""}
            ) AS placed
            GROUP BY customer_id
        ), e AS (
            SELECT customer_id, {events}
            FROM (
                SELECT seen.*, previous_at IS NULL OR {starts} AS starts_session,
                    o.uncancelled_order_at IS NULL OR occurred_at > o.uncancelled_order_at AS in_cart
                FROM (
                    SELECT customer_id, occurred_at, name, product_value, lag(occurred_at) OVER (
                        PARTITION BY customer_id ORDER BY occurred_at) AS previous_at
                    FROM customers_event
                    WHERE customer_id IN (SELECT customer_id FROM facts_among)
                        {"AND occurred_at <= %s" if bound else ""}
                ) AS seen LEFT JOIN o USING (customer_id)
            ) AS happened
            GROUP BY customer_id
        )
        SELECT c.id, c.first_seen_at, %s, {", ".join(map(_settled_column, facts))}
        FROM ({people}) AS c LEFT JOIN o ON o.customer_id = c.id LEFT JOIN e ON e.customer_id = c.id
        WHERE true"""
    moments = [bound, bound, settled_at] if bound else [settled_at]
    return sql, [engine.moment(moment) for moment in moments]


def _settled_column(fact: Fact) -> str:
    if fact.source == "customer":
        return fact.sql
    column = f"{'o' if fact.source == 'orders' else 'e'}.{fact.name}"
    return column if fact.kind == "moment" else f"COALESCE({column}, 0)"
