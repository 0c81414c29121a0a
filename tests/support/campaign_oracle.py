"""Two weeks of a shop, and what its campaigns have to send: in plain Python, from the words of the documentation.

Nothing here asks the product. ``history`` makes up what customers do between the ticks of a clock; ``Expected``
follows each customer through the campaigns, and says who gets which message at which tick.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# Two weeks in which clocks change in Europe; in a year that is ahead of every clock this may run by.
START = datetime(2100, 3, 19, 3, 5, tzinfo=UTC)
LENGTH = 14 * DAY
MOST_A_WEEK = 3
TOO_LATE = DAY
HOMES = {"DE": "Europe/Berlin", "JP": "Asia/Tokyo", "US": "UTC", "": "UTC"}  # the US have many zones
TOLD = ("America/New_York", "Australia/Adelaide")


def ticks(every: timedelta) -> list[datetime]:
    """When the clock is read. The second week begins a little later: no two instants lie exactly a week apart."""
    week = 7 * DAY // every
    return [
        START + number * every + (HOUR / 4 if number >= week else 0 * HOUR)
        for number in range(LENGTH // every)
    ]


@dataclass
class Person:
    """One customer, and what they have done so far."""

    id: str
    country: str
    zone: str
    is_subscribed: bool
    carts: list[datetime] = field(default_factory=list)
    orders: list[tuple[datetime, bool]] = field(default_factory=list)

    @property
    def home(self) -> str:
        return self.zone or HOMES[self.country]

    def ordered_since(self, since: datetime, at: datetime) -> bool:
        return any(counts and since < when <= at for when, counts in self.orders)

    def has_open_cart(self, at: datetime, ahead: timedelta = 0 * HOUR) -> bool:
        """Whether there is a cart of the last two days, or would be one later if nothing more were done."""
        cart = max(self.carts, default=None)
        bought = max((when for when, counts in self.orders if counts), default=START - 999 * DAY)
        return cart is not None and cart > bought and cart > at + ahead - 2 * DAY


@dataclass(frozen=True)
class Fact:
    """One thing that a customer did: filled a cart, ordered (or cancelled), subscribed, unsubscribed."""

    who: Person
    what: str
    when: datetime


def people(count: int, chance: random.Random) -> list[Person]:
    made = []
    for number in range(count):
        country = chance.choice(list(HOMES))
        zone = chance.choice(TOLD) if chance.random() < 0.3 else ""
        made.append(Person(f"c{number}", country, zone, chance.random() < 0.7))
    return made


def history(
    customers: Sequence[Person], instants: Sequence[datetime], chance: random.Random
) -> Iterator[list[Fact]]:
    """Give what happens before each tick, one after another; the customers remember it."""
    before = instants[0] - HOUR
    for at in instants:
        happened = []
        for who in chance.sample(customers, max(1, len(customers) // 12)):
            when = before + (at - before) * chance.uniform(0.01, 0.99)
            when = when.replace(microsecond=0)
            what = chance.choices(
                ("cart", "order", "cancelled", "subscribe", "unsubscribe"), (50, 20, 5, 10, 10)
            )[0]
            happened.append(Fact(who, what, when))
        for fact in happened:
            match fact.what:
                case "cart":
                    fact.who.carts.append(fact.when)
                case "order" | "cancelled":
                    fact.who.orders.append((fact.when, fact.what == "order"))
                case _:
                    fact.who.is_subscribed = fact.what == "subscribe"
        yield happened
        before = at


# -- The segments and campaigns


@dataclass(frozen=True)
class Group:
    """A segment: its rule in the product's language, and the same in Python."""

    slug: str
    rule: dict[str, Any]
    has: Callable[[Person, datetime], bool]


WAITING = Group("waiting", {"open_cart": {"within_last": "2d"}}, Person.has_open_cart)
READERS = Group("readers", {"newsletter": {"is": "subscribed"}}, lambda who, at: who.is_subscribed)
FIRST = Group(
    "first",
    {"order_count": {"is": 1}},
    lambda who, at: sum(counts for when, counts in who.orders) == 1,
)
EXPIRING = Group(
    "expiring",
    {"all": [{"in_segment": {"is": "waiting"}}, {"none": [{"in_segment": {"is": "waiting", "in": "12h"}}]}]},
    lambda who, at: who.has_open_cart(at) and not who.has_open_cart(at, ahead=12 * HOUR),
)
GROUPS = (WAITING, READERS, FIRST, EXPIRING)


@dataclass(frozen=True)
class Plan:
    """A campaign."""

    name: str
    group: Group
    waits: tuple[timedelta, ...]
    trigger: str = "enters"
    again_after: timedelta | None = None
    only_members: bool = True
    ends_with_order: bool = False
    quiet: tuple[time, time] | None = None
    every: timedelta | None = None
    first: datetime | None = None


