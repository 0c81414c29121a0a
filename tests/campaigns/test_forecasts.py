"""Forecasts and dry runs, whose counts agree with what is sent."""

from collections import Counter
from collections.abc import Iterator
from datetime import time, timedelta

import pytest

from campaigns import lifecycle
from campaigns.delivery import sending_policy
from campaigns.journeys import forecasts
from campaigns.models import Campaign, Delivery
from tests.support import campaign_runs, shop
from tests.support.campaign_runs import (
    BUYERS,
    WAITING,
    Move,
    campaign,
    fill_cart,
    order,
    sent_messages,
    subscribers,
)
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def move(db: None) -> Iterator[Move]:
    with campaign_runs.clock() as move:
        yield move


def expected(one: Campaign, count: int = 9) -> list[tuple[int, int, int]]:
    """Return the forecast: days from now, step, messages."""
    found = forecasts.upcoming_messages(one, NOON, NOON + days(count))
    return [((each.day - NOON.date()).days, each.step.number, each.messages) for each in found]


def test_upcoming_messages_are_counted_by_day_and_step(move: Move) -> None:
    subscribers("anna", "ben", "cleo")
    segment = shop.segment("waiting", WAITING)
    move(NOON - 2 * HOUR)
    cart = campaign(segment, HOUR, days(1), days(2), ends_with_order=True)
    assert expected(cart) == []
    for who in ("anna", "ben", "cleo"):
        fill_cart(who, NOON - HOUR / 2)
    move(NOON - HOUR / 2)

    assert expected(cart) == [(0, 1, 3), (1, 2, 3), (3, 3, 3)]
    assert expected(cart, 2) == [(0, 1, 3), (1, 2, 3)]

    order("ben", NOON)
    move(NOON)
    assert expected(cart) == [(0, 1, 2), (1, 2, 2), (3, 3, 2)]
    lifecycle.stop(cart, NOON)
    assert expected(cart) == []


def test_future_dates_are_counted_for_the_present_members(move: Move) -> None:
    subscribers("anna", "ben")
    order("anna", NOON - days(1))
    order("ben", NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    weekly = campaign(
        segment, timedelta(), days(1), trigger="every", repeats_every=days(7), starts_at=NOON + days(1)
    )
    once = campaign(segment, name="once", trigger="at", starts_at=NOON + days(2))
    draft = lifecycle.save_campaign(
        Campaign(segment=segment, name="draft", trigger="at"), [campaign_runs.step("draft")]
    )

    assert expected(weekly) == [(1, 1, 2), (2, 2, 2), (8, 1, 2), (9, 2, 2)]
    assert expected(once) == [(2, 1, 2)]
    assert expected(draft) == [(0, 1, 2)]

    move(NOON + days(2))
    once.refresh_from_db()
    assert expected(once) == []


def test_a_dry_run_agrees_with_what_is_sent(move: Move) -> None:
    subscribers("anna", "ben", "cleo")
    subscribers("dora", country="JP")
    shop.customers("emil,emil@example.org,unsubscribed", header="customer_id,email,newsletter")
    for who in ("anna", "ben", "cleo", "dora", "emil"):
        order(who, NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    quiet = {"quiet_from": time(21), "quiet_until": time(8)}
    draft = lifecycle.save_campaign(
        Campaign(segment=segment, name="sale", trigger="at", **quiet), [campaign_runs.step("sale 1")]
    )

    tried = forecasts.dry_run(draft, NOON)

    assert (tried.customers, tried.would_get, tried.postponed) == (5, 3, 1)
    assert tried.held_back == {sending_policy.NO_CONSENT: 1}
    assert Counter(one.decision.may_send for one in tried.sample) == {True: 3, False: 2}
    assert Delivery.objects.count() == 0
    lifecycle.start(draft, NOON)
    move(NOON)
    assert [who for who, _ in sent_messages()] == ["anna", "ben", "cleo"]
    # Who was in it is not counted again where a campaign is once for each.
    again = lifecycle.save_campaign(
        Campaign(segment=segment, name="again", reentry_after=days(2), trigger="at"),
        [campaign_runs.step("x")],
    )
    lifecycle.start(again, NOON)
    move(NOON)
    assert forecasts.dry_run(again, NOON).held_back == {forecasts.ALREADY_IN_CAMPAIGN: 5}


def test_a_dry_run_of_an_exit_campaign_uses_recent_leavers(move: Move) -> None:
    subscribers("anna", "ben")
    segment = shop.segment("waiting", {"open_cart": {"within_last": "1h"}})
    fill_cart("anna", NOON)
    move(NOON)
    fill_cart("ben", NOON + 2 * HOUR)
    move(NOON + 2 * HOUR)
    draft = lifecycle.save_campaign(
        Campaign(segment=segment, name="back", trigger="leaves"), [campaign_runs.step("back")]
    )

    tried = forecasts.dry_run(draft, NOON + 2 * HOUR)

    assert [(one.customer.customer_id, one.decision.may_send) for one in tried.sample] == [("anna", True)]
    assert forecasts.dry_run(draft, NOON + days(40)).customers == 0
