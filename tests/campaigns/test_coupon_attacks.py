"""Attacks on coupons with only a browser key: redeeming codes of others, and emptying a pool."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from campaigns import tasks
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.models import Campaign, Coupon, CouponPool, Delivery, Step
from customers.identity import lookup
from customers.models import ConfirmationRequest
from customers.tracking import double_opt_in
from tests.support import campaign_runs, shop
from tests.support.shop import NOON
from tests.support.tracking_messages import identify, send, source, track

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)


@pytest.fixture
def server() -> str:
    return source("server")[1]


@pytest.fixture
def key() -> str:
    return source("browser")[1]


@pytest.fixture
def pool() -> CouponPool:
    return coupon_pool.save_pool(CouponPool(name="Carts", description="10 % off"))


def campaign(pool: CouponPool) -> Campaign:
    """A running campaign that shows a code to visitors with an open cart."""
    made = campaign_runs.campaign(
        shop.segment("waiting", campaign_runs.WAITING), channel="on_site", pool=pool
    )
    Step.objects.filter(campaign=made).update(text="Your code: {{ coupon }}", html="", subject="A code")
    return made


def codes() -> dict[str, str | None]:
    """Return the codes by customer."""
    return dict(Coupon.objects.order_by("pk").values_list("code", "customer__customer_id"))


# -- Redeeming


def redeemed() -> list[str]:
    tasks.mark_redeemed_coupons()
    tasks.mark_all_redeemed_coupons()
    return [*Coupon.objects.exclude(redeemed_at=None).order_by("code").values_list("code", flat=True)]


def test_a_draft_redeems_no_code(key: str, server: str, pool: CouponPool) -> None:
    send(server, identify("victim", email="victim@example.org"))
    pool_codes.add_codes(pool, ["MINE", "FREE", "THEIRS"])
    victim = lookup.find_customer("victim")
    assert victim
    at = datetime.now(NOON.tzinfo)
    assert coupon_pool.assign_code(campaign(pool), victim, at) == "MINE"

    def order(order_id: str, code: str, **whose: str) -> dict[str, Any]:
        return track("Order Completed", at=at.isoformat(), order_id=order_id, total=9, coupon=code, **whose)

    send(key, *(order(f"o-{code}", code, anonymous="evil") for code in ("mine", "FREE")))
    send(key, order("o1", "THEIRS", user="unheard-of", anonymous="evil-2"))
    assert redeemed() == []

    send(server, order("o-mine", "MINE", user="victim"), order("o1", "", user="victim"))
    assert redeemed() == ["MINE"]
    assert shop.orders(
        f"o-FREE,victim,{at.isoformat()},5,FREE,pending",
        header="order_id,customer_id,placed_at,total,coupon_code,status",
    ).counts == (1, 1, 0, 0)
    assert redeemed() == ["MINE"]


def test_a_code_redeemed_only_by_a_draft_is_reopened(key: str, pool: CouponPool) -> None:
    """Record the redemption as the earlier version did."""
    pool_codes.add_codes(pool, ["FREE"])
    at = datetime.now(NOON.tzinfo)
    send(key, track("Order Completed", at=at.isoformat(), anonymous="evil", order_id="o1", coupon="FREE"))
    Coupon.objects.update(redeemed_at=at)

    assert redeemed() == []


# -- Emptying a pool


def visitors(key: str, at: datetime, *names: str) -> None:
    """Browsers that fill a cart and send their own address and id."""
    for name in names:
        send(key, track("Product Added", anonymous=name, at=at.isoformat(), price=1), drain=False)
        send(key, identify(anonymous=name, at=at.isoformat(), email=f"{name}@example.org"))


def test_unconfirmed_visitors_get_a_few_codes_an_hour_and_others_are_not_held_back(
    key: str, server: str, pool: CouponPool, settings: Any
) -> None:
    settings.COUPONS_UNCONFIRMED_AN_HOUR = 2
    pool_codes.add_codes(pool, [f"C{n}" for n in range(9)])
    with campaign_runs.clock() as move:
        campaign(pool)
        move(NOON)
        visitors(key, NOON + MINUTE / 2, *(f"evil-{n}" for n in range(5)))
        move(NOON + MINUTE)

        given = codes()
        assert sorted(given.values(), key=str) == [*[None] * 7, "anonymous:evil-0", "anonymous:evil-1"]
        waiting = Delivery.objects.filter(state="planned")
        assert {*waiting.values_list("reason", flat=True)} == {
            "Unconfirmed visitors get at most 2 codes of a pool in an hour. This message waits."
        }
        shown = page(pool)
        assert "To unconfirmed visitors in the last hour, at most 2 2 " in shown
        assert (
            "3 messages to unconfirmed visitors wait because such visitors got 2 codes within an hour"
            in shown
        )

        confirmed_shop(server, NOON + MINUTE)
        move(NOON + 2 * MINUTE)
        assert {"customer", "buyer"} <= {*codes().values()}

        move(NOON + 63 * MINUTE)  # the next hour
        assert sum(1 for one in codes().values() if one and "evil" in one) == 4


def confirmed_shop(server: str, at: datetime) -> None:
    """A customer from the shop, and a visitor whom an order of the shop confirms."""
    send(server, track("Product Added", user="customer", at=at.isoformat()))
    shop.orders(f"o1,buyer,{(at - MINUTE).isoformat()},5")
    shop.events(f"e1,buyer,,Product Added,{at.isoformat()}")


def page(pool: CouponPool) -> str:
    """Return the text of a pool's page."""
    client = Client()
    client.force_login(User.objects.create_superuser("staff"))
    answer = client.get(reverse("admin:campaigns_couponpool_change", args=[pool.pk]))
    return " ".join(strip_tags(answer.content.decode().replace("<", " <")).split())


