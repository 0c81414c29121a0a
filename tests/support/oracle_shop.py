"""What a shop has on record, as the oracle and the tests write it down. All instants are in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from .oracle_operators import Product, exact


@dataclass(frozen=True)
class Line:
    sku: str | None = None
    name: str | None = None
    category: str | None = None
    brand: str | None = None
    quantity: Decimal = Decimal(1)
    unit_price: Decimal = Decimal(0)


@dataclass(frozen=True)
class Order:
    order_id: str
    placed_at: datetime
    status: str = "paid"
    total: Decimal = Decimal(0)
    discount_total: Decimal = Decimal(0)
    refunded_total: Decimal = Decimal(0)
    currency: str = "EUR"
    coupon_code: str | None = None
    lines: tuple[Line, ...] = ()

    @property
    def counts(self) -> bool:
        return self.status in ("paid", "fulfilled")

    @property
    def value(self) -> Fraction:
        return exact(self.total) - exact(self.refunded_total)

    @property
    def discounted(self) -> bool:
        return self.discount_total > 0 or bool(self.coupon_code)

    @property
    def refunded(self) -> bool:
        return self.refunded_total > 0 or self.status == "refunded"

    @property
    def products(self) -> list[Product]:
        return [{"sku": x.sku, "name": x.name, "category": x.category, "brand": x.brand} for x in self.lines]


@dataclass(frozen=True)
class Event:
    message_id: str
    name: str
    occurred_at: datetime
    properties: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Person:
    """One customer as the shop has them on record; attributes are the raw texts of CSV cells."""

    recorded_at: datetime
    customer_id: str | None = None
    anonymous_id: str | None = None
    email: str | None = None
    phone: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    country: str | None = None
    city: str | None = None
    language: str | None = None
    source: str | None = None
    birth_date: date | None = None
    newsletter: str = "never"
    subscribed_at: datetime | None = None
    first_seen: datetime | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    orders: tuple[Order, ...] = ()
    events: tuple[Event, ...] = ()

    @property
    def key(self) -> str:
        """The printed id."""
        return self.customer_id if self.customer_id is not None else f"anonymous:{self.anonymous_id}"

    @cached_property
    def met_at(self) -> datetime:
        """The earliest of the given first_seen and all records; with neither, when they were recorded."""
        times = [order.placed_at for order in self.orders] + [event.occurred_at for event in self.events]
        if self.first_seen is not None:
            times.append(self.first_seen)
        return min(times, default=self.recorded_at)


@dataclass(frozen=True)
class Shop:
    people: tuple[Person, ...] = ()
    members: dict[str, dict[str, datetime]] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    """The rules of segments that are asked by them at other instants, by slug."""


@dataclass(frozen=True)
class Customer:
    """A person as of an instant: of the records those up to it, in the order of time."""

    person: Person
    at: datetime

    @cached_property
    def orders(self) -> list[Order]:
        return sorted((x for x in self.person.orders if x.placed_at <= self.at), key=lambda x: x.placed_at)

    @cached_property
    def counting(self) -> list[Order]:
        return [order for order in self.orders if order.counts]

    @cached_property
    def events(self) -> list[Event]:
        return sorted(
            (x for x in self.person.events if x.occurred_at <= self.at), key=lambda x: x.occurred_at
        )

    @property
    def last_activity(self) -> datetime:
        times = [order.placed_at for order in self.orders] + [event.occurred_at for event in self.events]
        return max([self.person.met_at, *times])
