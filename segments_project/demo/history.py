"""A made-up online shop with two years of history, as rows for the CSV import.

The same seed, size and end produce the same shop. Each person is drawn independently, so rows can be streamed for any
size, the four kinds of rows are consistent, and a larger shop begins with the same people.
"""

import json
import math
import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache, cached_property
from itertools import accumulate
from operator import itemgetter
from random import Random
from typing import Any
from uuid import UUID

from . import catalogue

Row = dict[str, str]
EventStep = tuple[str, dict[str, Any]]
"""The name and the properties of an event."""

HOUR, DAY = 3600, 86400
HISTORY_DAYS = 730

VISITOR_SHARE = 0.6  # share of people who stay anonymous
LEAD_SHARE = 0.15  # share of customers who never order
ORDERS_TAIL, MAX_ORDERS = 0.771, 60  # of the buyers, k^-0.771 order k times or more: 2.5 orders per person
BOUGHT_LAST_SHARE = 0.7  # share of buyers whose latest visit surely ended with an order
TRACKED_ORDER_SHARE = 0.75  # the others come by phone, or from browsers that block tracking
MET_IN_BROWSER_SHARE = 0.7  # share of customers who were anonymous visitors before
ABANDONED_CART_SHARE = 0.22  # share of the visits without an order
LOOKS_FALLOFF = 0.46  # products looked at in such a visit: 1 and an exponential draw of this rate
EMAIL_SHARE = 0.92  # share of customers; some of the others have a phone number only, some neither
LOYALTY_TIERS = (1, 3, 10)  # orders for bronze, silver and gold

# How long ago (in days) the latest visit was, by share of people; even on a log scale in between.
LATEST_VISIT = ((0, 0.0005), (0.005, 1 / 24), (0.03, 1), (0.1, 7), (0.25, 30), (0.45, 90), (1, 650))

BUSY_MONTHS = (0.9, 0.8, 0.85, 0.9, 0.95, 0.9, 0.85, 0.8, 0.95, 1.05, 1.7, 1.9)
BUSY_WEEKDAYS = (1.1, 1.0, 0.95, 1.0, 0.9, 0.85, 1.25)
BUSY_HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 11, 12, 12, 11, 11, 11, 12, 13, 15, 17, 18, 15, 10, 5)  # UTC

FREE_SHIPPING_FROM, SHIPPING = 6000, 495  # cents
SOURCES = {"google": 30, "direct": 20, "instagram": 16, "newsletter": 12, "facebook": 8, "friend": 6, "": 8}
PLACE_WEIGHTS = [place.weight for place in catalogue.REGIONS]


@dataclass(frozen=True, slots=True)
class Person:
    """A person, with the times at which their visits ended, oldest first."""

    number: int
    visitor: bool
    visits: tuple[int, ...]
    purchases: tuple[int, ...]
    favourite: str
    thrift: float

    @property
    def customer_id(self) -> str:
        """The shop's id. Visitors have none."""
        return "" if self.visitor else f"c{self.number:06d}"


class BusinessClock:
    """A clock that runs faster while the shop is busy, by month, weekday and hour."""

    def __init__(self, until: int) -> None:
        self.until = until
        self.start = until - HISTORY_DAYS * DAY
        hours = (datetime.fromtimestamp(second, UTC) for second in range(self.start, until, HOUR))
        busy = (BUSY_MONTHS[t.month - 1] * BUSY_WEEKDAYS[t.weekday()] * BUSY_HOURS[t.hour] for t in hours)
        self.marks = list(accumulate(busy, initial=0.0))

    def moment(self, days_ago: float) -> int:
        """Return the second that lies ``days_ago`` average days of business before the end."""
        mark = self.marks[-1] * max(0.0, 1 - days_ago / HISTORY_DAYS)
        hour = min(bisect(self.marks, mark), len(self.marks) - 1) - 1
        part = (mark - self.marks[hour]) / (self.marks[hour + 1] - self.marks[hour])
        return self.start + int((hour + part) * HOUR)


