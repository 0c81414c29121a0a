"""Hypothesis strategies for histories: a shop's records come in step by step, late, out of order, twice, changed.

A history is all that is done to a shop: what arrives, what staff edit, and at which instants segments are refreshed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from . import oracle_parameters, value_pools
from .oracle import FILTERS
from .oracle_arrivals import Delivery, Sent
from .oracle_operators import Clock, span, value_of_cell
from .oracle_shop import Event, Line, Order, Person, Shop
from .strategies import (
    CONDITIONS,
    MOMENT,
    SPANS_AHEAD,
    SWEPT,
    Json,
    at_times,
    both,
    conditions,
    groups,
    parameters,
    rules,
    words,
)
from .strategies_shops import instants, shops

DELIVERIES = 3  # before a step's refresh
MOVES = (
    *(
        timedelta(0),
        value_pools.MICROSECOND,
        timedelta(seconds=1),
        timedelta(minutes=90),
        timedelta(hours=12),
    ),
    *(timedelta(days=1), timedelta(days=7), timedelta(days=30), timedelta(weeks=4), timedelta(days=365)),
)
FAR_AHEAD = timedelta(days=400)
EVERYBODY_FROM = (1000, 1000, 1000, 0.15)

One = TypeVar("One")


@dataclass
class Step:
    """Some deliveries, what staff do after them, and a refresh: of all, in one of several ways, or of one slug."""

    at: datetime
    deliveries: list[Delivery]
    listed: list[tuple[str, str, bool]]
    """The fixed list, and whom to put on it or take off."""
    edits: dict[str, Json]
    paused: str
    """The segment that is paused, or goes on."""
    refreshed: str
    verified: str = ""
    """The segment whose verification is asked for, if any: all would take longer than everything else."""


class History:
    """Segments by rule, the two fixed lists as they are at first, and the steps.

    No dataclass: of a failing one Hypothesis shows how it was told, and objects to printing more than that.
    """

    def __init__(
        self,
        rules: dict[str, Json],
        lists: dict[str, dict[str, datetime]],
        steps: list[Step],
        everybody_from: float,
    ) -> None:
        self.rules, self.lists, self.steps = rules, lists, steps
        # The share of the customers that makes a pass look at all: a small shop would seldom see it look at few.
        self.everybody_from = everybody_from


# What the others' orders change: of all conditions few do, and seldom.
COMPARED = words(
    {
        name: parameters(replace(known, alone=(oracle_parameters.RELATIVE,)))
        for name, known in FILTERS.items()
        if oracle_parameters.RELATIVE in known.alone
    }
    | {"rfm": CONDITIONS["rfm"]}
)


def histories(count: int) -> st.SearchStrategy[History]:
    """Histories of so many segments, and of three to six steps around the moments that shops know."""
    rule = st.one_of(conditions(), rules())
    return st.builds(
        told,
        shops() | shops(min_people=6) | shops(min_people=8),
        instants(),
        st.tuples(*[rule] * (count // 2), *[words(SWEPT)] * (count // 4), *[COMPARED] * (count // 4)),
        st.lists(rule, min_size=2, max_size=2),
        referring("r0"),
        referring("r1", "n0"),
        st.binary(min_size=500, max_size=500),
    )


def referring(*slugs: str) -> st.SearchStrategy[Json]:
    """Rules that ask for the members of other segments, alone and in groups."""
    which = words({"is": st.sampled_from(slugs)})
    asked = st.one_of(both(which, at_times(entered=words(MOMENT))), both(which, words({"in": SPANS_AHEAD})))
    members = words({"in_segment": asked})
    ahead = st.fixed_dictionaries({"in": SPANS_AHEAD, "rule": members | groups(members)})
    alone = members | words({"ahead": ahead})
    grouped = st.tuples(alone, st.lists(conditions(), max_size=1)).map(lambda drawn: [drawn[0], *drawn[1]])
    return alone | words(dict.fromkeys(["all", "any", "none"], grouped))


class Dice:
    """Many small decisions out of one draw: a draw for each would take most of a test's time."""

    def __init__(self, thrown: bytes) -> None:
        self.thrown = iter(thrown)

    def one(self, choices: Sequence[One]) -> One:
        """The first choice where no more was thrown."""
        number = next(self.thrown, 0)
        if len(choices) > 256:
            number += 256 * next(self.thrown, 0)
        return choices[number % len(choices)]

    def comes(self, one_in: int) -> bool:
        return self.one(range(one_in)) == one_in - 1


