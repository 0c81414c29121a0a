"""Journeys: who starts a campaign, gets which step when, and stops, on a test's clock."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.delivery import sending_policy
from campaigns.models import Campaign, CouponPool, Delivery, Journey
from customers.models import Customer
from segments import segment_store
from tests.support import campaign_runs, shop
from tests.support.campaign_runs import (
    BUYERS,
    WAITING,
    Move,
    campaign,
    fill_cart,
    held_back_messages,
    order,
    sent_messages,
    subscribers,
)
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
CART = (HOUR, 23 * HOUR, 48 * HOUR)


@pytest.fixture(autouse=True)
def move(db: None) -> Iterator[Move]:
    with campaign_runs.clock() as move:
        yield move


def carts(move: Move, **policy: Any) -> Campaign:
    """Cart recovery at 1, 24 and 72 hours."""
    segment = shop.segment("waiting", WAITING)
    move(NOON - HOUR)
    return campaign(segment, *CART, ends_with_order=True, **policy)


def test_steps_follow_one_another_until_the_customer_orders(move: Move) -> None:
    subscribers("anna", "ben", "cleo")
    carts(move)
    for who in ("anna", "ben", "cleo"):
        fill_cart(who, NOON)

    move(NOON + MINUTE)
    assert sent_messages() == []
    move(NOON + HOUR)
    assert sent_messages() == []
    move(NOON + HOUR + MINUTE)
    assert sent_messages() == [("anna", "waiting 1"), ("ben", "waiting 1"), ("cleo", "waiting 1")]

    order("ben", NOON + 2 * HOUR)
    order("cleo", NOON + 2 * HOUR, status="cancelled")
    move(NOON + 24 * HOUR + MINUTE)
    assert sent_messages() == [("anna", "waiting 2"), ("cleo", "waiting 2")]
    move(NOON + 24 * HOUR + MINUTE)
    assert sent_messages() == []
    order("anna", NOON + 25 * HOUR)
    move(NOON + 72 * HOUR + MINUTE)
    assert sent_messages() == [("cleo", "waiting 3")]
    assert set(Journey.objects.values_list("customer__customer_id", "state", "reason")) == {
        ("anna", "stopped", sending_policy.LEFT),
        ("ben", "stopped", sending_policy.LEFT),
        ("cleo", "finished", ""),
    }


def test_earlier_members_and_members_by_an_edited_rule_start_only_if_chosen(
    move: Move,
) -> None:
    subscribers("anna", "ben", "cleo")
    order("anna", NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    campaign(segment, name="buyers")
    campaign(segment, name="everybody", include_bulk_entries=True)

    order("ben", NOON)
    move(NOON + HOUR)
    assert sent_messages() == [("ben", "buyers 1"), ("ben", "everybody 1")]

    segment.refresh_from_db()
    segment.rule = {"first_seen": {"ever": True}}
    segment_store.save_segment(segment)
    move(NOON + 2 * HOUR)
    assert sent_messages() == [("cleo", "everybody 1")]


def test_the_first_refresh_of_a_segment_starts_journeys_only_if_chosen(move: Move) -> None:
    subscribers("anna")
    order("anna", NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    campaign(segment, name="buyers")
    campaign(segment, name="everybody", include_bulk_entries=True)

    move(NOON)

    assert sent_messages() == [("anna", "everybody 1")]


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        (None, ["first"]),
        (timedelta(), ["first", "second", "third"]),
        (days(3), ["first", "third"]),
    ],
)
def test_a_customer_who_enters_again_starts_again_as_the_campaign_allows(
    move: Move, again: timedelta | None, expected: list[str]
) -> None:
    subscribers("anna")
    segment = shop.segment("waiting", {"open_cart": {"within_last": "1h"}})
    move(NOON - HOUR)
    campaign(segment, reentry_after=again)

    met = []
    for name, at in (("first", NOON), ("second", NOON + days(2)), ("third", NOON + days(4))):
        fill_cart("anna", at)
        move(at + MINUTE)
        met += [name for _ in sent_messages()]
        move(at + 3 * HOUR)

    assert met == expected


def test_leaving_and_returning_between_two_runs_ends_the_first_journey(move: Move) -> None:
    subscribers("anna")
    segment = shop.segment("waiting", {"open_cart": {"within_last": "1h"}})
    move(NOON - HOUR)
    campaign(segment, days(1), reentry_after=timedelta())
    fill_cart("anna", NOON)
    move(NOON + MINUTE)

    for at in (NOON + 2 * HOUR, NOON + 3 * HOUR):
        fill_cart("anna", NOON + 3 * HOUR)
        move(at, carry_out=False)
    move(NOON + 3 * HOUR + MINUTE)

    assert [(one.state, one.reason) for one in Journey.objects.order_by("pk")] == [
        ("stopped", sending_policy.LEFT),
        ("active", ""),
    ]


def test_customers_who_leave_start_unless_they_return(move: Move) -> None:
    subscribers("anna", "ben")
    segment = shop.segment("waiting", {"open_cart": {"within_last": "1d"}})
    fill_cart("anna", NOON)
    fill_cart("ben", NOON)
    move(NOON)
    campaign(segment, 2 * HOUR, name="miss you", trigger="leaves")

    move(NOON + days(1) + MINUTE)
    assert sent_messages() == []
    fill_cart("ben", NOON + days(1) + HOUR)
    move(NOON + days(1) + 2 * HOUR + MINUTE)

    assert sent_messages() == [("anna", "miss you 1")]
    assert Journey.objects.get(customer__customer_id="ben").reason == sending_policy.CAME_BACK


def test_a_journey_continues_after_leaving_if_the_campaign_says_so(move: Move) -> None:
    subscribers("anna")
    segment = shop.segment("waiting", {"open_cart": {"within_last": "1h"}})
    move(NOON - HOUR)
    campaign(segment, days(1), exit_when_not_member=False)
    fill_cart("anna", NOON)
    move(NOON + MINUTE)
    move(NOON + days(1) + MINUTE)
    assert sent_messages() == [("anna", "waiting 1")]


# -- Dates


def test_a_date_starts_all_members_of_that_moment_once(move: Move) -> None:
    subscribers("anna", "ben", "cleo")
    segment = shop.segment("buyers", BUYERS)
    order("anna", NOON - days(1))
    move(NOON)
    campaign(segment, timedelta(), 2 * HOUR, name="sale", trigger="at", starts_at=NOON + days(1))
    order("ben", NOON)
    move(NOON + HOUR)
    assert sent_messages() == []

    move(NOON + days(1))
    order("cleo", NOON + days(1))
    assert sent_messages() == [("anna", "sale 1"), ("ben", "sale 1")]
    move(NOON + days(1) + 2 * HOUR)
    assert sent_messages() == [("anna", "sale 2"), ("ben", "sale 2")]
    move(NOON + days(2))
    assert sent_messages() == []


def test_a_repeated_date_keeps_its_time_of_day_when_clocks_change(move: Move, settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    subscribers("anna")
    order("anna", NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    first = NOON + days(7)
    campaign(segment, name="news", trigger="every", repeats_every=days(7), starts_at=first)

    met = []
    for week in range(3):
        for hours in (-2, -1, 0, 1):
            at = first + days(7 * week) + hours * HOUR
            move(at, refresh=False)
            met += [at for _ in sent_messages()]

    # Clocks go forward on 29 March: 13:00 in Berlin is 12:00 in UTC before, and 11:00 after.
    assert met == [first, first + days(7) - HOUR, first + days(14) - HOUR]


def test_dates_missed_for_too_long_are_skipped(move: Move) -> None:
    subscribers("anna")
    order("anna", NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    campaign(segment, name="news", trigger="every", repeats_every=days(2), starts_at=NOON + days(2))

    move(NOON + days(7))
    assert sent_messages() == []
    move(NOON + days(8))
    assert sent_messages() == [("anna", "news 1")]


def test_a_missing_date_means_now(move: Move) -> None:
    subscribers("anna")
    order("anna", NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    campaign(segment, name="now", trigger="at")
    campaign(segment, name="weekly", trigger="every", repeats_every=days(7))

    move(NOON + MINUTE)

    assert sent_messages() == [("anna", "now 1"), ("anna", "weekly 1")]


# -- Pause, stop, edit


def test_a_pause_shifts_no_message_and_expired_messages_are_held_back(move: Move) -> None:
    subscribers("anna")
    cart = carts(move)
    fill_cart("anna", NOON)
    move(NOON + MINUTE)
    lifecycle.pause(cart, NOON)
    move(NOON + 20 * HOUR)
    assert sent_messages() == []

    lifecycle.resume(cart, NOON)
    move(NOON + 20 * HOUR)
    assert sent_messages() == [("anna", "waiting 1")]
    lifecycle.pause(cart, NOON)
    move(NOON + days(2.5))
    lifecycle.resume(cart, NOON)
    move(NOON + days(2.5))
    assert (sent_messages(), held_back_messages()) == ([], [("anna", sending_policy.TOO_LATE)])
    move(NOON + days(3) + MINUTE)
    assert sent_messages() == [("anna", "waiting 3")]


def test_stopping_ends_everything(move: Move) -> None:
    subscribers("anna")
    cart = carts(move, quiet_from=NOON.time(), quiet_until=(NOON + 3 * HOUR).time())
    fill_cart("anna", NOON)
    move(NOON)
    move(NOON + 2 * HOUR)
    assert Delivery.objects.get().state == "planned"

    lifecycle.stop(cart, NOON)
    move(NOON + days(1))

    assert (sent_messages(), held_back_messages()) == ([], [("anna", sending_policy.STOPPED)])
    assert Journey.objects.get().state == "stopped"
    with pytest.raises(lifecycle.CampaignError, match="is not running"):
        lifecycle.stop(cart, NOON)
    with pytest.raises(lifecycle.CampaignError, match="not running"):
        lifecycle.pause(cart, NOON)


def test_a_running_campaign_can_get_more_steps_but_loses_none(move: Move) -> None:
    subscribers("anna")
    cart = carts(move)
    fill_cart("anna", NOON)
    move(NOON)
    move(NOON + 2 * HOUR)
    assert sent_messages() == [("anna", "waiting 1")]
    steps = list(cart.steps.all())

    with pytest.raises(lifecycle.CampaignError, match="none of them can be removed"):
        lifecycle.save_campaign(cart, steps[:2])
    steps[1].subject = "a better one"
    lifecycle.save_campaign(cart, [*steps, campaign_runs.step("one more")])
    move(NOON + 25 * HOUR)
    assert sent_messages() == [("anna", "a better one")]
    assert Delivery.objects.filter(step=steps[0]).count() == 1


# -- Joined visitors


def test_a_merged_visitors_journey_continues_for_the_customer(move: Move) -> None:
    subscribers("anna")
    segment = shop.segment("waiting", WAITING)
    move(NOON - HOUR)
    campaign(segment, *CART)
    fill_cart("", NOON, visitor="browser")
    move(NOON + MINUTE)
    assert Journey.objects.get().customer.customer_id == "anonymous:browser"

    # At the first step the visitor cannot be reached; the customer they are can, at the second.
    move(NOON + HOUR + MINUTE)
    assert (sent_messages(), held_back_messages()) == ([], [("anonymous:browser", sending_policy.NO_CONSENT)])
    shop.events(f"login,anna,browser,Signed In,{(NOON + 2 * HOUR).isoformat()}")
    move(NOON + 2 * HOUR + MINUTE)
    assert [(one.customer.customer_id, one.state) for one in Journey.objects.all()] == [("anna", "active")]
    assert held_back_messages() == [("anna", sending_policy.NO_CONSENT)]
    move(NOON + 24 * HOUR + MINUTE)
    assert sent_messages() == [("anna", "waiting 2")]
    move(NOON + 72 * HOUR + MINUTE)
    assert sent_messages() == [("anna", "waiting 3")]


@pytest.mark.parametrize("is_read_before", [True, False])
def test_after_a_merge_only_one_of_two_journeys_continues(move: Move, is_read_before: bool) -> None:
    subscribers("anna")
    segment = shop.segment("waiting", WAITING)
    move(NOON - HOUR)
    campaign(segment, *CART)
    fill_cart("anna", NOON)
    move(NOON + MINUTE)
    fill_cart("", NOON + HOUR / 2, visitor="browser")
    move(NOON + HOUR / 2 + MINUTE, carry_out=is_read_before)
    shop.events(f"login,anna,browser,Signed In,{(NOON + HOUR / 2).isoformat()}")

    for hours in (1, 2, 24, 25, 72, 73, 74):
        move(NOON + hours * HOUR + MINUTE)

    assert sent_messages() == [("anna", "waiting 1"), ("anna", "waiting 2"), ("anna", "waiting 3")]
    assert Journey.objects.filter(state="finished").count() == 1


def test_a_date_that_visitor_and_customer_both_got_counts_once(move: Move) -> None:
    subscribers("anna")
    fill_cart("anna", NOON)
    fill_cart("", NOON, visitor="browser")
    segment = shop.segment("waiting", WAITING)
    move(NOON)
    campaign(segment, timedelta(), days(1), name="sale", trigger="at", starts_at=NOON + HOUR)
    move(NOON + HOUR)
    assert sent_messages() == [("anna", "sale 1")]

    shop.events(f"login,anna,browser,Signed In,{(NOON + HOUR).isoformat()}")
    move(NOON + 25 * HOUR)

    assert sent_messages() == [("anna", "sale 2")]
    assert sorted(Journey.objects.values_list("customer__customer_id", "state")) == [
        ("anna", "finished"),
        ("anna", "stopped"),
    ]


def test_a_merged_visitors_coupon_moves_to_a_customer_without_one(move: Move) -> None:
    subscribers("anna", "ben")
    pool = coupon_pool.save_pool(CouponPool(name="ten"))
    pool_codes.add_codes(pool, ["A1", "B2", "C3"])
    one = campaign(shop.segment("waiting", WAITING), pool=pool)
    for visitor in ("x", "y"):
        fill_cart("", NOON, visitor=visitor)
    visitors = [Customer.objects.get(customer_id=f"anonymous:{name}") for name in ("x", "y")]
    ben = Customer.objects.get(customer_id="ben")
    assert [coupon_pool.assign_code(one, who, NOON) for who in (*visitors, ben)] == ["A1", "B2", "C3"]

    for who, visitor in (("anna", "x"), ("ben", "y")):
        shop.events(f"login-{who},{who},{visitor},Signed In,{NOON.isoformat()}")

    assert coupon_pool.assign_code(one, Customer.objects.get(customer_id="anna"), NOON) == "A1"
    assert coupon_pool.assign_code(one, ben, NOON) == "C3"


def test_an_erased_customer_gets_no_further_message(move: Move) -> None:
    subscribers("anna", "ben")
    carts(move)
    fill_cart("anna", NOON)
    fill_cart("ben", NOON)
    move(NOON + MINUTE)

    shop.command("erase_customer", "anna", "--yes")
    move(NOON + 2 * HOUR)

    assert sent_messages() == [("ben", "waiting 1")]
    assert set(Journey.objects.values_list("customer__customer_id", flat=True)) == {"ben"}
