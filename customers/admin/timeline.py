"""One timeline of a customer's orders and events, the latest first, visit by visit."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from customers.facts.definitions import SESSION_GAP_MINUTES
from customers.models import Customer, Event, Order

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
    """Where in the timeline a record stands: by moment, orders after events of the same one, then by key."""

    at: datetime
    is_order: bool
    key: int

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read what ``written`` gives; None from anything else."""
        try:
            at, is_order, key = text.split("~")
            place = cls(datetime.fromisoformat(at).astimezone(UTC), is_order == "order", int(key))
        except (ValueError, OverflowError):
            return None
        return place if 0 <= place.key <= MAX_KEY else None

    @property
    def written(self) -> str:
        """Write it for an address."""
        return f"{self.at.isoformat()}~{'order' if self.is_order else 'event'}~{self.key}"

    def earlier(self, column: str, *, orders: bool) -> Q:
        """Ask records of one kind for those before this place."""
        before = Q(**{f"{column}__lt": self.at})
        if orders == self.is_order:
            return before | Q(**{column: self.at, "pk__lt": self.key})
        return before | Q(**{column: self.at}) if self.is_order else before


@dataclass(frozen=True)
class Visit:
    """What happened without a longer pause, the latest first."""

    happenings: tuple[ActivityItem, ...]

    @property
    def started_at(self) -> datetime:
        """Give the first moment shown."""
        return self.happenings[-1].at

    @property
    def ended_at(self) -> datetime:
        """Give the last moment."""
        return self.happenings[0].at

    @property
    def orders(self) -> int:
        """Count the orders."""
        return sum(one.order is not None for one in self.happenings)

    @property
    def events(self) -> int:
        """Count the events."""
        return len(self.happenings) - self.orders


@dataclass(frozen=True)
class Timeline:
    """Some visits, and the query of an address for the earlier ones."""

    kind: str
    visits: tuple[Visit, ...]
    earlier: str
    is_latest: bool
    kinds = KINDS


def build_timeline(customer: Customer, kind: str, before: str, seen: Callable[[Any], Any]) -> Timeline:
    """Give a customer's visits before a place, or the latest; whole ones, unless one alone is too long.

    ``seen`` makes of an event's properties what is shown of them.
    """
    kind = kind if kind in KINDS else ""
    place = TimelinePosition.read(before)
    records = sorted(_records(customer, kind, place), key=_position, reverse=True)
    shown = records[:PAGE_SIZE]
    if len(records) > PAGE_SIZE:
        shown = _whole_visits(records)
    earlier = {"kind": kind, "before": _position(shown[-1]).written} if len(records) > len(shown) else {}
    return Timeline(kind, tuple(_visits(shown, seen)), urlencode(earlier), is_latest=place is None)


def _records(customer: Customer, kind: str, before: TimelinePosition | None) -> Iterator[Event | Order]:
    """Give more than enough of each kind."""

    def some(records: QuerySet[Any], column: str, *, orders: bool) -> QuerySet[Any]:
        found = records.filter(before.earlier(column, orders=orders)) if before else records
        return found.order_by(f"-{column}", "-pk")[: PAGE_SIZE + 1]

    if kind in ("", "orders"):
        yield from some(customer.orders.prefetch_related("lines"), "placed_at", orders=True)
    if kind != "orders":
        events = customer.events.filter(_EVENT_FILTERS[kind]).defer("properties_comparable")
        yield from some(events, "occurred_at", orders=False)


def _position(record: Event | Order) -> TimelinePosition:
    if isinstance(record, Order):
        return TimelinePosition(record.placed_at, True, record.pk)
    return TimelinePosition(record.occurred_at, False, record.pk)


def _whole_visits(records: list[Event | Order]) -> list[Event | Order]:
    """Cut where a visit begins, so that none is torn in two; one that is longer than the page is."""
    for end in range(PAGE_SIZE, 0, -1):
        if _position(records[end - 1]).at - _position(records[end]).at > SESSION_GAP:
            return records[:end]
    return records[:PAGE_SIZE]


def _visits(records: Iterable[Event | Order], seen: Callable[[Any], Any]) -> Iterator[Visit]:
    visit: list[ActivityItem] = []
    for record in records:
        if isinstance(record, Event):
            record.properties = seen(record.properties)
        happening = activity_items.activity_item(record)
        if visit and visit[-1].at - happening.at > SESSION_GAP:
            yield Visit(tuple(visit))
            visit = []
        visit.append(happening)
    if visit:
        yield Visit(tuple(visit))