def told(
    shop: Shop,
    around: datetime,
    several: Sequence[Json],
    spare: list[Json],
    first_nested: Json,
    second_nested: Json,
    thrown: bytes,
) -> History:
    dice = Dice(thrown)
    by_slug = {f"r{n}": rule for n, rule in enumerate(several)} | {"n0": first_nested, "n1": second_nested}
    steps = empty_steps(around, borders_of(shop, [*by_slug.values()]), dice)
    for step in steps[1:]:
        if dice.comes(4):
            step.edits[f"r{dice.one(range(len(several)))}"] = dice.one(spare)
        if dice.comes(6):
            step.paused = dice.one([*by_slug])
        if shop.people and dice.comes(3):
            step.listed.append((dice.one(value_pools.SLUGS), dice.one(shop.people).key, not dice.comes(3)))
    for step in steps:
        step.verified = dice.one([*by_slug, *[""] * len(by_slug)])
    for step in steps[:-1]:
        step.refreshed = dice.one(["all"] * 16 + ["twice", "full", "r0", "r1", "n0", dice.one([*by_slug])])
    everybody_from = dice.one(EVERYBODY_FROM)
    busy = [step for step in steps if step is steps[0] or dice.comes(2)]  # in the others time alone goes by
    Sender([delivery for step in busy for delivery in step.deliveries], dice).send(shop)
    return History(by_slug, shop.members, steps, everybody_from)


def empty_steps(around: datetime, borders: Sequence[datetime], dice: Dice) -> list[Step]:
    """Three to six steps from the given instant, or one or two moves before it, to borders and by further moves.

    Deliveries come between a step and the one before.
    """
    ats = [around - sum((dice.one(MOVES) for _ in range(dice.one(range(3)))), timedelta(0))]
    for _ in range(dice.one([2, 3, 4, 5])):
        ahead = borders[bisect_right(borders, ats[-1]) : bisect_right(borders, ats[-1] + FAR_AHEAD)]
        by_move = ats[-1] + dice.one(MOVES)
        to_border = dice.one(ahead) if ahead else by_move
        ats.append(dice.one([by_move, max(ats[-1], around), to_border, to_border]))
    steps = []
    for before, at in zip([ats[0] - timedelta(days=1), *ats], ats, strict=False):
        just_before = max(before, at - value_pools.MICROSECOND)
        clocks = sorted(dice.one([at, at, before, just_before]) for _ in range(DELIVERIES))
        deliveries = [Delivery(clock, facts_updated_at=clock if dice.comes(4) else None) for clock in clocks]
        if dice.comes(10):  # facts that already stand for a later instant than the refresh's
            deliveries[-1].facts_updated_at = at + dice.one(MOVES)
        steps.append(Step(at, deliveries, [], {}, "", "all"))
    return steps


def borders_of(shop: Shop, several: Sequence[Json], zone: ZoneInfo = value_pools.ZONES[0]) -> list[datetime]:
    """The instants at which the spans of rules come to begin at a moment of the shop, and those next to them.

    Dates of attributes begin at midnight in the zone.
    """
    moments = {
        moment
        for person in shop.people
        for moment in (
            *(person.first_seen, person.subscribed_at),
            *(order.placed_at for order in person.orders),
            *(event.occurred_at for event in person.events),
            *(value_of_cell(given, Clock(value_pools.BASE, zone)) for given in person.attributes.values()),
        )
        if isinstance(moment, datetime)
    }
    moments |= {entered_at for inside in shop.members.values() for entered_at in inside.values()}
    spans = {timedelta(0), *spans_in(list(several))}
    nudges = (timedelta(0), value_pools.MICROSECOND, -value_pools.MICROSECOND)
    return sorted({moment + ahead + nudge for moment in moments for ahead in spans for nudge in nudges})


def spans_in(rule: Any, ahead: timedelta = timedelta(0)) -> Iterator[timedelta]:
    """Yield how long after a moment of the shop an answer can change."""
    match rule:
        case {"in": str(given), **others}:
            yield -ahead - span(given)
            yield from spans_in(others, ahead + span(given))
        case dict():
            for name, value in rule.items():
                if name in ("within_last", "not_within_last", "older_than"):
                    yield span(value) - ahead
                else:
                    yield from spans_in(value, ahead)
        case list():
            for one in rule:
                yield from spans_in(one, ahead)


