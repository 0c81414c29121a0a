"""The sending policy: consent, quiet hours in the customer's time zone, and the frequency cap."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.core import mail
from hypothesis import given
from hypothesis import strategies as st

from campaigns.delivery import quiet_hours, sending_policy
from campaigns.journeys import forecasts
from campaigns.models import Campaign, Delivery
from customers.consent import suppression
from tests.support import campaign_runs, shop
from tests.support.campaign_runs import (
    BUYERS,
    Move,
    campaign,
    held_back_messages,
    order,
    sent_messages,
    subscribers,
)
from tests.support.shop import NOON, days
from tests.support.tracking_messages import identify, send, source

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def move(db: None) -> Iterator[Move]:
    with campaign_runs.clock() as move:
        yield move


def to_buyers(move: Move, *waits: timedelta, **policy: Any) -> Campaign:
    segment = shop.segment("buyers", BUYERS)
    move(NOON - HOUR)
    return campaign(segment, *waits, **policy)


def test_only_subscribers_with_an_address_at_the_time_of_sending_get_e_mail(move: Move) -> None:
    subscribers("anna", "ben")
    shop.customers(
        "cleo,cleo@example.org,unsubscribed",
        "dora,dora@example.org,",
        "emil,,subscribed",
        header="customer_id,email,newsletter",
    )
    to_buyers(move, HOUR)
    for who in ("anna", "ben", "cleo", "dora", "emil"):
        order(who, NOON)
    move(NOON)
    shop.customers("ben,unsubscribed", "dora,subscribed", header="customer_id,newsletter")

    move(NOON + HOUR)

    assert sent_messages() == [("anna", "buyers 1"), ("dora", "buyers 1")]
    assert held_back_messages() == [(who, sending_policy.NO_CONSENT) for who in ("ben", "cleo", "emil")]


def test_the_frequency_cap_covers_all_campaigns(move: Move, settings) -> None:
    settings.CAMPAIGN_MESSAGES_A_WEEK = 2
    subscribers("anna", "ben")
    segment = shop.segment("buyers", BUYERS)
    order("anna", NOON - days(1))
    order("ben", NOON - days(1))
    move(NOON - HOUR)
    for number, day in enumerate((0, 0, 0, 3, 7), start=1):
        campaign(segment, name=f"sale{number}", trigger="at", starts_at=NOON + days(day))

    move(NOON)
    # Of those that come due together, that of the older campaign goes first.
    assert sent_messages() == [
        *(("anna", f"sale{n} 1") for n in (1, 2)),
        *(("ben", f"sale{n} 1") for n in (1, 2)),
    ]
    assert {reason for _, reason in held_back_messages()} == {sending_policy.CAP_REACHED}
    move(NOON + days(3))
    assert sent_messages() == []
    assert len(held_back_messages()) == 4
    # Seven days later they do not count any more.
    move(NOON + days(7))
    assert sent_messages() == [("anna", "sale5 1"), ("ben", "sale5 1")]


def test_quiet_hours_delay_messages_until_they_end_in_the_customers_time_zone(move: Move, settings) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    subscribers("anna")  # nothing is known: as the shop, 13:00
    subscribers("ben", country="JP")  # 21:00
    subscribers("cleo", country="Japan", time_zone="America/New_York")  # 8:00
    subscribers("dora", country="US")  # in many zones: as the shop
    subscribers("emil", timezone="Nowhere/Land", country="in")  # 17:30
    everybody = ("anna", "ben", "cleo", "dora", "emil")
    to_buyers(move, timedelta(), quiet_from=time(21), quiet_until=time(8, 30))
    for who in everybody:
        order(who, NOON)

    move(NOON)
    assert sent_messages() == [(who, "buyers 1") for who in ("anna", "dora", "emil")]
    move(NOON + HOUR / 2)
    assert sent_messages() == [("cleo", "buyers 1")]
    move(NOON + 11 * HOUR)
    assert sent_messages() == []
    move(NOON + 11.5 * HOUR)
    assert sent_messages() == [("ben", "buyers 1")]
    assert held_back_messages() == []


def test_a_delayed_message_is_checked_again(move: Move) -> None:
    subscribers("anna", "ben", "cleo")
    to_buyers(move, timedelta(), quiet_from=time(12), quiet_until=time(20), ends_with_order=True)
    for who in ("anna", "ben", "cleo"):
        order(who, NOON)
    move(NOON)
    order("ben", NOON + HOUR)
    shop.customers("cleo,unsubscribed", header="customer_id,newsletter")

    move(NOON + 8 * HOUR)

    assert sent_messages() == [("anna", "buyers 1")]
    assert held_back_messages() == [("ben", sending_policy.ORDERED), ("cleo", sending_policy.NO_CONSENT)]
    assert not Delivery.objects.filter(state="planned").exists()


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "UTC")
quarters = st.integers(0, 95).map(lambda n: time(n // 4, n % 4 * 15))


@given(
    st.sampled_from(ZONES).map(ZoneInfo),
    quarters,
    quarters,
    st.integers(0, 366 * 24 * 60).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + minutes * MINUTE),
)
def test_when_it_is_quiet_and_until_when(zone: ZoneInfo, begin: time, end: time, at: datetime) -> None:
    def is_quiet(instant: datetime) -> bool:
        now = instant.astimezone(zone).time()
        return begin <= now < end if begin <= end else not end <= now < begin

    until = quiet_hours.quiet_until_utc(begin, end, at, zone)

    assert (until is not None) == is_quiet(at)
    if until:
        assert at < until <= at + timedelta(hours=25)
        clocks_change = until.astimezone(zone).utcoffset() != at.astimezone(zone).utcoffset()
        minutes = (at + number * MINUTE for number in range(int((until - at) / MINUTE)))
        assert clocks_change or (not is_quiet(until) and all(map(is_quiet, minutes)))


@pytest.mark.parametrize(
    ("name", "country", "zone"),
    [
        ("", "DE", "Europe/Berlin"),
        ("", "germany", "Europe/Berlin"),
        ("", "Japan", "Asia/Tokyo"),
        ("", "US", "UTC"),
        ("", "", "UTC"),
        ("America/Denver", "US", "America/Denver"),
        ("../../etc/passwd", "JP", "Asia/Tokyo"),
        ("Europe", "", "UTC"),
    ],
)
def test_the_time_zone_is_the_customers_or_the_only_one_of_their_country(
    name: str, country: str, zone: str
) -> None:
    assert quiet_hours.customer_time_zone([None, name], country, NOON, ZoneInfo("UTC")).key == zone


# -- Counted by address

TWINS = "customer_id,email,newsletter"


def test_a_campaign_sends_one_message_to_an_address_in_any_spelling(move: Move) -> None:
    shop.customers(
        "dup-1,twice@example.com,subscribed", "dup-2,Twice@Example.com,subscribed", "solo,solo@example.com,subscribed",
        header=TWINS,
    )  # fmt: skip
    for who in ("dup-2", "dup-1", "solo"):
        order(who, NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON - HOUR)
    dated = campaign(segment, trigger="at", starts_at=NOON)
    forecast = forecasts.dry_run(dated, NOON)

    move(NOON)

    assert sorted(one.to for one in mail.outbox) == [["solo@example.com"], ["twice@example.com"]]
    assert held_back_messages() == [("dup-2", sending_policy.DUPLICATE_ADDRESS)]
    assert (forecast.would_get, forecast.held_back) == (2, {sending_policy.DUPLICATE_ADDRESS: 1})


def test_an_address_gets_a_message_once_if_its_customers_enter_at_different_times(move: Move) -> None:
    shop.customers("dup-1,twice@example.com,subscribed", "dup-2,twice@example.com,subscribed", header=TWINS)
    to_buyers(move)
    order("dup-2", NOON)
    move(NOON)
    order("dup-1", NOON + days(2))
    move(NOON + days(2))

    assert len(mail.outbox) == 1
    assert held_back_messages() == [("dup-1", sending_policy.DUPLICATE_ADDRESS)]


def test_a_shared_address_belongs_to_the_customer_with_a_trusted_source(move: Move) -> None:
    _, browser = source("browser")
    _, server = source()
    now = NOON - days(2)
    send(browser, identify("", "a1", at=now.isoformat(), email="twice@example.com"))
    send(server, identify("", "a1", at=now.isoformat(), newsletter=True))
    shop.customers("late,twice@example.com,subscribed,2026-01-01", header=f"{TWINS},first_seen")
    segment = shop.segment("readers", {"newsletter": {"is": "subscribed"}})
    move(NOON - HOUR)
    assert shop.members("readers") == ["anonymous:a1", "late"]
    campaign(segment, trigger="at", starts_at=NOON)

    move(NOON)

    assert held_back_messages() == [("anonymous:a1", sending_policy.DUPLICATE_ADDRESS)]


def test_the_frequency_cap_is_counted_by_address(move: Move, settings) -> None:
    settings.CAMPAIGN_MESSAGES_A_WEEK = 1
    shop.customers("dup-1,twice@example.com,subscribed", "dup-2,Twice@example.com,subscribed", header=TWINS)
    to_buyers(move)
    viewers = shop.segment("viewers", {"event_count": {"event": "Product Viewed", "at_least": 1}})
    campaign(viewers)
    order("dup-1", NOON)
    move(NOON)
    shop.events(f"m1,dup-2,,Product Viewed,{(NOON + days(1)).isoformat()}")
    move(NOON + days(1))

    assert ("dup-2", sending_policy.CAP_REACHED) in held_back_messages()


def test_concurrent_campaigns_keep_the_cap_of_an_address(move: Move, settings) -> None:
    settings.CAMPAIGN_MESSAGES_A_WEEK = 1
    shop.customers("dup-1,twice@example.com,subscribed", "dup-2,Twice@example.com,subscribed", header=TWINS)
    order("dup-1", NOON - days(1))
    shop.events(f"m1,dup-2,,Product Viewed,{(NOON - days(1)).isoformat()}")
    buyers = shop.segment("buyers", BUYERS)
    viewers = shop.segment("viewers", {"event_count": {"event": "Product Viewed", "at_least": 1}})
    move(NOON - HOUR)
    for segment in (buyers, viewers):
        campaign(segment, trigger="at", starts_at=NOON)

    move(NOON)

    assert [one.to for one in mail.outbox] == [["twice@example.com"]]
    assert held_back_messages() == [("dup-2", sending_policy.CAP_REACHED)]


def test_a_suppressed_address_gets_nothing_until_staff_lift_it(move: Move) -> None:
    subscribers("anna")
    suppression.suppress("Anna@example.org", NOON, reason=suppression.Reason.BOUNCED, source="mail server")
    to_buyers(move)
    order("anna", NOON)
    move(NOON)

    assert held_back_messages() == [("anna", sending_policy.SUPPRESSED)]
