"""Campaigns for present members, the end of campaigns, and forecasts that agree with what is sent."""

from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from campaigns import lifecycle
from campaigns.channels.on_site import OnSite
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.journeys import forecasts
from campaigns.lifecycle import CampaignError
from campaigns.models import Campaign, CouponPool, Delivery
from campaigns.playbook import catalogue
from campaigns.playbook.catalogue import TACTICS
from tests.support import campaign_runs, shop
from tests.support.campaign_runs import BUYERS, Move, campaign, order, sent_messages, subscribers
from tests.support.shop import NOON, days
from tests.test_audit_log import Staff

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def state(of: Campaign) -> str:
    return Campaign.objects.get(pk=of.pk).state


def page(client: Client, name: str, of: Campaign) -> str:
    return " ".join(
        client.get(reverse(f"admin:campaigns_campaign_{name}", args=[of.pk])).content.decode().split()
    )


# -- Members at the start


def test_present_members_and_customers_who_enter_later_get_each_message_once(move: Move) -> None:
    subscribers("anna", "ben", "cleo", "dora")
    for who in ("anna", "ben"):
        order(who, NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    both = campaign(segment, name="both", include_current_members=True)
    campaign(segment, name="newcomers")

    move(NOON)
    assert sent_messages() == [("anna", "both 1"), ("ben", "both 1")]
    order("cleo", NOON + HOUR)
    move(NOON + 2 * HOUR)
    assert sent_messages() == [("cleo", "both 1"), ("cleo", "newcomers 1")]
    lifecycle.pause(both, NOON)
    lifecycle.resume(both, NOON)
    move(NOON + 3 * HOUR)
    assert sent_messages() == []


def test_a_member_who_leaves_and_returns_around_the_start_gets_it_once(move: Move) -> None:
    subscribers("anna", "ben")
    for who in ("anna", "ben"):
        order(who, NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    campaign(segment, name="both", include_current_members=True, reentry_after=timedelta())
    shop.orders(f"order-anna-{NOON - days(1):%d%H%M},anna,{(NOON - days(1)).isoformat()},10,cancelled",
                header="order_id,customer_id,placed_at,total,status")  # fmt: skip
    move(NOON + HOUR, carry_out=False)
    order("anna", NOON + HOUR)
    move(NOON + 2 * HOUR)

    assert sent_messages() == [("anna", "both 1"), ("ben", "both 1")]
    move(NOON + 3 * HOUR)
    assert sent_messages() == []


def test_present_members_are_included_only_if_chosen_before_the_start(move: Move) -> None:
    staff = Staff("anna").client
    subscribers("anna", "ben")
    shop.customers("cleo,cleo@example.org")
    for who in ("anna", "ben", "cleo"):
        order(who, NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    draft = lifecycle.save_campaign(
        Campaign(segment=segment, name="x", include_current_members=True), [campaign_runs.step("x")]
    )

    assert "For the present members of" in page(staff, "change", draft)
    assert "2 customers will get the first message" in page(staff, "start", draft)
    assert [one.messages for one in forecasts.upcoming_messages(draft, NOON, NOON + days(7))] == [2]
    lifecycle.start(draft, NOON)
    draft.include_current_members = False
    lifecycle.save_campaign(draft, list(draft.steps.all()))
    assert Campaign.objects.get().include_current_members
    assert 'name="include_current_members"' in page(staff, "edit", draft)
    move(NOON)
    assert len(sent_messages()) == 2
    newcomers = campaign(segment, name="newcomers")
    newcomers.include_current_members = True
    lifecycle.save_campaign(newcomers, list(newcomers.steps.all()))
    move(NOON + HOUR)
    assert sent_messages() == []


# -- Done


def test_a_campaign_with_one_date_is_done_when_no_message_waits(move: Move) -> None:
    subscribers("anna", "ben")
    for who in ("anna", "ben"):
        order(who, NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    later = campaign(segment, name="later", trigger="at", starts_at=NOON + days(2))
    sale = campaign(segment, timedelta(), days(1), name="sale", trigger="at", starts_at=NOON)
    weekly = campaign(
        segment, name="weekly", trigger="every", repeats_every=days(7), starts_at=NOON + days(3)
    )

    move(NOON)
    assert (state(sale), state(later)) == ("running", "running")
    move(NOON + days(1))
    assert (state(sale), state(later)) == ("done", "running")
    move(NOON + days(2))
    assert state(later) == "done"
    move(NOON + days(4))
    assert state(weekly) == "running"

    staff = Staff("anna").client
    shown = page(staff, "change", sale)
    assert " Done " in shown
    assert "Stop …" not in shown
    assert "Copy as a draft" in shown
    assert page(staff, "forecast", sale)
    sale.refresh_from_db()
    with pytest.raises(CampaignError, match="cannot be changed"):
        lifecycle.save_campaign(sale, list(sale.steps.all()))
    with pytest.raises(CampaignError):
        lifecycle.stop(sale, NOON)
    listed = staff.get(reverse("admin:campaigns_campaign_changelist"), {"state": "done"}).content.decode()
    assert "sale" in listed
    assert "weekly" not in listed


def test_a_campaign_without_members_on_its_date_is_done(move: Move) -> None:
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    sale = campaign(segment, trigger="at", starts_at=NOON)
    missed = campaign(segment, name="missed", trigger="at", starts_at=NOON)
    lifecycle.pause(missed, NOON)

    move(NOON)
    assert (state(sale), state(missed)) == ("done", "paused")
    move(NOON + days(3))
    lifecycle.resume(missed, NOON + days(3))
    move(NOON + days(3))
    assert state(missed) == "done"


def test_on_site_messages_are_shown_after_the_campaign_is_done(move: Move, client: Client) -> None:
    key = shop.command("create_key", "Web shop", "--visitors").split()[-1]
    shop.events("m1,,a1,Seen,2026-03-15T11:00:00Z")
    segment = shop.segment("everybody", {"first_seen": {"ever": True}})
    move(NOON)
    sale = campaign(segment, channel="on_site", trigger="at", starts_at=NOON)
    move(NOON)

    assert state(sale) == "done"
    shown = client.get("/api/v1/visitors/a1/messages/", {"key": key}).json()["messages"]
    assert [one["title"] for one in shown] == ["everybody 1"]


# -- Forecasts


@pytest.fixture
def people(move: Move) -> Any:
    """Customers who can be reached, and some who cannot: without consent, or at the frequency cap."""
    subscribers("anna", "ben", "cleo", birth_date="1990-03-15")
    subscribers("dora", country="JP", birth_date="1990-03-15")
    shop.customers(
        "emil,emil@example.org,unsubscribed", "fred,fred@example.org,never", "gus,,never",
        header="customer_id,email,newsletter",
    )  # fmt: skip
    for who in ("anna", "ben", "cleo", "dora", "emil", "fred", "gus"):
        order(who, NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    return segment


TRIGGERS: tuple[dict[str, Any], ...] = (
    {"trigger": "enters"},
    {"trigger": "enters", "include_current_members": True},
    {"trigger": "enters", "include_current_members": True, "reentry_after": days(3)},
    {"trigger": "leaves"},
    {"trigger": "at"},
    {"trigger": "at", "reentry_after": days(3)},
    {"trigger": "every", "repeats_every": days(7)},
    {"trigger": "every", "repeats_every": days(7), "reentry_after": timedelta()},
)


@pytest.mark.parametrize("channel", ["email", "on_site"])
def test_forecast_dry_run_and_sent_messages_agree_for_every_trigger(
    move: Move, people: Any, channel: str
) -> None:
    for policy in TRIGGERS:
        draft = lifecycle.save_campaign(
            Campaign(segment=people, name="x", **policy), [campaign_runs.step("x", channel=channel)]
        )
        coming = sum(
            one.messages for one in forecasts.upcoming_messages(draft, NOON, NOON + timedelta(hours=1))
        )
        tried = forecasts.dry_run(draft, NOON)
        assert coming == (tried.would_get if forecasts.starts_for_members(draft) else 0), policy

        lifecycle.start(draft, NOON)
        move(NOON)
        sent = Counter(Delivery.objects.filter(campaign=draft).values_list("state", flat=True))
        assert sent["sent"] == coming, policy
        assert sent["held_back"] == (
            sum(tried.held_back.values()) if forecasts.starts_for_members(draft) else 0
        ), policy


def test_the_forecast_and_the_dry_run_agree_for_every_tactic(move: Move, people: Any) -> None:
    pool = coupon_pool.save_pool(CouponPool(name="ten"))
    pool_codes.generate_codes(pool, 50, 8, Random(1))
    for tactic in TACTICS.values():
        if not tactic.steps:
            continue
        draft = lifecycle.create_from_tactic(people, tactic)
        draft.pool = pool
        found = forecasts.upcoming_messages(draft, NOON, NOON + days(1))
        tried = forecasts.dry_run(draft, NOON)
        first = sum(one.messages for one in found if one.step.number == 1)
        expected = tried.would_get + tried.postponed if forecasts.starts_for_members(draft) else 0
        assert first == expected, tactic.slug
        reached = 7 if tactic.channel == OnSite.key else 4
        assert tried.would_get + tried.postponed == reached, tactic.slug
        assert catalogue.TACTICS[draft.tactic] is tactic


def test_an_active_journey_is_counted_if_its_next_message_can_be_sent(move: Move, people: Any) -> None:
    draft = campaign(people, timedelta(), days(1), trigger="at", starts_at=NOON)
    move(NOON)
    sent_messages()

    draft.refresh_from_db()
    [coming] = forecasts.upcoming_messages(draft, NOON, NOON + days(2))
    assert (coming.step.number, coming.messages) == (2, 4)
    move(NOON + days(1))
    assert len(sent_messages()) == 4
