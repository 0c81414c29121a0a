"""What whoever holds the key of a browser can fill or use up: little, and nobody else's share of it."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from customers import tasks, volatile
from customers.models import Batch, Event, RefusedMessage
from customers.tracking import inbox
from tests.tracking.sending import basic, message, post, send, source, track

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def limited(settings, clock: time_machine.Traveller) -> None:
    """An address may send 4 messages a minute; nothing has been counted yet."""
    volatile.ask(lambda redis: [redis.delete(name) for name in redis.scan_iter("limits:*")])
    settings.API_RATES = {**settings.API_RATES, "browsers": 4}


def unreadable(number: int, **fields: Any) -> dict[str, Any]:
    return message("track", user=f"c{number}", **fields)  # without the name of an event


# -- Refused messages


def test_refused_messages_fill_no_disk(clock: time_machine.Traveller) -> None:
    _, key = source("browser")
    _, other = source("browser")
    send(key, *(unreadable(number, context={"x": "ä" * 600}) for number in range(100)))
    for _ in range(2):
        send(key, *(unreadable(number) for number in range(550)))
    send(other, unreadable(1))
    send(key, track("View", anonymous="a1"))

    assert RefusedMessage.objects.count() == 1_000 + 1
    assert (
        max(len(message.encode()) for message in RefusedMessage.objects.values_list("message", flat=True))
        == 2_000
    )
    assert Event.objects.count() == 1  # what is right is taken as before

    clock.shift(timedelta(days=1))
    send(key, unreadable(1), unreadable(2))
    assert RefusedMessage.objects.count() == 1_000 + 1 + 2


def test_refused_messages_are_deleted_after_a_fortnight(clock: time_machine.Traveller) -> None:
    _, key = source("browser")
    send(key, unreadable(1))
    clock.shift(timedelta(days=1))
    send(key, unreadable(2))

    clock.shift(timedelta(days=13))
    tasks.forget_refused_messages()

    [left] = RefusedMessage.objects.all()
    assert json.loads(left.message)["userId"] == "c2"


# -- Limits by address


def statuses(key: str, times: int, address: str, body: Any = None) -> list[int]:
    body = body or {"batch": [track("View", anonymous="a1")] * 2}
    return [post(key, "batch", body, REMOTE_ADDR=address).status_code for _ in range(times)]


def test_an_address_that_sends_too_much_leaves_the_others_their_share(limited: None) -> None:
    _, key = source("browser", messages_a_minute=12)

    assert statuses(key, 3, "192.0.2.1") == [200, 200, 429]
    assert statuses(key, 20, "192.0.2.1") == [429] * 20  # and none of it counts against the source
    assert statuses(key, 3, "192.0.2.2") == [200, 200, 429]
    late = post(key, "page", message("page", anonymous="a1"), REMOTE_ADDR="192.0.2.2")
    assert late["Retry-After"] == "60"
    assert json.loads(late.content)["code"] == "too_many_messages"


def test_all_addresses_together_are_held_to_the_limit_of_the_source(limited: None) -> None:
    _, key = source("browser", messages_a_minute=12)

    told = [statuses(key, 2, f"192.0.2.{number}") for number in range(10)]

    assert sum(one.count(200) for one in told) == 6
    assert Batch.objects.count() == 6


def test_a_subscriber_of_ipv6_is_one_address(limited: None, settings) -> None:
    _, key = source("browser")
    settings.BEHIND_HTTPS_PROXY = True

    def sent_from(address: str) -> int:
        header = {"X-Forwarded-For": f"192.0.2.9, {address}"}
        return post(key, "batch", {"batch": [track("View", anonymous="a1")] * 2}, header).status_code

    assert [sent_from(f"2001:db8:0:1:{number:x}::1") for number in range(4)] == [200, 200, 429, 429]
    assert sent_from("2001:db8:0:2::1") == 200
    assert sent_from("::ffff:192.0.2.1") == 200


def test_a_long_body_counts_as_the_messages_it_has_room_for(limited: None) -> None:
    _, key = source("browser")
    padded = gzip.compress(
        json.dumps({"batch": [track("View", anonymous="a1")], "x": "y" * 3_000_000}).encode()
    )

    assert statuses(key, 2, "192.0.2.1", padded) == [200, 429]
    assert statuses(key, 2, "192.0.2.2") == [200, 200]


def test_servers_send_from_one_address_as_much_as_their_source_may(limited: None) -> None:
    _, key = source("server")

    assert statuses(key, 10, "192.0.2.1") == [200] * 10
    assert inbox.drain() == 20


def test_a_forged_header_makes_no_other_address_without_a_proxy(limited: None) -> None:
    _, key = source("browser")
    told = [
        Client()
        .post(
            "/v1/batch",
            json.dumps({"batch": [track("View", anonymous="a1")] * 2}),
            content_type="application/json",
            headers={**basic(key), "X-Forwarded-For": f"192.0.2.{number}"},
        )
        .status_code
        for number in range(3)
    ]

    assert told == [200, 200, 429]