@pytest.mark.django_db(transaction=True)
def test_concurrent_workers_keep_the_limit_for_unconfirmed_visitors(
    key: str, pool: CouponPool, settings: Any
) -> None:
    settings.COUPONS_UNCONFIRMED_AN_HOUR = 3
    pool_codes.add_codes(pool, [f"C{n}" for n in range(12)])
    made = campaign(pool)
    visitors(key, NOON, *(f"evil-{n}" for n in range(8)))

    def give(name: str) -> bool:
        visitor = lookup.find_customer(name)
        assert visitor
        try:
            return bool(coupon_pool.assign_code(made, visitor, NOON))
        except coupon_pool.UnconfirmedLimitReached:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        given = list(threads.map(give, [f"evil-{n}" for n in range(8)]))

    assert (sum(given), coupon_pool.unconfirmed_count(pool.pk, NOON)) == (3, 3)


def test_a_visitor_who_confirmed_their_address_is_not_limited(
    key: str, pool: CouponPool, settings: Any
) -> None:
    settings.COUPONS_UNCONFIRMED_AN_HOUR = 0
    pool_codes.add_codes(pool, ["C1"])
    made = campaign(pool)
    now = datetime.now(NOON.tzinfo)
    send(key, identify(anonymous="a1", at=now.isoformat(), email="a1@example.org", newsletter=True))
    visitor = lookup.find_customer("a1")
    assert visitor
    with pytest.raises(coupon_pool.UnconfirmedLimitReached):
        coupon_pool.assign_code(made, visitor, NOON)

    double_opt_in.confirm_subscription(ConfirmationRequest.objects.get().token, datetime.now(NOON.tzinfo))
    assert coupon_pool.assign_code(made, visitor, NOON) == "C1"


def test_a_visitor_who_is_confirmed_while_waiting_gets_a_code(
    key: str, server: str, pool: CouponPool, settings: Any
) -> None:
    settings.COUPONS_UNCONFIRMED_AN_HOUR = 0
    pool_codes.add_codes(pool, ["C1"])
    with campaign_runs.clock() as move:
        campaign(pool)
        move(NOON)
        visitors(key, NOON + MINUTE / 2, "a1")
        move(NOON + MINUTE)
        assert codes() == {"C1": None}

        send(server, identify("c1", "a1", at=NOON.isoformat()))
        move(NOON + 3 * MINUTE)
        assert codes() == {"C1": "c1"}


def test_an_id_named_only_by_a_browser_confirms_nobody(key: str, pool: CouponPool, settings: Any) -> None:
    settings.COUPONS_UNCONFIRMED_AN_HOUR = 0
    pool_codes.add_codes(pool, ["C1"])
    made = campaign(pool)
    send(key, identify("made-up", "a1", email="a1@example.org", phone="+49301234567"))
    stranger = lookup.find_customer("made-up")
    assert stranger
    with pytest.raises(coupon_pool.UnconfirmedLimitReached):
        coupon_pool.assign_code(made, stranger, NOON)

    shop.customers("made-up,")
    named = lookup.find_customer("made-up")
    assert named
    assert coupon_pool.assign_code(made, named, NOON) == "C1"
