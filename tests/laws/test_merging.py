"""Records added to the stored facts give the same rows as a recomputation, and read no earlier record."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, reset_queries, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customers.facts import update
from tests.support import shop, value_pools
from tests.support.oracle_arrivals import Delivery, Sent
from tests.support.oracle_shop import Event, Order
from tests.support.shop_in_database import deliver
from tests.support.strategies_shops import each

pytestmark = pytest.mark.django_db

EARLIER_RECORDS = re.compile(r"\bcustomers_(event|order)\b")
CUSTOMERS = ("c1", "c2", "c3")
# After the record before; a session ends with a gap of more than 30 minutes. Few records are late or lie ahead.
GAPS = (*value_pools.STEPS, value_pools.MICROSECOND, timedelta(hours=12), timedelta(days=30)) * 4
LATE_OR_AHEAD = (timedelta(minutes=-30), timedelta(days=-1), timedelta(hours=1), timedelta(days=10))
PRICES = (None, "10", 19.99, -20, "abc")
QUANTITIES = (None, 1, 0.5, -1)

slowly = settings(deadline=None, suppress_health_check=list(HealthCheck))

event = each(
    CUSTOMERS, (*GAPS, *LATE_OR_AHEAD), ("Product Added", "Product Removed", "View"), PRICES, QUANTITIES
)
order = each(
    *(CUSTOMERS, (*GAPS, *LATE_OR_AHEAD), value_pools.STATUSES, value_pools.TOTALS),
    *(value_pools.REDUCTIONS, value_pools.REDUCTIONS, (None, "SPRING")),
)
portion = st.lists(st.tuples(st.just("event"), event) | st.tuples(st.just("order"), order), max_size=5)


@dataclass
class Told:
    """The records so far: each customer's latest ones, and when future ones become due."""

    now: datetime = value_pools.BASE
    sent: int = 0
    last_event: dict[str, datetime] = field(default_factory=dict)
    last_order: dict[str, datetime] = field(default_factory=dict)
    ahead: set[datetime] = field(default_factory=set)

    def deliver(self, records: Iterable[tuple[str, tuple]]) -> bool:
        """Send records, each some time after the previous one. Return whether all can be added to the facts."""
        delivery, times = Delivery(self.now), [self.now]
        events: list[tuple[str, datetime]] = []
        orders: list[tuple[str, datetime]] = []
        for kind, (customer, gap, *rest) in records:
            time = times[-1] + gap
            if gap not in LATE_OR_AHEAD:
                times.append(time)
            self.sent += 1
            if kind == "event":
                events.append((customer, time))
                delivery.events.append(Sent(customer, None, event_of(str(self.sent), time, *rest)))
            else:
                orders.append((customer, time))
                delivery.orders.append((customer, order_of(str(self.sent), time, *rest)))
        self.now = delivery.clock = times[-1]
        deliver(delivery)
        return self.follows(events, orders)

    def follows(self, events: list[tuple[str, datetime]], orders: list[tuple[str, datetime]]) -> bool:
        """Return whether no record is late or in the future, none becomes due, and nobody placed two orders."""
        stored = dict(self.last_event)
        in_order = all(stored.get(customer, time) <= time <= self.now for customer, time in events)
        in_order &= all(
            max(stored.get(customer, time), self.last_order.get(customer, time)) <= time <= self.now
            for customer, time in orders
        )
        in_order &= len({customer for customer, _ in orders}) == len(orders)
        comes_due = any(time <= self.now for time in self.ahead)
        self.ahead = {time for time in self.ahead | {t for _, t in events + orders} if time > self.now}
        for latest, records in ((self.last_event, events), (self.last_order, orders)):
            for customer, time in records:
                latest[customer] = max(latest.get(customer, time), time)
        return in_order and not comes_due


def event_of(message_id: str, time: datetime, name: str, price: object, quantity: object) -> Event:
    return Event(message_id, name, time, {"price": price, "quantity": quantity})


def order_of(
    order_id: str,
    time: datetime,
    status: str,
    total: Decimal,
    discount_total: Decimal,
    refunded_total: Decimal,
    coupon_code: str | None,
) -> Order:
    return Order(order_id, time, status, total, discount_total, refunded_total, coupon_code=coupon_code)


def check(portions: list[list[tuple[str, tuple]]]) -> int:
    """Update the facts after each portion. Return how many portions were added without a recomputation."""
    told, merged = Told(), 0
    for records in portions:
        can_merge = told.deliver(records)
        reset_queries()  # the log of a long run would be full
        with CaptureQueriesContext(connection) as settling:
            update.update_facts(told.now)
        if can_merge:
            read = [query["sql"] for query in settling if EARLIER_RECORDS.search(query["sql"])]
            assert read == []
            merged += bool(records)
        shop.assert_facts_are_those_of_the_records()
        shop.assert_totals_are_those_of_the_facts()
    return merged


def test_appended_records_give_the_same_facts_as_a_recomputation():
    merged = 0

    @settings(slowly, max_examples=50)
    @given(portions=st.lists(portion, min_size=2, max_size=8))
    def law(portions):
        nonlocal merged
        with transaction.atomic():
            merged += check(portions)
            transaction.set_rollback(True)

    law()
    assert merged > 20


@pytest.mark.long
@settings(slowly, max_examples=2_000)
@given(portions=st.lists(portion, min_size=2, max_size=8))
def test_many_appended_records_give_the_same_facts_as_a_recomputation(portions):
    with transaction.atomic():
        check(portions)
        transaction.set_rollback(True)
