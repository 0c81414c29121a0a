"""The open cart, filled and emptied by events."""

from decimal import Decimal
from typing import Any

import pytest
import time_machine

from customers.facts import update
from customers.facts.definitions import MAX_SUM
from customers.models import Event, Facts
from segments.models import Segment
from segments.refresh import verification
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.tracking_messages import send, source, track

pytestmark = pytest.mark.django_db

AT = "2026-03-01T12:00:00+00:00"


@pytest.fixture(autouse=True)
def clock():
    with time_machine.travel(AT, tick=False):
        yield


@pytest.fixture
def key() -> str:
    return source()[1]


def added(at: str, **properties: Any) -> dict[str, Any]:
    return track("Product Added", user="c1", at=f"2026-03-01T{at}:00Z", **properties)


def removed(at: str, **properties: Any) -> dict[str, Any]:
    return track("Product Removed", user="c1", at=f"2026-03-01T{at}:00Z", **properties)


def ordered(at: str) -> dict[str, Any]:
    return track("Order Completed", user="c1", order_id="o1", total=5, at=f"2026-03-01T{at}:00Z")


CUP = {"sku": "CUP-1", "price": 12}


@pytest.mark.parametrize(
    ("messages", "is_open"),
    [
        ([added("09:00", **CUP, quantity=1), removed("09:05", **CUP, quantity=1)], False),
        ([added("09:00", **CUP, quantity=2), removed("09:05", **CUP, quantity=1)], True),
        ([added("09:00", **CUP), removed("09:05", **CUP)], False),
        ([added("09:00", **CUP, quantity="3"), removed("09:05", **CUP), removed("09:06", **CUP)], True),
        ([added("09:00", **CUP, quantity=0.5), removed("09:05", **CUP, quantity="0.5")], False),
        ([added("09:00", **CUP, quantity="many"), removed("09:05", **CUP)], False),
        ([added("09:00", **CUP, quantity=0)], False),
        ([removed("09:00", **CUP), added("09:05", **CUP)], False),
        ([added("08:00", **CUP), ordered("08:30"), removed("09:00", **CUP), added("09:05", **CUP, quantity=2)], True),
        ([added("08:00", **CUP, quantity=5), ordered("08:30"), added("09:05", **CUP), removed("09:10", **CUP)], False),
    ],
)  # fmt: skip
def test_an_emptied_cart_is_not_open_in_any_order_of_its_events(key, messages, is_open) -> None:
    shop.segment("waiting", {"open_cart": {"within_last": "7d"}})

    for at_once in (messages[:1], messages[1:]):  # merged into what is stored
        send(key, *at_once)
        refresh_all()
    assert shop.members("waiting") == (["c1"] if is_open else [])

    update.recompute_all()  # and summed up from the records
    refresh_all()
    assert shop.members("waiting") == (["c1"] if is_open else [])
    assert all(verdict.is_correct for verdict in verification.verify(Segment.objects.all()))


def test_a_cart_can_be_evaluated_at_a_past_instant(key, tmp_path) -> None:
    send(key, added("09:00", **CUP), removed("10:00", **CUP))
    rule = tmp_path / "rule.json"
    rule.write_text('{"open_cart": {"within_last": "1d"}}')

    assert shop.command("evaluate", "--rule", rule, "--at", "2026-03-01T09:30:00Z") == "1\n"
    assert shop.command("evaluate", "--rule", rule) == "0\n"


def test_huge_values_do_not_keep_facts_from_being_stored(key) -> None:
    send(key, *(added(f"09:{n}0", **CUP) for n in range(4)))
    much = Decimal(MAX_SUM // 15_000)  # four of them are more than 64 bits hold
    Event.objects.update(product_value=much, product_quantity=much)
    update.recompute_all()
    assert (Facts.objects.get().cart_value, Facts.objects.get().cart_quantity) == (MAX_SUM, MAX_SUM)

    send(key, added("11:00", **CUP, quantity=2))
    assert (Facts.objects.get().cart_value, Facts.objects.get().cart_quantity) == (MAX_SUM, MAX_SUM)
