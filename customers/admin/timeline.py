"""The timeline of a customer's orders and events, grouped by visits, the latest first."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from customers.facts.definitions import SESSION_GAP_MINUTES
from customers.models import Customer, Event, Order, lines_of

from . import activity_items
from .activity_items import ActivityItem

PAGE_SIZE = 40
SESSION_GAP = timedelta(minutes=SESSION_GAP_MINUTES)
MAX_KEY = 2**63 - 1

PRODUCTS = ("Product Viewed", "Product Clicked", "Product List Viewed", "Products Searched")
CART = ("Product Added", "Product Removed", "Cart Viewed", "Checkout Started", "Coupon Applied")
PAGES = ("Page Viewed", "Screen Viewed")
KINDS = {
    "": "Everything",
    "orders": "Orders",
    "products": "Products looked at",
    "cart": "Cart and checkout",
    "pages": "Pages",
    "other": "Other events",
}
_EVENT_FILTERS = {
    "": Q(),
    "products": Q(name__in=PRODUCTS),
    "cart": Q(name__in=CART),
    "pages": Q(name__in=PAGES),
    "other": ~Q(name__in=PRODUCTS + CART + PAGES),
}


class TimelinePosition(NamedTuple):
    """The position of a record in the timeline: by time, events before orders, then by primary key."""

    at: datetime
    is_order: bool
    key: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Parse the value of ``as_text``. Return None if it is invalid."""
        try:
            at, is_order, key = text.split("~")
            position = cls(datetime.fromisoformat(at).astimezone(UTC), is_order == "order", int(key))
        except (ValueError, OverflowError):
            return None
        return position if 0 <= position.key <= MAX_KEY else None

    @property
    def as_text(self) -> str:
        """Return the position as a URL parameter."""
        return f"{self.at.isoformat()}~{'order' if self.is_order else 'event'}~{self.key}"

    def earlier_q(self, column: str, *, orders: bool) -> Q:
        """Return the records of one kind before this position."""
        before = Q(**{f"{column}__lt": self.at})
        if orders == self.is_order:
            return before | Q(**{column: self.at, "pk__lt": self.key})
        return before | Q(**{column: self.at}) if self.is_order else before


@dataclass(frozen=True)
class Visit:
    """Items without a longer pause between them, the latest first."""

    items: tuple[ActivityItem, ...]

    @property
    def started_at(self) -> datetime:
        return self.items[-1].at

    @property
    def ended_at(self) -> datetime:
        return self.items[0].at

    @property
    def orders(self) -> int:
        return sum(one.order is not None for one in self.items)

    @property
    def events(self) -> int:
        return len(self.items) - self.orders


@dataclass(frozen=True)
class Timeline:
    """One page of visits. ``earlier`` is the query string of the next page, or empty."""

    kind: str
    visits: tuple[Visit, ...]
    earlier: str
    is_latest: bool
    kinds = KINDS


def build_timeline(customer: Customer, kind: str, before: str, mask: Callable[[Any], Any]) -> Timeline:
    """Return a customer's visits before a position, or the latest ones. A visit is only split if it exceeds a page.

    ``mask`` is applied to the properties of events.
    """
    kind = kind if kind in KINDS else ""
    position = TimelinePosition.parse(before)
    records = sorted(_records(customer, kind, position), key=_position, reverse=True)
    shown = records[:PAGE_SIZE]
    if len(records) > PAGE_SIZE:
        shown = _whole_visits(records)
    earlier = {"kind": kind, "before": _position(shown[-1]).as_text} if len(records) > len(shown) else {}
    return Timeline(kind, tuple(_visits(shown, mask)), urlencode(earlier), is_latest=position is None)


def _records(customer: Customer, kind: str, before: TimelinePosition | None) -> Iterator[Event | Order]:
    """Return at least a page of records of each kind."""

    def some(records: QuerySet[Any], column: str, *, orders: bool) -> QuerySet[Any]:
        found = records.filter(before.earlier_q(column, orders=orders)) if before else records
        return found.order_by(f"-{column}", "-pk")[: PAGE_SIZE + 1]

    if kind in ("", "orders"):
        yield from some(customer.orders.prefetch_related(lines_of(customer)), "placed_at", orders=True)
    if kind != "orders":
        events = customer.events.filter(_EVENT_FILTERS[kind]).defer("properties_comparable")
        yield from some(events, "occurred_at", orders=False)


def _position(record: Event | Order) -> TimelinePosition:
    if isinstance(record, Order):
        return TimelinePosition(record.placed_at, True, record.pk)
    return TimelinePosition(record.occurred_at, False, record.pk)


def _whole_visits(records: list[Event | Order]) -> list[Event | Order]:
    """Return the records of a page up to the last complete visit, or a full page if no visit is complete."""
    for end in range(PAGE_SIZE, 0, -1):
        if _position(records[end - 1]).at - _position(records[end]).at > SESSION_GAP:
            return records[:end]
    return records[:PAGE_SIZE]


def _visits(records: Iterable[Event | Order], mask: Callable[[Any], Any]) -> Iterator[Visit]:
    visit: list[ActivityItem] = []
    for record in records:
        if isinstance(record, Event):
            record.properties = mask(record.properties)
        item = activity_items.activity_item(record)
        if visit and visit[-1].at - item.at > SESSION_GAP:
            yield Visit(tuple(visit))
            visit = []
        visit.append(item)
    if visit:
        yield Visit(tuple(visit))
