"""What each fact of a customer is, in plain Python: amounts, shares and days as whole ten-thousandths.

It shares no code with the product, so that the two can be held against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

from .oracle import DAY, MICROSECOND, SESSION_GAP, cart_value, quantity, spent
from .oracle_operators import rounded
from .oracle_shop import Customer, Event, Order

Value = int | datetime | None


def scaled(value: Fraction) -> int:
    """Return a number as whole ten-thousandths, rounded half away from zero."""
    return int(rounded(value) * 10_000)


def latest(times: Iterable[datetime]) -> datetime | None:
    return max(times, default=None)


def nth_latest(nth: int) -> Callable[[Customer], Value]:
    return lambda x: x.counting[-nth].placed_at if len(x.counting) >= nth else None


def uncancelled(customer: Customer) -> list[Order]:
    return [order for order in customer.orders if order.status != "cancelled"]


def sessions(customer: Customer) -> int:
    times = [event.occurred_at for event in customer.events]
    return len(times[:1]) + sum(later - earlier > SESSION_GAP for earlier, later in pairwise(times))


def in_cart(measure: Callable[[Event], Fraction]) -> Callable[[Customer], Value]:
    """Add up what was put into the cart, less what was removed, since the latest order that is not cancelled."""
    signs = {"Product Added": 1, "Product Removed": -1}

    def total(customer: Customer) -> int:
        emptied_at = latest(order.placed_at for order in uncancelled(customer))
        since = [x for x in customer.events if emptied_at is None or x.occurred_at > emptied_at]
        return scaled(sum((signs.get(event.name, 0) * measure(event) for event in since), Fraction(0)))

    return total


def days_between_orders(customer: Customer) -> Value:
    if len(customer.counting) < 2:
        return None
    whole: timedelta = customer.counting[-1].placed_at - customer.counting[0].placed_at
    return scaled(Fraction(whole // MICROSECOND, DAY // MICROSECOND) / (len(customer.counting) - 1))


def mean_of_orders(measure: Callable[[list[Order]], Any]) -> Callable[[Customer], Value]:
    return lambda x: scaled(Fraction(measure(x.counting)) / len(x.counting)) if x.counting else None


def discounted(orders: list[Order]) -> int:
    return sum(order.discounted for order in orders)


def newest(customer: Customer) -> datetime | None:
    times = [order.placed_at for order in customer.orders] + [event.occurred_at for event in customer.events]
    return latest(times)


FACTS: dict[str, Callable[[Customer], Value]] = {
    "order_count": lambda x: len(x.counting),
    "total_spent": lambda x: scaled(spent(x.counting)),
    "first_order_at": lambda x: x.counting[0].placed_at if x.counting else None,
    "last_order_at": nth_latest(1),
    "order_2_at": nth_latest(2),
    "order_3_at": nth_latest(3),
    "order_4_at": nth_latest(4),
    "order_5_at": nth_latest(5),
    "discounted_count": lambda x: discounted(x.counting),
    "refund_count": lambda x: sum(order.refunded for order in x.orders),
    "any_order_at": lambda x: latest(order.placed_at for order in x.orders),
    "uncancelled_order_at": lambda x: latest(order.placed_at for order in uncancelled(x)),
    "event_count": lambda x: len(x.events),
    "session_count": sessions,
    "last_event_at": lambda x: latest(event.occurred_at for event in x.events),
    "last_added_at": lambda x: latest(e.occurred_at for e in x.events if e.name == "Product Added"),
    "cart_value": in_cart(cart_value),
    "cart_quantity": in_cart(quantity),
    "average_order_value": mean_of_orders(spent),
    "days_between_orders": days_between_orders,
    "discounted_order_share": mean_of_orders(discounted),
    "first_seen_at": lambda x: x.person.met_at,
    "last_activity_at": lambda x: x.last_activity,
    "newest_at": newest,
}