class Sender:
    """Lets each record of a shop arrive some time, some of them again, and joins some visitors to customers."""

    def __init__(self, deliveries: list[Delivery], dice: Dice) -> None:
        self.deliveries, self.dice = deliveries, dice
        self.promptly = dice.one([2, 4, 10])  # of so many records one may come at any time
        self.customers: list[str] = []

    def send(self, shop: Shop) -> None:
        self.customers = [person.customer_id for person in shop.people if person.customer_id is not None]
        for person in shop.people:
            if person.customer_id is not None:
                self.send_person(person)
            for order in person.orders:
                self.send_order(str(person.customer_id), order)
            for event in person.events:
                self.send_event(Sent(person.customer_id, person.anonymous_id, event))
            if person.customer_id is None and self.customers and self.dice.comes(2):
                joining = replace(self.dice.one(person.events), message_id=f"join-{person.anonymous_id}")
                sent = Sent(self.dice.one(self.customers), person.anonymous_id, joining)
                self.dice.one(self.deliveries).events.append(sent)

    def send_person(self, person: Person) -> None:
        place = self.place()
        self.deliveries[place].people.append(person)
        for later in self.again(place):
            later.people.append(self.changed_person(person))

    def send_order(self, customer_id: str, order: Order) -> None:
        place = self.place()
        self.deliveries[place].orders.append((customer_id, order))
        for later in self.again(place):
            whose = self.dice.one([customer_id, "", customer_id, self.dice.one(self.customers)])
            later.orders.append((whose, self.changed_order(order)))
        if order.lines:
            place = self.dice.one([place, place, self.place(place)])
            self.deliveries[place].lines.append((order.order_id, order.lines))
            for later in self.again(place):
                later.lines.append((order.order_id, tuple(map(self.changed_line, order.lines))))

    def send_event(self, sent: Sent) -> None:
        place = self.place()
        self.deliveries[place].events.append(sent)
        for later in self.again(place):
            changed = replace(sent, event=self.changed_event(sent.event))
            if self.customers and self.dice.comes(6):
                changed = replace(changed, customer_id=self.dice.one(self.customers))
            later.events.append(changed)

    def place(self, earliest: int = 0) -> int:
        if earliest == 0 and not self.dice.comes(self.promptly):
            return self.dice.one(range(DELIVERIES))
        return self.dice.one(range(earliest, len(self.deliveries)))

    def again(self, place: int) -> list[Delivery]:
        return [self.dice.one(self.deliveries[place:])] if self.dice.comes(4) else []

    # Sent again, each as it was or with something changed

    def changed_person(self, person: Person) -> Person:
        one = self.dice.one
        return one(
            [
                lambda: person,
                lambda: replace(person, email=f"new-{person.customer_id}@example.com"),
                lambda: replace(
                    person, newsletter=one(value_pools.CONSENTS), subscribed_at=one(value_pools.NEAR)
                ),
                lambda: replace(person, country=one(value_pools.COUNTRIES), city=one(value_pools.CITIES)),
                lambda: replace(person, birth_date=one(value_pools.BIRTHS), first_seen=one(value_pools.NEAR)),
                lambda: replace(
                    person, attributes={one(value_pools.ATTRIBUTE_NAMES): one(value_pools.ATTRIBUTE_CELLS)}
                ),
            ]
        )()

    def changed_order(self, order: Order) -> Order:
        one = self.dice.one
        changes: list[Callable[[], Order]] = [
            lambda: order,
            lambda: replace(order, status=one(value_pools.STATUSES)),
            lambda: replace(order, status=one(value_pools.STATUSES), total=one(value_pools.TOTALS)),
            lambda: replace(
                order,
                refunded_total=one(value_pools.REDUCTIONS),
                discount_total=one(value_pools.REDUCTIONS),
            ),
            lambda: replace(order, coupon_code=one(value_pools.COUPONS)),
            lambda: replace(order, placed_at=one(value_pools.NEAR)),
        ]
        return one(changes)()

    def changed_line(self, line: Line) -> Line:
        one = self.dice.one
        return replace(
            line, name=one([line.name, *value_pools.NAMES]), brand=one([line.brand, *value_pools.BRANDS])
        )

    def changed_event(self, event: Event) -> Event:
        one = self.dice.one
        changes: list[Callable[[], Event]] = [
            lambda: event,
            lambda: replace(
                event, properties=one(value_pools.PRODUCT_PROPERTIES) | one(value_pools.FREE_PROPERTIES)
            ),
            lambda: replace(event, occurred_at=one(value_pools.NEAR) + one(value_pools.STEPS)),
            lambda: replace(event, name=one(value_pools.EVENT_NAMES)),
        ]
        return one(changes)()
