"""A consumer of the change log is interrupted at random while others write, and ends with exactly the members."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection

from core.api import keys
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.web_server import Web, running

pytestmark = pytest.mark.django_db(transaction=True)

SCOPES = ("segments:read", "segments:write", "members:read", "ingest", "privacy")
RULES: dict[str, dict[str, Any]] = {
    "buyers": {"order_count": {"at_least": 1}},
    "quiet": {"none": [{"event_count": {"event": "Product Viewed", "at_least": 1}}]},
    "best": {"total_spent": {"top_percent": 30}},
    "reachable-buyers": {"all": [{"in_segment": {"is": "buyers"}}, {"contact": {"has": "email"}}]},
}
EDITS: list[dict[str, Any]] = [{"order_count": {"at_least": count}} for count in (2, 1, 3)]


class Door:
    """A client of the API that opens a connection for each request."""

    def __init__(self, web: Web, key: str) -> None:
        self.port, self.headers = web.port, {"Authorization": f"Bearer {key}"}

    def call(self, method: str, path: str, sent: Any = None) -> Any:
        door = HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = None if sent is None else json.dumps(sent)
        door.request(method, f"/api/v1/{path}", body, self.headers | {"Content-Type": "application/json"})
        answer = door.getresponse()
        text = answer.read()
        door.close()
        assert answer.status < 300 or (method, answer.status) == ("DELETE", 404), text
        return json.loads(text) if text else None


class Consumer:
    """A consumer that stores only the members and its cursor."""

    def __init__(self, door: Door, slug: str) -> None:
        self.door, self.slug = door, slug
        self.members: set[str] = set()
        self.nameless = 0
        self.position = 0

    def take_a_page(self, size: int, *, is_cut_off: bool = False) -> bool:
        """Read one page; an interruption loses it. Return whether there is more."""
        page = self.door.call("GET", f"segments/{self.slug}/changes/?after={self.position}&page_size={size}")
        if is_cut_off:
            return True
        members, nameless = set(self.members), self.nameless
        for change in page["results"]:
            who = change["customer_id"]
            if who is None:  # erased since, and named by their last leaving alone
                nameless += 1
            elif change["change"] == "entered":
                assert who not in members
                members.add(who)
            elif who in members:
                members.remove(who)
            else:
                assert nameless, f"{who} leaves without having entered"
        self.members, self.nameless, self.position = members, nameless, page["position"]
        return page["next"] is not None


def write(door: Door, chance: random.Random, round_: int) -> None:
    """Do something that changes members."""
    who, at = f"c{chance.randrange(20)}", f"2026-03-{chance.randrange(1, 28):02}T10:00:00Z"
    match chance.randrange(8):
        case 0 | 1 | 2:
            total = chance.randrange(1, 500)
            order = {
                "order_id": f"o{chance.randrange(60)}",
                "customer_id": who,
                "placed_at": at,
                "total": total,
            }
            door.call("POST", "orders/", order)
        case 3:
            ids = {"anonymous_id": f"a{chance.randrange(10)}"} | (
                {"customer_id": who} if chance.random() < 0.4 else {}
            )
            viewed = {"message_id": f"m{round_}", "event": "Product Viewed", "occurred_at": at}
            door.call("POST", "events/", viewed | ids)
        case 4 | 5:
            customer = (
                {"customer_id": who, "email": f"{who}@example.org"}
                if chance.random() < 0.6
                else {"customer_id": who}
            )
            door.call("POST", "customers/", customer)
        case 6:
            door.call("PATCH", "segments/buyers/", {"rule": chance.choice(EDITS)})
        case 7 if chance.random() < 0.4:
            door.call("DELETE", f"customers/{quote(who)}/")


@pytest.fixture
def web(environment: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    with running({**environment, "LOG_LEVEL": "WARNING"}, tmp_path / "web.log") as server:
        yield server


def in_the_background(work: Callable[[], None], failed: list[BaseException]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("seed", "writes"), [(1, 60), *(pytest.param(n, 1_500, marks=pytest.mark.long) for n in (2, 3))]
)
def test_a_consumer_interrupted_at_random_ends_with_exactly_the_members(
    seed: int, writes: int, web: Web
) -> None:
    door = Door(web, keys.create_key("everything", SCOPES)[1])
    for slug, rule in RULES.items():
        shop.segment(slug, rule)
    consumers = [Consumer(door, slug) for slug in RULES]
    written = threading.Event()
    failed: list[BaseException] = []

    def ingest() -> None:
        try:
            chance = random.Random(seed)
            for round_ in range(writes):
                write(door, chance, round_)
        finally:
            written.set()

    def follow() -> None:
        chance = random.Random(-seed)
        while not written.is_set():
            consumer = chance.choice(consumers)
            consumer.take_a_page(chance.randrange(1, 8), is_cut_off=chance.random() < 0.3)

    threads = [in_the_background(work, failed) for work in (ingest, follow)]
    while not written.is_set():
        refresh_all()
    for thread in threads:
        thread.join()
    refresh_all()

    assert not failed
    for consumer in consumers:
        while consumer.take_a_page(50):
            pass
        page = door.call("GET", f"segments/{consumer.slug}/members/?page_size=200")
        assert page["next"] is None
        assert consumer.members == {one["customer_id"] for one in page["results"]}
    assert sum(len(consumer.members) for consumer in consumers) > 10
