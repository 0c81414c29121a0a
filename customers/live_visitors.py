"""Who is in the shop right now, read directly from the records, so that recent ones count."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import OuterRef, Subquery

from core.db import dialect, execution

from .facts.definitions import SESSION_GAP_MINUTES
from .models import Customer, Event, Order

MAX_RECORDS_READ: Final = 20_000  # latest records; a very busy shop has more in an hour
MAX_VISIT: Final = timedelta(hours=24)

_EVENTS, _ORDERS = Event._meta.db_table, Order._meta.db_table


@dataclass(frozen=True)
class ActiveCustomers:
    """The primary keys of customers active in a period, the latest first. ``is_everybody`` is false if there are
    more.
    """

    customers: list[int]
    is_everybody: bool


@dataclass(frozen=True)
class Visit:
    """A customer's events up to an instant, without a longer pause between them."""

    started_at: datetime
    events: int


def find_active(since: datetime, until: datetime, limit: int) -> ActiveCustomers:
    """Find customers with an event or order after ``since`` and up to ``until``, at most ``limit``."""
    period = {"since": dialect.datetime_param(since), "until": dialect.datetime_param(until)}
    found = execution.fetch_all(
        f"""SELECT customer_id, max(at), sum(count(*)) OVER () FROM (
                {_latest(_EVENTS, "occurred_at")} UNION ALL {_latest(_ORDERS, "placed_at")}
            ) AS latest GROUP BY customer_id ORDER BY 2 DESC, 1 DESC LIMIT {limit + 1}""",
        period,
    )
    read = int(found[0][2]) if found else 0
    return ActiveCustomers(
        [customer for customer, *_ in found[:limit]],
        is_everybody=len(found) <= limit and read < MAX_RECORDS_READ,
    )


def _latest(table: str, column: str) -> str:
    # Bounded, and by the index on time: the cost does not depend on the size of the shop.
    return f"""SELECT * FROM (
        SELECT customer_id, {column} AS at FROM {table} WHERE {column} > %(since)s AND {column} <= %(until)s
        ORDER BY {column} DESC LIMIT {MAX_RECORDS_READ}) AS {table}_lately"""


def latest_visits(customers: Sequence[int], until: datetime) -> dict[int, Visit]:
    """Return the latest visit of each customer with an event in the last 24 hours."""
    if not customers:
        return {}
    newest_first = "(PARTITION BY customer_id ORDER BY occurred_at DESC)"
    pause = dialect.is_further_apart_sql(
        f"lag(occurred_at) OVER {newest_first}", "occurred_at", SESSION_GAP_MINUTES
    )
    found = execution.fetch_all(
        f"""SELECT customer_id, min(occurred_at), count(*) FROM (
                SELECT customer_id, occurred_at, sum(pause) OVER {newest_first} AS pauses FROM (
                    SELECT customer_id, occurred_at, CASE WHEN {pause} THEN 1 ELSE 0 END AS pause
                    FROM {_EVENTS} WHERE customer_id IN ({", ".join(map(str, customers))})
                        AND occurred_at > %(since)s AND occurred_at <= %(until)s
                ) AS paused
            ) AS counted WHERE pauses = 0 GROUP BY customer_id""",
        {"since": dialect.datetime_param(until - MAX_VISIT), "until": dialect.datetime_param(until)},
    )
    return {customer: Visit(dialect.datetime_from_row(start), events) for customer, start, events in found}


def latest_event_at() -> datetime | None:
    """Return the time of the latest event."""
    return Event.objects.order_by("-occurred_at").values_list("occurred_at", flat=True).first()


def latest_records(customers: Sequence[int], until: datetime) -> dict[int, Event | Order]:
    """Return what each customer did last: an event, or an order placed after it."""
    event = Event.objects.filter(customer=OuterRef("pk"), occurred_at__lte=until)
    order = Order.objects.filter(customer=OuterRef("pk"), placed_at__lte=until)
    keys = list(
        Customer.objects.filter(pk__in=customers).values_list(
            "pk",
            Subquery(event.order_by("-occurred_at", "-pk").values("pk")[:1]),
            Subquery(order.order_by("-placed_at", "-pk").values("pk")[:1]),
        )
    )
    events = Event.objects.defer("properties_comparable").filter(customer__in=customers)
    orders = Order.objects.filter(customer__in=customers)
    events_by_key = {one.pk: one for one in events.filter(pk__in=[event for _, event, _ in keys if event])}
    orders_by_key = {one.pk: one for one in orders.filter(pk__in=[order for *_, order in keys if order])}
    return {
        customer: later
        for customer, event, order in keys
        if (later := _later(events_by_key.get(event), orders_by_key.get(order)))
    }


def _later(event: Event | None, order: Order | None) -> Event | Order | None:
    if event is None or order is None:
        return event or order
    return order if order.placed_at > event.occurred_at else event