@dataclass(frozen=True)
class SampleShop:
    """A shop of people, six in ten of them anonymous visitors. Nothing is later than `until`.

    Each kind of rows can be limited to some of the people (`range(100, 200)`).
    """

    customers: int
    until: datetime
    seed: int = 20
    currency: str = "EUR"

    def __post_init__(self) -> None:
        if self.until.tzinfo is None:
            raise ValueError("until needs a time zone")

    def customer_rows(self, people: range | None = None) -> Iterator[Row]:
        """Yield the customers with an id. `loyalty_tier` and `shoe_size` become attributes."""
        for person in self._people(people):
            if not person.visitor:
                yield self.profile(person)

    def order_rows(self, people: range | None = None) -> Iterator[Row]:
        """Yield the orders, person by person."""
        for person in self._people(people):
            for order in self._orders(person).values():
                yield {
                    "order_id": order.order_id,
                    "customer_id": person.customer_id,
                    "placed_at": _iso(order.placed_at),
                    "status": order.status,
                    "total": _amount(order.total),
                    "discount_total": _amount(order.discount),
                    "refunded_total": _amount(order.refunded),
                    "currency": self.currency,
                    "coupon_code": order.coupon,
                }

    def line_rows(self, people: range | None = None) -> Iterator[Row]:
        """Yield the lines of the same orders. An order contains each product once."""
        for person in self._people(people):
            for order in self._orders(person).values():
                for product, quantity in order.lines.items():
                    yield {
                        "order_id": order.order_id,
                        "sku": product.sku,
                        "name": product.name,
                        "category": product.category,
                        "brand": product.brand,
                        "quantity": str(quantity),
                        "unit_price": _amount(product.price),
                    }

    def event_rows(self, people: range | None = None) -> Iterator[Row]:
        """Yield the events, person by person, oldest first.

        A customer who came by browser is a visitor at first. The last event of one visit has both ids.
        """
        for person in self._people(people):
            random = self._random(person, "events")
            orders = self._orders(person)
            tracked = [v for v in person.visits if v not in orders or random.random() < TRACKED_ORDER_SHARE]
            joining = next((visit for visit in tracked if visit in orders), tracked[0] if tracked else None)
            browser = str(UUID(int=random.getrandbits(128), version=4))
            met_in_browser = person.visitor or random.random() < MET_IN_BROWSER_SHARE
            customer_id, anonymous_id = ("", browser) if met_in_browser else (person.customer_id, "")
            count = 0
            for visit in tracked:
                steps = self._steps(person, orders.get(visit), random)
                moments = _moments(visit, len(steps), random)
                for moment, (event, properties) in zip(moments, steps, strict=True):
                    count += 1
                    if moment == joining:
                        customer_id = person.customer_id
                    yield {
                        "message_id": f"m{person.number:06d}-{count}",
                        "customer_id": customer_id,
                        "anonymous_id": anonymous_id,
                        "event": event,
                        "occurred_at": _iso(moment),
                        "properties": properties,
                    }
                if customer_id:
                    anonymous_id = ""

    def person(self, index: int) -> Person:
        """Draw a person's visits and purchases.

        Two quasi-random numbers (R2 sequence, Martin Roberts, 2018) are spread evenly over the people, so that small
        shops have realistic averages and segments.
        """
        random = Random(f"{self.seed}/{index}")
        rank = (self._phases[0] + 0.7548776662466927 * index) % 1
        freshness = (self._phases[1] + 0.5698402909980532 * index) % 1
        orders = _order_count(max(0.0, (rank - VISITOR_SHARE) / (1 - VISITOR_SHARE)))

        if orders:
            visits = orders + int(random.expovariate(1 / (0.6 + 0.25 * orders)))
            gap = random.lognormvariate(3.2, 0.8)
        else:
            visits = 1 + int(random.expovariate(0.77))
            gap = random.expovariate(1 / 6)
        latest = _latest_visit(freshness) / math.sqrt(max(orders, 1))
        span = min(gap * (visits - 1), (HISTORY_DAYS - latest) * random.uniform(0.85, 1))
        days_ago = [latest, latest + span, *(latest + span * random.random() for _ in range(visits - 2))]
        moments: list[int] = []  # newest first, and apart, so that visits do not overlap
        for moment in sorted(map(self._rhythm.moment, days_ago[:visits]), reverse=True):
            moments.append(min(moment, moments[-1] - HOUR) if moments else moment)
        if orders and random.random() < BOUGHT_LAST_SHARE:
            purchases = [moments[0], *random.sample(moments[1:], orders - 1)]
        else:
            purchases = random.sample(moments, orders)
        return Person(
            number=index + 1,
            visitor=rank < VISITOR_SHARE,
            visits=tuple(reversed(moments)),
            purchases=tuple(sorted(purchases)),
            favourite=random.choice(tuple(catalogue.CATEGORIES)),
            thrift=random.random() ** 2,
        )

    def profile(self, person: Person) -> Row:
        """Return the CSV row of a customer. For a visitor, return the data that they would sign up with."""
        random = self._random(person, "profile")
        place = random.choices(catalogue.REGIONS, PLACE_WEIGHTS)[0]
        first_name = random.choice(catalogue.FIRST_NAMES[place.language].split())
        last_name = random.choice(catalogue.LAST_NAMES[place.language].split())
        mailbox = catalogue.ascii_name(f"{first_name}.{last_name}.{person.number}")
        email = f"{mailbox}@example.{random.choice(('com', 'org', 'net'))}"
        phone = re.sub("#", lambda _: str(random.randrange(10)), random.choice(place.phones.split() or [""]))
        reach = random.random()
        consent = random.choices(("subscribed", "unsubscribed", "never"), (48, 14, 38))[0]
        if reach > EMAIL_SHARE:
            email, consent = "", "never"
        born = self.until.toordinal() - int(random.triangular(18, 80, 32) * 365.25)
        return {
            "customer_id": person.customer_id,
            "email": email,
            "phone": phone if reach < 0.45 or reach > 0.96 else "",
            "first_name": first_name,
            "last_name": last_name,
            "country": place.country,
            "city": random.choice([*place.cities.split(), ""]),
            "language": place.language if random.random() < 0.9 else "en",
            "birth_date": date.fromordinal(born).isoformat() if random.random() < 0.6 else "",
            "newsletter": consent,
            "subscribed_at": "" if consent == "never" else _iso(random.choice(person.visits)),
            "first_seen": _iso(person.visits[0]),
            "source": random.choices(list(SOURCES), list(SOURCES.values()))[0],
            "loyalty_tier": ("", "bronze", "silver", "gold")[bisect(LOYALTY_TIERS, len(person.purchases))],
            "shoe_size": str(round(random.triangular(35, 47))) if random.random() < 0.5 else "",
        }

    def visit(self, person: Person, at: datetime, random: Random, order_number: int = 0) -> list[EventStep]:
        """Return the steps of one more visit, which is not in the history.

        With an ``order_number``, which must be new, the visit ends with that order. Some other visits leave a full
        cart.
        """
        moment = math.floor(at.timestamp())
        order = self._order(person, order_number, moment, random) if order_number else None
        return [(event, json.loads(properties)) for event, properties in self._steps(person, order, random)]

    def _people(self, people: range | None) -> Iterator[Person]:
        return map(self.person, range(self.customers) if people is None else people)

    def _random(self, person: Person, topic: str) -> Random:
        return Random(f"{self.seed}/{person.number}/{topic}")

    @cached_property
    def _rhythm(self) -> BusinessClock:
        return BusinessClock(math.floor(self.until.timestamp()))

    @cached_property
    def _phases(self) -> tuple[float, float]:
        random = Random(f"{self.seed}")
        return random.random(), random.random()

    def _orders(self, person: Person) -> dict[int, catalogue.Order]:
        """Draw the orders of one person, by the time of the visit that ended with each."""
        if not person.purchases:
            return {}
        random = self._random(person, "orders")
        numbered = enumerate(person.purchases, start=1)
        return {moment: self._order(person, number, moment, random) for number, moment in numbered}

    def _order(self, person: Person, number: int, moment: int, random: Random) -> catalogue.Order:
        lines = catalogue.fill_basket(random, person.favourite)
        month = datetime.fromtimestamp(moment, UTC).month
        offer = catalogue.NO_OFFER
        if number == 1 and random.random() < 0.3:
            offer = catalogue.WELCOME
        elif random.random() < person.thrift:
            offer = random.choice([offer for offer in catalogue.OFFERS if month in offer.months])
        goods = sum(product.price * quantity for product, quantity in lines.items())
        discount = goods * offer.percent // 100
        coupon = offer.coupon
        free = coupon == "FREESHIP" or goods - discount >= FREE_SHIPPING_FROM
        shipping = 0 if free else SHIPPING
        total = goods - discount + shipping

        age, chance = self._rhythm.until - moment, random.random()
        status, refunded = "paid" if age < 3 * DAY or chance > 0.94 else "fulfilled", 0
        if chance < 0.03:
            status = "cancelled"
        elif chance < (0.12 if age < DAY else 0.035):
            status = "pending"
        elif age > 5 * DAY and chance < 0.07:
            status, refunded = "refunded", total
        elif age > 5 * DAY and chance < 0.11:  # one piece is returned or faulty
            piece = next(iter(lines)).price
            refunded = (goods - discount) * piece // goods if piece < goods else total // 5
        order_id = f"o{person.number:06d}-{number}"
        return catalogue.Order(order_id, moment, status, lines, coupon, discount, shipping, total, refunded)

    def _steps(self, person: Person, order: catalogue.Order | None, random: Random) -> list[tuple[str, str]]:
        """Draw what is done in one visit: the names of the events and their properties as JSON."""
        steps = [("Page Viewed", random.choice(catalogue.PAGES))]
        basket = order.lines if order else {}
        if not order:
            looks = min(1 + int(random.expovariate(LOOKS_FALLOFF)), 12)
            looked_at = (catalogue.pick_product(random, person.favourite) for _ in range(looks))
            steps += [("Product Viewed", product.properties_json(self.currency)) for product in looked_at]
            if random.random() < ABANDONED_CART_SHARE:
                basket = catalogue.fill_basket(random, person.favourite)
        for product, quantity in basket.items():
            if random.random() < 0.8:
                steps.append(("Product Viewed", product.properties_json(self.currency)))
            steps.append(("Product Added", product.properties_json(self.currency, quantity)))
        if basket and random.random() < 0.12:
            second_thoughts = catalogue.pick_product(random, person.favourite).properties_json(self.currency)
            steps += [("Product Added", second_thoughts), ("Product Removed", second_thoughts)]
        if order or (basket and random.random() < 0.4):
            value = sum(product.price * quantity for product, quantity in basket.items()) / 100
            steps.append(("Checkout Started", catalogue.as_json({"value": value, "currency": self.currency})))
        if order:
            steps.append(("Order Completed", catalogue.as_json(order.properties(self.currency))))
        return steps


def _order_count(share: float) -> int:
    """Return the number of orders at a quantile of the customers."""
    if share < LEAD_SHARE:
        return 0
    above = (1 - share) / (1 - LEAD_SHARE)
    return int(min(above ** (-1 / ORDERS_TAIL), MAX_ORDERS))


def _latest_visit(share: float) -> float:
    place = bisect(LATEST_VISIT, share, hi=len(LATEST_VISIT) - 1, key=itemgetter(0))
    (low, least), (high, most) = LATEST_VISIT[place - 1 : place + 1]
    return least * math.exp(math.log(most / least) * (share - low) / (high - low))


def _moments(end: int, count: int, random: Random) -> list[int]:
    """Spread the events of one visit over the minutes before its end."""
    moments = [end]
    for _ in range(count - 1):
        moments.append(moments[-1] - 5 - int(120 * random.random() ** 2))
    return moments[::-1]


def _iso(second: int) -> str:
    return f"{_hour(second // HOUR)}{second // 60 % 60:02d}:{second % 60:02d}+00:00"


@cache
def _hour(hour: int) -> str:
    return f"{datetime.fromtimestamp(hour * HOUR, UTC):%Y-%m-%dT%H:}"


def _amount(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
