"""What the shop sold in a period: orders, revenue and new customers, in total and by stage.

Only counting orders count. Their revenue is their total minus refunds. A customer is new in the period of their first
order. Periods end before ``until``. The queries have a time limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db.models import Count, QuerySet, Sum

from core.db import dialect, execution, time_limits
from core.db.sql import compose
from core.values.decimals import from_units
from customers.models import COUNTING_STATUSES, Facts, Order

from . import stages
from .stages import Stage

_ORDERS: Final = Order._meta.db_table
_COUNTING: Final = ", ".join(f"'{status}'" for status in COUNTING_STATUSES)


@dataclass(frozen=True)
class Sales:
    """The sales of a period."""

    revenue: Decimal
    orders: int
    new_customers: int = 0


NOTHING: Final = Sales(Decimal(0), 0)


@dataclass(frozen=True)
class Comparison:
    """The sales of a period, and of the period of the same length before."""

    days: int
    now: Sales
    before: Sales

    @property
    def revenue_growth(self) -> float | None:
        return _growth(self.now.revenue, self.before.revenue)

    @property
    def orders_growth(self) -> float | None:
        return _growth(self.now.orders, self.before.orders)

    @property
    def new_customers_growth(self) -> float | None:
        return _growth(self.now.new_customers, self.before.new_customers)


def _growth(now: Decimal | int, before: Decimal | int) -> float | None:
    """Return the growth as a fraction; None if there was nothing before."""
    return float((now - before) / before) if before > 0 else None


def orders_in(since: datetime, until: datetime) -> QuerySet[Order]:
    """Return the counting orders of a period."""
    return Order.objects.filter(placed_at__gte=since, placed_at__lt=until, status__in=COUNTING_STATUSES)


def new_customers_in(since: datetime, until: datetime) -> QuerySet[Facts]:
    """Return the facts of customers with their first order in a period."""
    # The latest order is not before the first one, and has an index.
    return Facts.objects.filter(
        order_count__gte=1, last_order_at__gte=since, first_order_at__gte=since, first_order_at__lt=until
    )


def compare_sales(at: datetime, days: int, seconds: float) -> Comparison:
    """Return the sales of the last days before an instant, and of as many days before. Raises StatementTimeout."""
    since = at - timedelta(days=days)
    with time_limits.time_limit(seconds):
        return Comparison(days, _sales(since, at), _sales(since - timedelta(days=days), since))


def _sales(since: datetime, until: datetime) -> Sales:
    sums = orders_in(since, until).aggregate(
        total=Sum("total", default=0), refunded=Sum("refunded_total", default=0), orders=Count("pk")
    )
    revenue = Decimal(sums["total"]) - Decimal(sums["refunded"])
    return Sales(revenue, sums["orders"], new_customers_in(since, until).count())


def sales_by_stage(
    shown: Sequence[Stage], since: datetime, until: datetime, seconds: float
) -> Mapping[str, Sales]:
    """Return the orders and revenue of a period by the present stage of the customers. Raises StatementTimeout.

    The stages are those of the shop, in the order in which they are asked.
    """
    if not shown:
        return {}
    query = compose(
        f"""SELECT s.stage, CAST(sum(o.total - o.refunded_total) AS bigint), count(*)
            FROM {_ORDERS} o LEFT JOIN ({{staged}}) AS s ON s.customer_id = o.customer_id
            WHERE o.placed_at >= {{since}} AND o.placed_at < {{until}} AND o.status IN ({_COUNTING})
            GROUP BY s.stage""",
        staged=stages.stage_of_members_sql(shown),
        since=dialect.datetime_param(since),
        until=dialect.datetime_param(until),
    )
    with time_limits.time_limit(seconds):
        rows = execution.fetch_all(query)
    return {
        stages.NO_STAGE if place is None else shown[place].slug: Sales(from_units(units), orders)
        for place, units, orders in rows
    }
