"""What has arrived so far, as the oracle understands it: rows laid over earlier ones, browsers linked to customers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from . import oracle_consent
from .oracle_consent import Consent
from .oracle_shop import Event, Line, Order, Person, Shop

Row = TypeVar("Row", Person, Order, Line, Event)

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Sent:
    """An event, with the ids it was sent with. With both, it links the browser to the customer."""

    customer_id: str | None
    anonymous_id: str | None
    event: Event


@dataclass
class Delivery:
    """What comes in at once, a file of each kind; people are rows of customers, and orders come without lines."""

    clock: datetime
    people: list[Person] = field(default_factory=list)
    orders: list[tuple[str, Order]] = field(default_factory=list)
    lines: list[tuple[str, tuple[Line, ...]]] = field(default_factory=list)
    events: list[Sent] = field(default_factory=list)
    facts_updated_at: datetime | None = None
    """The instant to which facts are updated afterwards, if they are."""


class Arrived:
    """People by their printed ids, and whose the records are."""

    def __init__(self) -> None:
        self.people: dict[str, Person] = {}
        self.orders: dict[str, tuple[str, Order]] = {}
        self.lines: dict[str, dict[tuple[str, int], Line]] = defaultdict(dict)
        self.events: dict[str, tuple[Sent, Event]] = {}
        self.consents: dict[str, Consent] = defaultdict(Consent)
        self.links: dict[str, dict[str, tuple[datetime, int]]] = defaultdict(dict)
        """For each browser the customers it was linked to, each with the earliest time and the order of arrival."""

    def shop(self, members: Mapping[str, Mapping[str, datetime]]) -> Shop:
        """The shop as it is known now."""
        orders, events = defaultdict(list), defaultdict(list)
        for owner, order in self.orders.values():
            orders[owner].append(replace(order, lines=tuple(self.lines[order.order_id].values())))
        for sent, event in self.events.values():
            events[self._owner(sent)].append(event)
        people = (
            replace(person, orders=tuple(orders[key]), events=tuple(events[key]))
            for key, person in self.people.items()
        )
        return Shop(tuple(people), {slug: dict(inside) for slug, inside in members.items()})

    def take(self, delivery: Delivery) -> set[str]:
        """Take what comes in; give the printed ids of whom it is about, and of whom it was about before."""
        about: set[str] = set()
        for person in delivery.people:
            key = self._met(str(person.customer_id), delivery.clock)
            old = self.people[key]
            attributes = old.attributes | {name: cell for name, cell in person.attributes.items() if cell}
            self.people[key] = replace(laid_over(old, person), attributes=attributes)
            about.add(key)
        for key, newsletter, subscribed_at, at in oracle_consent.statements(delivery.people, delivery.clock):
            self.consents[key].state(newsletter, subscribed_at, at)
            self.people[key] = replace(self.people[key], newsletter=self.consents[key].newsletter)
        for customer_id, order in delivery.orders:
            owner, old_order = self.orders.get(order.order_id, ("", order))
            about |= {owner} - {""}
            owner = self._met(customer_id, delivery.clock) if customer_id else owner
            self.orders[order.order_id] = (owner, laid_over(old_order, order))
            about.add(owner)
        nth: Counter[tuple[str, str]] = Counter()
        for order_id, lines in delivery.lines:
            for line in lines:
                nth[order_id, line.sku or ""] += 1
                place = line.sku or "", nth[order_id, line.sku or ""]
                self.lines[order_id][place] = laid_over(self.lines[order_id].get(place, line), line)
            about.add(self.orders[order_id][0])
        for sent in delivery.events:
            about |= self._take_event(sent, delivery.clock)
        return about

    def _take_event(self, sent: Sent, clock: datetime) -> set[str]:
        about = set()
        event = sent.event
        if event.message_id in self.events:
            before, old_event = self.events[event.message_id]
            about.add(self._owner(before))
            event = laid_over(old_event, event)
        if sent.customer_id is not None:
            self._met(sent.customer_id, clock)
        if sent.anonymous_id is not None:
            if sent.customer_id is not None:
                about |= self._link(sent.anonymous_id, sent.customer_id, event.occurred_at)
            elif sent.anonymous_id not in self.links:
                visitor = Person(clock, anonymous_id=sent.anonymous_id)
                self.people.setdefault(visitor.key, visitor)
        self.events[event.message_id] = sent, event
        about.add(self._owner(sent))
        return about

    def _met(self, customer_id: str, clock: datetime) -> str:
        self.people.setdefault(customer_id, Person(clock, customer_id))
        return customer_id

    def _owner(self, sent: Sent) -> str:
        """The printed id of whom an event belongs to."""
        return sent.customer_id or self._owner_of_browser(str(sent.anonymous_id))

    def _owner_of_browser(self, browser: str) -> str:
        """The customer of the earliest link, or the visitor. Of links with one time, the first that arrived counts."""
        links = self.links.get(browser)
        if not links:
            return Person(_LONG_AGO, anonymous_id=browser).key
        return min(links, key=links.__getitem__)

    def _link(self, browser: str, customer: str, at: datetime) -> set[str]:
        """Link a browser to a customer. Give the printed ids of whose it was and is, if that changes."""
        before = self._owner_of_browser(browser)
        links = self.links[browser]
        earliest, number = links.get(customer, (at, len(links)))
        links[customer] = min(at, earliest), number
        after = self._owner_of_browser(browser)
        if before == after:  # an earlier link holds
            return set()
        if before not in self.people:  # nobody has seen the browser alone
            return {after}
        if self.people[before].customer_id is None:
            del self.people[before]
        return {before, after}


def laid_over(old: Row, new: Row) -> Row:
    """A row sent again: what it leaves open stays as it was, and so do the parts that come on their own."""
    apart = {"recorded_at", "attributes", "orders", "events", "lines"}
    given: dict[str, Any] = {
        one.name: value
        for one in fields(new)
        if one.name not in apart and (value := getattr(new, one.name)) is not None
    }
    return replace(old, **given)
