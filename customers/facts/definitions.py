"""All facts, each declared once: how it is computed from records, and how an appended record changes it.

A fact is an aggregate over a customer's records up to an instant. Its declaration serves both ways to get a row of
facts (``customers.facts.queries``). Both lead to the same row.
"""

from dataclasses import dataclass
from typing import Final, Literal

from core.db import dialect
from core.values import decimals

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
    """Return the columns of a row of facts, in the order of the queries of facts."""
    return ["customer_id", "first_seen_at", *(fact.name for fact in declared_facts())]
