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


@st.composite
def orders_of_browsers(draw: st.DrawFn) -> dict[str, Any]:
    ids = {"userId": None, "anonymousId": draw(st.sampled_from(any_order.BROWSERS)), "signed": False}
    return draw(any_order.orders()) | ids


@st.composite
def requests(draw: st.DrawFn) -> Requests:
    """Draw requests of one or two messages each. Few ids, so that most messages have something in common."""
    servers = st.one_of(any_order.traits(), any_order.calls(), any_order.orders(), any_order.aliases())
    browsers = st.one_of(any_order.of_browsers(), orders_of_browsers())
    drawn = draw(
        st.lists(st.lists(st.one_of(servers, browsers), min_size=1, max_size=2), min_size=8, max_size=24)
    )
    return [
        [_numbered(message, f"m{place}-{n}", draw(any_order.moments)) for n, message in enumerate(request)]
        for place, request in enumerate(drawn)
    ]


def _numbered(message: dict[str, Any], message_id: str, at: str) -> dict[str, Any]:
    if message.get("properties", {}).get("order_id") == "":
        message = message | {"properties": message["properties"] | {"order_id": "o1"}}
    return message | {"messageId": message_id, "timestamp": at}


def state_after(drains: int, doors: any_order.Doors, sent: Requests, django_settings: Any) -> dict[str, Any]:
    any_order.forget_members()
    django_settings.INBOX_DRAINS = drains
    for request in sent:
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


def check(sent: Requests, doors: any_order.Doors, django_settings: Any) -> None:
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


@settings(BESIDE_THE_LAW, max_examples=5)
@given(requests())
def test_four_drains_end_in_the_same_state_as_one(
    doors: any_order.Doors, settings: Any, sent: Requests
) -> None:
    check(sent, doors, settings)


@pytest.mark.long
@settings(BESIDE_THE_LAW, max_examples=300)
@given(requests())
def test_four_drains_end_in_the_same_state_as_one_in_many_histories(
    doors: any_order.Doors, settings: Any, sent: Requests
) -> None:
    check(sent, doors, settings)