NIGHT = (time(21), time(8))
PLANS = (
    Plan("cart", WAITING, (HOUR, 23 * HOUR, 24 * HOUR), again_after=3 * DAY, ends_with_order=True, quiet=NIGHT),
    Plan("welcome", READERS, (0 * HOUR, 72 * HOUR)),
    Plan("thanks", FIRST, (24 * HOUR,), quiet=(time(22), time(7, 30))),
    Plan("news", READERS, (0 * HOUR,), trigger="every", every=7 * DAY, first=START + 17 * HOUR, quiet=NIGHT),
    Plan(
        "forgotten", WAITING, (12 * HOUR,), trigger="leaves", again_after=0 * HOUR, ends_with_order=True,
    ),
    Plan("last call", EXPIRING, (0 * HOUR, 6 * HOUR), again_after=3 * DAY, ends_with_order=True),
)  # fmt: skip


# -- What has to arrive


@dataclass
class Way:
    """One customer's way through one campaign; a message of it may wait for the end of the quiet hours."""

    plan: Plan
    rank: int
    began: datetime
    step: int
    due: datetime
    waits_until: datetime | None = None
    is_over: bool = False

    @property
    def may_send(self) -> datetime:
        return self.waits_until or self.due


class Expected:
    """Follows customers through the campaigns from tick to tick."""

    def __init__(self, customers: Sequence[Person]) -> None:
        self.customers = customers
        self.inside = {(group.slug, who.id): group.has(who, START) for group in GROUPS for who in customers}
        self.ways: dict[str, list[Way]] = defaultdict(list)
        self.sent: dict[str, list[datetime]] = defaultdict(list)
        self.messages: list[tuple[str, str, int]] = []
        self.seen_until = START
        self.reasons: dict[str, int] = defaultdict(int)

    def tick(self, number: int, at: datetime) -> None:
        for who in self.customers:
            came, left = self._look_who_moved(who, at)
            for rank, plan in enumerate(PLANS):
                begins, ends = (left, came) if plan.trigger == "leaves" else (came, left)
                if plan.only_members and plan.group.slug in ends:
                    for way in self._ways(who, plan):
                        way.is_over = True
                if plan.trigger == "every":
                    if (date := self._date(plan, at)) and self.inside[plan.group.slug, who.id]:
                        self._begin(who, plan, rank, date)
                elif plan.group.slug in begins and self._may_begin(who, plan, at):
                    self._begin(who, plan, rank, at)
            self._send(who, number, at)
        self.seen_until = at

    def _look_who_moved(self, who: Person, at: datetime) -> tuple[set[str], set[str]]:
        came: set[str] = set()
        left: set[str] = set()
        for group in GROUPS:
            was, now = self.inside[group.slug, who.id], group.has(who, at)
            self.inside[group.slug, who.id] = now
            if was != now:
                (came if now else left).add(group.slug)
        return came, left

    def _ways(self, who: Person, plan: Plan) -> list[Way]:
        return [way for way in self.ways[who.id] if way.plan is plan]

    def _date(self, plan: Plan, at: datetime) -> datetime | None:
        assert plan.first
        assert plan.every
        dates = (plan.first + number * plan.every for number in range(10))
        return next((date for date in dates if self.seen_until < date <= at), None)

    def _may_begin(self, who: Person, plan: Plan, at: datetime) -> bool:
        earlier = [way.began for way in self._ways(who, plan)]
        if plan.again_after is None:
            return not earlier
        return all(began + plan.again_after <= at for began in earlier)

    def _begin(self, who: Person, plan: Plan, rank: int, began: datetime) -> None:
        self.ways[who.id].append(Way(plan, rank, began, 0, began + plan.waits[0]))

    def _send(self, who: Person, number: int, at: datetime) -> None:
        """Take what is due, the one that might have gone first before the others."""
        while due := [way for way in self.ways[who.id] if not way.is_over and way.may_send <= at]:
            way = min(due, key=lambda way: (way.may_send, way.rank, way.began))
            fate = self._fate(who, way, at)
            if isinstance(fate, datetime):
                way.waits_until = fate
                continue
            self.reasons[fate] += 1
            if fate == "sent":
                self.sent[who.id].append(at)
                self.messages.append((who.id, f"{way.plan.name} {way.step + 1}", number))
            way.waits_until = None
            way.step += 1
            if way.step == len(way.plan.waits):
                way.is_over = True
            else:
                way.due += way.plan.waits[way.step]
            way.is_over |= fate == "ordered"

    def _fate(self, who: Person, way: Way, at: datetime) -> str | datetime:
        if at > way.due + TOO_LATE:
            return "too late"
        if way.plan.ends_with_order and who.ordered_since(way.began, at):
            return "ordered"
        if not who.is_subscribed:
            return "no consent"
        if way.plan.quiet and (end := quiet_until(who.home, *way.plan.quiet, at)):
            return end
        if sum(at - when < 7 * DAY for when in self.sent[who.id]) >= MOST_A_WEEK:
            return "over the cap"
        return "sent"


@cache
def quiet_until(zone: str, begin: time, end: time, at: datetime) -> datetime | None:
    """Walk along a clock until the quiet hours, which go over midnight, are over."""
    instant = at
    while not end <= instant.astimezone(ZoneInfo(zone)).time() < begin:
        instant = instant.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return instant if instant > at else None
