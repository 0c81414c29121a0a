"""Drains side by side end in the same state as one drain, whatever their messages have in common."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from customers.models import (
    Batch,
    ConsentStatement,
    DrainKey,
    IdentityLink,
    OrderMessage,
    RefusedMessage,
)
from customers.tracking import inbox
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.tracking_messages import send

from . import test_any_order as any_order

pytestmark = pytest.mark.django_db(transaction=True)

DRAINS = 4
Requests = list[list[dict[str, Any]]]


BROWSERS = tuple(f"a{n}" for n in range(1, 9))
names = st.sampled_from(("Ada", "Bo", "Cy", "Di"))


@st.composite
def links(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a link of two ids, which is known before the drains run side by side."""
    user = draw(st.sampled_from(any_order.CUSTOMERS))
    kind = draw(st.sampled_from(("alias", "identify", "identify")))
    if kind == "alias":
        return {"type": "alias", "previousId": draw(st.sampled_from(BROWSERS)), "userId": user}
    traits = {"email": draw(st.sampled_from(any_order.EMAILS))}
    return {
        "type": "identify",
        "userId": user,
        "anonymousId": draw(st.sampled_from(BROWSERS)),
        "traits": traits,
    }


@st.composite
def messages_of_one_id(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a message that names one id only. What connects it with others, only the database knows."""
    one = draw(st.sampled_from((*any_order.CUSTOMERS, *BROWSERS)))
    message: dict[str, Any] = {"userId": one} if one in any_order.CUSTOMERS else {"anonymousId": one}
    match draw(st.sampled_from((*["identify"] * 5, "track", "track", "order", "browser"))):
        case "identify":
            optional = {
                "firstName": names,
                "lastName": names,
                "plan": names,
                "newsletter": st.booleans(),
                "createdAt": st.sampled_from(("2025-01-01", "2026-03-01T05:00:00Z")),
            }
            traits = draw(st.fixed_dictionaries({}, optional=optional))
            return message | {"type": "identify", "traits": traits}
        case "order":
            return message | draw(any_order.orders()) | {"userId": None, "anonymousId": None, **message}
        case "browser" if one in BROWSERS:
            return message | {"type": "identify", "traits": {"city": draw(names)}, "signed": False}
    return message | {"type": "track", "event": "View", "properties": {}}


@st.composite
def requests(draw: st.DrawFn) -> tuple[Requests, Requests]:
    """Draw requests that are processed first, and requests for several drains.

    Of the latter, most name few ids, so that drains find requests without an id in common, but about one person.
    """
    first = draw(st.lists(links(), min_size=2, max_size=6))
    anything = st.one_of(any_order.traits(), any_order.orders(), any_order.aliases(), any_order.of_browsers())
    each = st.one_of(*[messages_of_one_id()] * 16, links(), anything)
    then = draw(st.lists(st.lists(each, min_size=1, max_size=1), min_size=16, max_size=32))
    return tuple(  # type: ignore[return-value]
        [
            [
                _numbered(message, f"{part}-{place}-{n}", draw(any_order.moments))
                for n, message in enumerate(request)
            ]
            for place, request in enumerate(sent)
        ]
        for part, sent in (("first", [[one] for one in first]), ("then", then))
    )


def _numbered(message: dict[str, Any], message_id: str, at: str) -> dict[str, Any]:
    if message.get("properties", {}).get("order_id") == "":
        message = message | {"properties": message["properties"] | {"order_id": "o1"}}
    return message | {"messageId": message_id, "timestamp": at}


def state_after(
    drains: int, doors: any_order.Doors, sent: tuple[Requests, Requests], django_settings: Any
) -> dict[str, Any]:
    any_order.forget_members()
    django_settings.INBOX_DRAINS = drains
    first, then = sent
    for request in first:
        send(doors.server, *request)
    for request in then:
        by_server = [one for one in request if "signed" not in one]
        by_browser = [doors._sent(one) for one in request if "signed" in one]
        for key, given_messages in ((doors.server, by_server), (doors.browser, by_browser)):
            if given_messages:
                send(key, *given_messages, drain=False)
    drain_side_by_side(drains)
    refresh_all()
    shop.assert_facts_are_those_of_the_records()
    assert not RefusedMessage.objects.exclude(reason__contains="'dancing'").exists()
    assert not DrainKey.objects.exists()
    return {
        **shop.comparable_records(),
        "links": rows(IdentityLink, "one__value", "other__value", "at", "is_conflict"),
        "consent": rows(ConsentStatement, "identity__value", "state", "method", "at", "address"),
        "orders": rows(OrderMessage, "order_id", "message_id", "identity__value"),
        "members": [shop.members(slug) for slug in any_order.RULES],
    }


def rows(table: Any, *columns: str) -> list[str]:
    found = table.objects.values_list(*columns)
    return sorted(repr(sorted(map(str, row))) for row in found)


def drain_side_by_side(drains: int) -> None:
    """Drain the inbox until it is empty, in threads with connections of their own."""
    start = threading.Barrier(drains)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            connection.ensure_connection()
            start.wait(20)
            while Batch.objects.exists() and not errors:
                if not inbox.drain():
                    time.sleep(0.02)  # others hold what waits
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(drains)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def check(sent: tuple[Requests, Requests], doors: any_order.Doors, django_settings: Any) -> None:
    found, right = (state_after(drains, doors, sent, django_settings) for drains in (DRAINS, 1))
    assert found == right, [
        (table, row, "is", "lacking" if row in right[table] else "found")
        for table in right
        for row in [*found[table], *right[table]]
        if (row in found[table]) != (row in right[table])
    ]


@pytest.fixture
def doors(monkeypatch: pytest.MonkeyPatch) -> Iterator[any_order.Doors]:
    monkeypatch.setattr(inbox, "MAX_BATCHES", 2)
    for slug, rule in any_order.RULES.items():
        shop.segment(slug, rule)
    yield any_order.Doors()
    any_order.forget_members()


# What fails depends on the timing of threads, so a smaller example would not tell more.
BESIDE_THE_LAW = settings(
    deadline=None,
    suppress_health_check=any_order.BESIDE_THE_LAW,
    phases=(Phase.explicit, Phase.generate),
)


@settings(BESIDE_THE_LAW, max_examples=6)
@given(requests())
def test_four_drains_end_in_the_same_state_as_one(
    doors: any_order.Doors, settings: Any, sent: tuple[Requests, Requests]
) -> None:
    check(sent, doors, settings)


@pytest.mark.long
@settings(BESIDE_THE_LAW, max_examples=300)
@given(requests())
def test_four_drains_end_in_the_same_state_as_one_in_many_histories(
    doors: any_order.Doors, settings: Any, sent: tuple[Requests, Requests]
) -> None:
    check(sent, doors, settings)
