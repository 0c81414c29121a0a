"""Simulated visitors of the demo shop, and the messages that an SDK would send for them.

The steps of a visit come from the sample shop. Nothing here reads the clock or sends anything.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any, Final
from uuid import UUID

from segments_project import __version__

from .history import EventStep, Person, SampleShop

Message = dict[str, Any]

MESSAGES_PER_SECOND: Final = 1.0
PAUSE_SECONDS: Final = (2.0, 20.0, 5.0)
"""Between two steps: minimum, maximum, most frequent."""

NEW_VISITOR_SHARE: Final = 0.6  # share of visits by browsers that are no customer's, or not yet
RETURNING_SHARE: Final = 0.15  # share of those that were here before
MAX_REMEMBERED_BROWSERS: Final = 50  # browsers that may return
LOG_IN_LATER_SHARE: Final = 0.3  # share of customers who come as a visitor
CAMPAIGN_SHARE: Final = 0.4
CUSTOMER_ORDER_SHARE, NEW_VISITOR_ORDER_SHARE = 0.25, 0.2  # the latter: of visitors with an e-mail address
SIGN_UP_SHARE, SUBSCRIBE_SHARE = 0.2, 0.25  # shares of visitors with an e-mail address

SHOP_ORIGIN: Final = "https://shop.example"
USER_AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile Safari/604.1",
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36",
)  # fmt: skip
CAMPAIGNS: Final = (
    {"name": "new-arrivals", "source": "newsletter", "medium": "email"},
    {"name": "outdoor", "source": "google", "medium": "cpc"},
    {"name": "look-of-the-week", "source": "instagram", "medium": "social"},
    {"name": "friends", "source": "facebook", "medium": "social"},
)


@dataclass(frozen=True, slots=True)
class Guest:
    """A person with a browser. `name` is the customer id that they send from the beginning."""

    person: Person
    browser: str
    name: str = ""


def draw_messages(shop: SampleShop, start: datetime, random: Random) -> Iterator[tuple[datetime, Message]]:
    """Yield messages with their times, from an instant on, in order and without end.

    Known customers are those of the shop. A new person is numbered by the second of their arrival, so that ids differ
    between runs.
    """
    crowd = _Crowd(shop, random)
    waiting: list[tuple[datetime, int, Message]] = []
    numbers = count()
    arrival = start
    while True:
        if waiting and waiting[0][0] <= arrival:
            at, _, message = heapq.heappop(waiting)
            yield at, message
            continue
        visit = crowd.visit(arrival)
        for at, message in visit:
            heapq.heappush(waiting, (at, next(numbers), message))
        # The more messages a visit has, the longer the pause until the next one.
        arrival += timedelta(seconds=len(visit) / MESSAGES_PER_SECOND * random.expovariate(1))


class _Crowd:
    """The people who may visit, and the browsers that have visited."""

    def __init__(self, shop: SampleShop, random: Random) -> None:
        self.shop, self.random = shop, random
        self.left: deque[tuple[datetime, Guest]] = deque(maxlen=MAX_REMEMBERED_BROWSERS)
        self.latest = 0

    def visit(self, at: datetime) -> list[tuple[datetime, Message]]:
        """Draw a visit that begins at ``at``."""
        if not self.shop.customers or self.random.random() < NEW_VISITOR_SHARE:
            guest = self._returning_guest(at) or self._new_guest(at)
            messages = self._new_visit(guest, at)
        else:
            guest = self._customer_guest()
            messages = self._customer_visit(guest, at)
        context = self._context(guest)
        if self.random.random() < CAMPAIGN_SHARE:
            messages[0]["context"] = {"campaign": self.random.choice(CAMPAIGNS)}
        visit = []
        name = guest.name
        for message in messages:
            name = message.get("userId", name)
            visit.append((at, self._complete(message, guest, name, at, context)))
            at += timedelta(seconds=self.random.triangular(*PAUSE_SECONDS))
        if not name and all(message["type"] != "identify" for message in messages):
            self.left.append((at, guest))
        return visit

    def _returning_guest(self, at: datetime) -> Guest | None:
        """Draw a returning visitor, or None."""
        if self.left and self.left[0][0] < at and self.random.random() < RETURNING_SHARE:
            return self.left.popleft()[1]
        return None

    def _new_guest(self, at: datetime) -> Guest:
        self.latest = max(self.latest + 1, int(at.timestamp()))  # two may come in the same second
        return Guest(self.shop.person(self.latest), self._uuid())

    def _customer_guest(self) -> Guest:
        while (person := self.shop.person(self.random.randrange(self.shop.customers))).visitor:
            pass
        logs_in_later = self.random.random() < LOG_IN_LATER_SHARE
        return Guest(person, self._uuid()) if logs_in_later else Guest(person, "", person.customer_id)

    def _new_visit(self, guest: Guest, at: datetime) -> list[Message]:
        """Draw the visit of an unknown browser. A person with an e-mail address may buy, sign up or subscribe."""
        person, random = guest.person, self.random
        profile = self.shop.profile(person)
        chance = random.random() if profile["email"] and not person.visitor else 1.0
        buys, signs_up = chance < NEW_VISITOR_ORDER_SHARE, chance < NEW_VISITOR_ORDER_SHARE + SIGN_UP_SHARE
        messages = list(map(_sdk_message, self.shop.visit(person, at, random, order_number=int(buys))))
        if signs_up:
            index = len(messages) - 1 if buys else random.randint(1, len(messages))
            messages.insert(
                index, {"type": "identify", "userId": person.customer_id, "traits": _traits(profile)}
            )
        elif chance < NEW_VISITOR_ORDER_SHARE + SIGN_UP_SHARE + SUBSCRIBE_SHARE:
            traits = {"email": profile["email"], "newsletter": True}
            messages.insert(random.randint(1, len(messages)), {"type": "identify", "traits": traits})
        return messages

    def _customer_visit(self, guest: Guest, at: datetime) -> list[Message]:
        """Draw the visit of a customer, who may log in during it, at the latest to order."""
        person, random = guest.person, self.random
        buys = random.random() < CUSTOMER_ORDER_SHARE
        order_number = int(at.timestamp()) if buys else 0  # after those of the past, and of other runs
        messages = list(map(_sdk_message, self.shop.visit(person, at, random, order_number)))
        if not guest.name:
            index = random.randint(1, len(messages) - buys)
            messages.insert(index, {"type": "identify", "userId": person.customer_id})
        return messages

    def _context(self, guest: Guest) -> Message:
        profile = self.shop.profile(guest.person)
        return {
            "library": {"name": "demo-visitors", "version": __version__},
            "locale": f"{profile['language']}-{profile['country']}",
            "userAgent": self.random.choice(USER_AGENTS),
        }

    def _complete(self, message: Message, guest: Guest, name: str, at: datetime, context: Message) -> Message:
        return {
            **message,
            "messageId": self._uuid(),
            "timestamp": at.isoformat(timespec="milliseconds"),
            "anonymousId": guest.browser or None,
            "userId": name or None,
            "context": context | message.get("context", {}),
        }

    def _uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))


def _sdk_message(step: EventStep) -> Message:
    """Return a step as an SDK's message: a page view as ``page``, everything else as ``track``."""
    event, properties = step
    if event == "Page Viewed":
        url = SHOP_ORIGIN + properties["path"]
        return {"type": "page", "name": properties["title"], "properties": properties | {"url": url}}
    return {"type": "track", "event": event, "properties": properties}


def _traits(profile: dict[str, str]) -> Message:
    """Return the traits of a sign-up, without phone numbers: the few made-up ones would merge strangers."""
    return {
        "email": profile["email"],
        "firstName": profile["first_name"],
        "lastName": profile["last_name"],
        "birthday": profile["birth_date"],
        "address": {"city": profile["city"], "country": profile["country"]},
    }
