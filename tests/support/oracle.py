"""An independent evaluator of rules: the contract's words in plain Python, slow and plain on purpose.

It shares no code with the product, so that the two can be held against each other.
`matching(rule, shop, at, zone)` gives the printed ids of those a valid rule matches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cached_property
from hashlib import md5
from itertools import pairwise
from math import floor
from zoneinfo import ZoneInfo

from . import value_pools
from .oracle_operators import (
    Clock,
    Words,
    amount_of_json,
    any_kind,
    fits,
    mean,
    moment,
    named,
    nfc,
    number,
    products_of_event,
    relative,
    rounded,
    span,
    text,
    value_of_cell,
    value_of_json,
)
from .oracle_parameters import (
    BUCKETS,
    DAYS,
    FILTERS,
    FLAG,
    LIST,
    MOMENT,
    NAME,
    NUMBER,
    PERIOD,
    PRODUCT,
    PROPERTY,
    RELATIVE,
    RULE,
    SPAN,
    SPAN_AHEAD,
    TEXT,
    choice,
    takes,
)
from .oracle_shop import Customer, Event, Line, Order, Person, Shop

__all__ = ["FILTERS", "Event", "Line", "Order", "Person", "Shop", "matching"]

MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
SESSION_GAP = timedelta(minutes=30)
SCORE = NUMBER.among((1, 2, 3, 4, 5))


def matching(rule: Words, shop: Shop, at: datetime, zone: ZoneInfo) -> set[str]:
    """The printed ids of the customers a valid rule matches at an instant."""
    return evaluated(rule, Past(shop, Clock(at.astimezone(UTC), zone)))


def evaluated(rule: Words, past: Past) -> set[str]:
    [(name, value)] = rule.items()
    everybody = set(past.customers)
    match name:
        case "all":
            return everybody.intersection(*(evaluated(one, past) for one in value))
        case "any":
            return set[str]().union(*(evaluated(one, past) for one in value))
        case "none":
            return everybody.difference(*(evaluated(one, past) for one in value))
        case _:
            return FILTERS[name].matching(value, past)


@dataclass(frozen=True)
class Past:
    """The shop as of an instant: customers first seen later do not exist.

    Asked ahead, the clock is later than ``start``, whose records and statistics are those of the shop. With
    ``asks_rules``, the members of other segments are whom their rules match, not the stored ones.
    """

    shop: Shop
    clock: Clock
    asks_rules: bool = False
    earlier: Past | None = None

    @property
    def start(self) -> Past:
        return self.earlier or self

    def ahead(self, span: timedelta) -> Past:
        clock = Clock(self.clock.at + span, self.clock.zone)
        return Past(self.shop, clock, asks_rules=True, earlier=self.start)

    @cached_property
    def customers(self) -> dict[str, Customer]:
        at = self.start.clock.at
        return {person.key: Customer(person, at) for person in self.shop.people if person.met_at <= at}

    @cached_property
    def buyers(self) -> dict[str, Customer]:
        """Whom population figures are about: customers with at least one counting order, ever."""
        return {key: customer for key, customer in self.customers.items() if customer.counting}

    def those(self, question: Callable[[Customer], bool]) -> set[str]:
        return {key for key, customer in self.customers.items() if question(customer)}

    def when(self, words: Words, value: datetime | None) -> bool:
        return moment(words, value, self.clock)

    def during(self, p: Words, time: datetime) -> bool:
        return "during" not in p or self.when(p["during"], time)

    def orders(self, p: Words, orders: Iterable[Order]) -> list[Order]:
        """Of these orders, those `during`, `product` and `coupon` leave."""
        return [
            order
            for order in orders
            if self.during(p, order.placed_at)
            and fits(p.get("product"), order.products)
            and ("coupon" not in p or text(p["coupon"], order.coupon_code or None))
        ]

    def events(self, p: Words, events: Iterable[Event]) -> list[Event]:
        """Of these events, those `event`, `during`, `product` and `where` leave."""
        return [
            event
            for event in events
            if ("event" not in p or nfc(event.name) == nfc(p["event"]))
            and self.during(p, event.occurred_at)
            and fits(p.get("product"), products_of_event(event.properties))
            and ("where" not in p or self.has_property(p["where"], event))
        ]

    def has_property(self, where: Words, event: Event) -> bool:
        words = {word: operand for word, operand in where.items() if word != "property"}
        return any_kind(words, value_of_json(named(event.properties, where["property"])), self.clock)


# The fifteen lifecycle filters --------------------------------------------------------------------


@takes(is_=FLAG.required())
def known(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: bool(x.person.email or x.person.phone) == p["is"])


@takes(is_=choice("subscribed", "unsubscribed", "never", "pending").required())
def newsletter(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: x.person.newsletter == p["is"])


@takes(MOMENT)
def first_seen(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: past.when(p, x.person.met_at))


@takes(
    NUMBER.among(value_pools.COUNTS), during=PERIOD, product=PRODUCT, coupon=TEXT.among(value_pools.COUPONS)
)
def order_count(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: number(p, Fraction(len(past.orders(p, x.counting)))))


@takes(MOMENT)
def first_order(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: past.when(p, x.counting[0].placed_at if x.counting else None))


@takes(MOMENT)
def last_order(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: past.when(p, x.counting[-1].placed_at if x.counting else None))


@takes(NUMBER.among(value_pools.AMOUNTS), RELATIVE, during=PERIOD)
def total_spent(p: Words, past: Past) -> set[str]:
    return number_or_relative(p, past, lambda then, x: spent(then.orders(p, x.counting)))


@takes(NUMBER.among(value_pools.AMOUNTS), RELATIVE, during=PERIOD)
def average_order_value(p: Words, past: Past) -> set[str]:
    def value(then: Past, customer: Customer) -> Fraction | None:
        orders = then.orders(p, customer.counting)
        return mean([order.value for order in orders]) if orders else None

    return number_or_relative(p, past, value)


@takes(NUMBER.among(value_pools.GAPS))
def days_between_orders(p: Words, past: Past) -> set[str]:
    def value(customer: Customer) -> Fraction | None:
        orders = customer.counting
        if len(orders) < 2:
            return None
        # The gaps add up to the time from the first order to the last.
        gaps = (orders[-1].placed_at - orders[0].placed_at) // MICROSECOND
        return rounded(Fraction(gaps, DAY // MICROSECOND) / (len(orders) - 1))

    return past.those(lambda x: number(p, value(x)))


@takes(NUMBER.among(value_pools.SHARES), during=PERIOD)
def discounted_order_share(p: Words, past: Past) -> set[str]:
    def value(customer: Customer) -> Fraction | None:
        orders = past.orders(p, customer.counting)
        return rounded(Fraction(sum(order.discounted for order in orders), len(orders))) if orders else None

    return past.those(lambda x: number(p, value(x)))


@takes(MOMENT)
def last_activity(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: past.when(p, x.last_activity))


@takes(NUMBER.among(value_pools.COUNTS), during=PERIOD)
def session_count(p: Words, past: Past) -> set[str]:
    def value(customer: Customer) -> Fraction:
        times = [event.occurred_at for event in customer.events]
        later = [time for before, time in pairwise(times) if time - before > SESSION_GAP]
        return Fraction(sum(past.during(p, start) for start in times[:1] + later))

    return past.those(lambda x: number(p, value(x)))


@takes(within_last=SPAN.required(), older_than=SPAN, value=NUMBER.among(value_pools.AMOUNTS))
def open_cart(p: Words, past: Past) -> set[str]:
    def question(customer: Customer) -> bool:
        orders = [order.placed_at for order in customer.orders if order.status != "cancelled"]
        since = [event for event in customer.events if not orders or event.occurred_at > orders[-1]]
        added = [event for event in since if event.name == "Product Added"]
        removed = [event for event in since if event.name == "Product Removed"]
        if not added:
            return False

        latest = added[-1].occurred_at
        value = sum(map(cart_value, added), Fraction(0)) - sum(map(cart_value, removed), Fraction(0))
        return (
            past.when({"within_last": p["within_last"]}, latest)
            and sum(map(quantity, added), Fraction(0)) > sum(map(quantity, removed), Fraction(0))
            and ("older_than" not in p or latest <= past.clock.at - span(p["older_than"]))
            and ("value" not in p or number(p["value"], value))
        )

    return past.those(question)


@takes(
    NUMBER.among(value_pools.COUNTS),
    event=NAME.among(value_pools.EVENT_NAMES),
    during=PERIOD,
    product=PRODUCT,
    where=PROPERTY,
)
def event_count(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: number(p, Fraction(len(past.events(p, x.events)))))


@takes(needs_one=True, recency=SCORE, frequency=SCORE, monetary=SCORE)
def rfm(p: Words, past: Past) -> set[str]:
    # Time alone moves no score: the cuts are moments.
    now, buyers = past.start.clock.at, past.buyers
    ages = {key: Fraction((now - x.counting[-1].placed_at) // MICROSECOND) for key, x in buyers.items()}
    scores = {
        "recency": {key: 6 - score for key, score in quintiles(ages).items()},
        "frequency": quintiles({key: Fraction(len(x.counting)) for key, x in buyers.items()}),
        "monetary": quintiles({key: spent(x.counting) for key, x in buyers.items()}),
    }
    return {key for key in buyers if all(number(p[part], Fraction(scores[part][key])) for part in p)}


# The other filters --------------------------------------------------------------------------------


@takes(has=choice("email", "phone").required())
def contact(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: bool(x.person.email if p["has"] == "email" else x.person.phone))


@takes(MOMENT)
def subscribed_at(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: past.when(p, x.person.subscribed_at))


@takes(TEXT.among(value_pools.COUNTRIES))
def country(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: text(p, x.person.country or None))


@takes(TEXT.among(value_pools.LANGUAGES))
def language(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: text(p, x.person.language or None))


@takes(TEXT.among(value_pools.CITIES))
def city(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: text(p, x.person.city or None))


@takes(TEXT.among(value_pools.SOURCES))
def source(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: text(p, x.person.source or None))


@takes(
    TEXT.among(value_pools.FREE_TEXTS),
    NUMBER.among(value_pools.FREE_NUMBERS),
    MOMENT,
    LIST.among(value_pools.LIST_TEXTS),
    name=NAME.among(value_pools.ATTRIBUTE_NAMES).required(),
)
def attribute(p: Words, past: Past) -> set[str]:
    words = {word: operand for word, operand in p.items() if word != "name"}

    def question(customer: Customer) -> bool:
        cell = named(customer.person.attributes, p["name"]) or ""
        return any_kind(words, value_of_cell(cell, past.clock), past.clock)

    return past.those(question)


@takes(within_next=DAYS.required())
def birthday(p: Words, past: Past) -> set[str]:
    today = past.clock.today()
    # Any birthday comes round within 366 days, so looking further ahead adds nothing.
    ahead = [today + timedelta(days=n) for n in range(min(span(p["within_next"]).days, 366) + 1)]
    return past.those(lambda x: any(is_birthday(x.person.birth_date, day) for day in ahead))


@takes(product=PRODUCT, during=PERIOD, coupon=TEXT.among(value_pools.COUPONS))
def bought(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: bool(past.orders(p, x.counting)))


@takes(product=PRODUCT, during=PERIOD, and_not_bought=FLAG)
def viewed(p: Words, past: Past) -> set[str]:
    asked = {"event": "Product Viewed", **{k: p[k] for k in ("product", "during") if k in p}}

    def question(customer: Customer) -> bool:
        has_viewed = bool(past.events(asked, customer.events))
        has_bought = any(fits(p.get("product"), order.products) for order in customer.counting)
        return has_viewed and not (p.get("and_not_bought") and has_bought)

    return past.those(question)


@takes(NUMBER.among(value_pools.COUNTS), during=PERIOD)
def refund_count(p: Words, past: Past) -> set[str]:
    return past.those(lambda x: number(p, Fraction(len([o for o in past.orders(p, x.orders) if o.refunded]))))


@takes(
    exclusive=("in", "entered"),
    is_=NAME.among(value_pools.SLUGS).required(),
    in_=SPAN_AHEAD,
    entered=MOMENT,
)
def in_segment(p: Words, past: Past) -> set[str]:
    if "in" in p:
        return in_segment({"is": p["is"]}, past.ahead(span(p["in"])))
    if "entered" not in p and past.asks_rules and p["is"] in past.shop.rules:
        return evaluated(past.shop.rules[p["is"]], past)
    members = past.shop.members.get(p["is"], {})
    inside = set(members) & set(past.customers)
    return {key for key in inside if "entered" not in p or past.start.when(p["entered"], members[key])}


@takes(in_=SPAN_AHEAD.required(), rule=RULE.required())
def ahead(p: Words, past: Past) -> set[str]:
    return evaluated(p["rule"], past.ahead(span(p["in"])))


@takes(between=BUCKETS.required(), salt=NAME.among(("a", "spring", "ß")))
def random_bucket(p: Words, past: Past) -> set[str]:
    low, high = p["between"]
    return {key for key in past.customers if low <= bucket(p.get("salt", ""), key) <= high}


# What several filters need ------------------------------------------------------------------------


def number_or_relative(p: Words, past: Past, value: Callable[[Past, Customer], Fraction | None]) -> set[str]:
    if not p.keys() & {"above", "below", "top_percent", "bottom_percent"}:
        return past.those(lambda x: number(p, value(past, x)))

    def of_buyers(then: Past) -> dict[str, Fraction]:
        values = {key: value(then, customer) for key, customer in then.buyers.items()}
        return {key: one for key, one in values.items() if one is not None}

    return relative(p, of_buyers(past), of_buyers(past.start))


def spent(orders: list[Order]) -> Fraction:
    return sum((order.value for order in orders), Fraction(0))


def cart_value(event: Event) -> Fraction:
    price = amount_of_json(event.properties.get("price"))
    count = amount_of_json(event.properties.get("quantity"))
    return rounded((Fraction(0) if price is None else price) * (Fraction(1) if count is None else count))


def quantity(event: Event) -> Fraction:
    count = amount_of_json(event.properties.get("quantity"))
    return Fraction(1) if count is None else rounded(count)


def quintiles(values: dict[str, Fraction]) -> dict[str, int]:
    """Scores 1 to 5: one more than the cuts strictly below the value."""
    ordered = sorted(values.values())
    cuts = [interpolated(ordered, Fraction(n, 5)) for n in (1, 2, 3, 4)] if ordered else []
    return {key: 1 + sum(cut < value for cut in cuts) for key, value in values.items()}


def interpolated(ordered: list[Fraction], share: Fraction) -> Fraction:
    """The linear interpolation at position share·(n-1), which is not rounded."""
    position = share * (len(ordered) - 1)
    below = floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def is_birthday(born: date | None, day: date) -> bool:
    if born is None:
        return False
    if (born.month, born.day) == (2, 29) and (day.month, day.day) == (2, 28):
        return (day + timedelta(days=1)).month == 3
    return (born.month, born.day) == (day.month, day.day)


def bucket(salt: str, key: str) -> int:
    share = Fraction(int(md5(f"{salt}:{key}".encode()).hexdigest(), 16), 2**128)
    return floor(share * 100)
