"""The playbook states only what the system knows: new products, last days of codes, and answers of staff."""

import re
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from campaigns import lifecycle
from campaigns.coupons import coupon_pool, pool_codes, redemption
from campaigns.lifecycle import CampaignError
from campaigns.messages import rendering
from campaigns.models import Campaign, Coupon, CouponPool, Delivery, SoldProduct, Step
from campaigns.playbook import catalogue
from campaigns.playbook.catalogue import TACTICS
from campaigns.recommendations import products, recommender
from core.api import keys
from customers.identity import lookup
from segments.models import Segment
from tests.support import shop, tracking_messages
from tests.support.campaign_runs import BUYERS, Move, order, subscribers
from tests.support.shop import NOON, days

UNKNOWN = re.compile(
    r"\b(new|newest|reduced|lower prices|exclusive|exclusively|run out|club|members?|last pieces|gone soon|works once"
    r"|will not come again|not often|spare part|never|only you|nobody else sees|returns|free of charge|in stock)\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "tactic", [tactic for tactic in TACTICS.values() if tactic.steps], ids=lambda one: one.slug
)
def test_texts_claim_only_what_the_system_knows(tactic: Any) -> None:
    for step in tactic.steps:
        about_all = [block for block in step.blocks if block.get("source") != "new"]
        for said in (step.subject, *(text for block in about_all for text in block.values())):
            shown = re.sub(r"\{[{%].*?[}%]\}", "", str(said))
            assert UNKNOWN.findall(shown) == [], shown


# -- What a product's first day is


def at(day: date | datetime, hour: int = 10) -> str:
    return f"{day:%Y-%m-%d}T{hour}:00:00Z"


def sell(sku: str, when: datetime, who: str = "c1") -> None:
    number = f"{sku}-{when:%y%m%d}"
    shop.orders(f"{number},{who},{at(when)},10")
    shop.lines(
        f"{number},{sku},The {sku},lamps,1,10", header="order_id,sku,name,category,quantity,unit_price"
    )


def new_for(who: str) -> list[str]:
    customer = lookup.find_customer(who)
    assert customer
    return [one.sku for one in recommender.CustomerProducts(customer, NOON).new(6)]


@pytest.mark.django_db
def test_new_products_were_first_sold_or_named_by_the_shop_within_30_days() -> None:
    shop.customers("c1,c1@example.org", "c2,c2@example.org")
    sell("old", NOON - days(200))
    sell("old", NOON - days(5))
    sell("fresh", NOON - days(5))
    sell("back", NOON - days(5))
    sell("planted", NOON - days(5))
    sell("late", NOON - days(31))
    _, trusted = tracking_messages.source("server")
    _, browser = tracking_messages.source("browser")
    long_ago = at(NOON - days(300))
    tracking_messages.send(
        trusted, tracking_messages.track("Product Viewed", user="c2", at=long_ago, sku="BACK")
    )
    tracking_messages.send(
        browser, tracking_messages.track("Product Viewed", anonymous="a1", at=long_ago, sku="planted")
    )

    products.learn_products(NOON)
    assert new_for("c2") == ["fresh", "planted"]
    products.learn_products(NOON)
    assert new_for("c2") == ["fresh", "planted"]
    assert new_for("c1") == []  # they have all of it
    sell("fresh", NOON - days(100))  # recorded late
    products.learn_products(NOON)
    assert new_for("c2") == ["planted"]


@pytest.mark.django_db
def test_in_a_shop_without_a_past_nothing_is_called_new() -> None:
    shop.customers("c1,c1@example.org", "c2,c2@example.org")
    sell("lamp", NOON - days(20))
    products.learn_products(NOON)

    assert SoldProduct.objects.get().first_at == NOON - days(20) - timedelta(hours=2)
    assert new_for("c2") == []
    draft = lifecycle.create_from_tactic(shop.segment("buyers", BUYERS), TACTICS["viewed-and-new"])
    customer = lookup.find_customer("c2")
    assert customer
    message = rendering.preview(draft.steps.get(), customer, NOON).message
    assert message
    assert "New in the shop" not in message.text
    sell("desk", NOON - days(90))
    products.learn_products(NOON)
    message = rendering.preview(draft.steps.get(), customer, NOON).message
    assert message
    assert "New in the shop\n\n- The lamp" in message.text


# -- What staff decide


@pytest.mark.django_db
def test_a_tactic_starts_once_staff_answer_its_questions(move: Move) -> None:
    subscribers("anna")
    order("anna", NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    draft = lifecycle.create_from_tactic(segment, TACTICS["announcement"])
    with pytest.raises(CampaignError, match="Fill in: Your news"):
        lifecycle.start(draft, NOON)
    lifecycle.save_answers(draft, {"news": "We have moved: https://map.example/us\nCome & see."})
    lifecycle.start(draft, NOON)
    move(NOON)

    [message] = mail.outbox
    assert "We have moved: http://127.0.0.1:8000/go/" in message.body
    html = str(message.alternatives[0][0])  # type: ignore[attr-defined]
    assert "<br>Come &amp; see.</p>" in html


# -- Codes that end


@pytest.fixture
def pool(db: None, settings: Any) -> CouponPool:
    """A pool whose codes are valid until the 20th, in Berlin."""
    settings.TIME_ZONE = "Europe/Berlin"
    pool = coupon_pool.save_pool(CouponPool(name="ten", description="10 % off", last_day=date(2026, 3, 20)))
    pool_codes.add_codes(pool, [f"TEN-{number}" for number in range(9)])
    return pool


BEFORE, AFTER = datetime(2026, 3, 20, 22, 59, tzinfo=UTC), datetime(2026, 3, 20, 23, 0, tzinfo=UTC)


def mail_codes(pool: CouponPool, segment: Segment) -> None:
    text = "{{ coupon }}{% if coupon_last_day %} until {{ coupon_last_day | date }}{% endif %}"
    made = lifecycle.save_campaign(
        Campaign(segment=segment, name="x", pool=pool), [Step(subject="x", text=text)]
    )
    lifecycle.start(made, NOON)


def test_a_code_is_given_until_its_last_day_which_the_message_names(pool: CouponPool, move: Move) -> None:
    subscribers("anna", "ben")
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    mail_codes(pool, segment)
    order("anna", BEFORE)
    move(BEFORE)
    assert [message.body.partition("\n")[0] for message in mail.outbox] == ["TEN-0 until 20 March 2026"]
    order("ben", AFTER)
    move(AFTER)

    assert len(mail.outbox) == 1
    ben = Delivery.objects.get(customer__customer_id="ben")
    assert (ben.state, ben.sent_at) == ("planned", None)
    assert "last day" in ben.reason
    assert Coupon.objects.exclude(given_at=None).count() == 1
    draft = lifecycle.save_campaign(
        Campaign(segment=Segment.objects.get(), name="y", pool=pool), [Step(subject="x", text="{{ coupon }}")]
    )
    with pytest.raises(CampaignError, match="codes of ten have expired"):
        lifecycle.start(draft, AFTER)


def test_a_code_is_redeemed_until_its_last_day(pool: CouponPool, client: Client) -> None:
    header = "order_id,customer_id,placed_at,total,coupon_code"
    shop.customers("c1,c1@example.org")
    shop.orders(f"o1,c1,{BEFORE.isoformat()},10,ten-1", f"o2,c1,{AFTER.isoformat()},10,ten-2", header=header)

    for since in (NOON, None):
        redemption.mark_redeemed(since, NOON + days(30))
        found = Coupon.objects.exclude(redeemed_at=None)
        assert list(found.values_list("code", "redeemed_at")) == [("TEN-1", BEFORE)]
    _, key = keys.create_key("shop", ["members:read"])
    answer = client.get("/api/v1/coupons/TEN-2/", headers={"Authorization": f"Bearer {key}"}).json()
    assert (answer["last_day"], answer["redeemed_at"]) == ("2026-03-20", None)


@pytest.mark.django_db
def test_a_limited_promotion_needs_codes_with_a_last_day(move: Move) -> None:
    segment = shop.segment("buyers", BUYERS)
    pool = coupon_pool.save_pool(CouponPool(name="for ever"))
    pool_codes.generate_codes(pool, 3, 8, Random(1))
    draft = lifecycle.create_from_tactic(segment, TACTICS["one-time-promotion"])
    lifecycle.save_answers(draft, {}, pool)
    with pytest.raises(CampaignError, match="Set a last day for for ever"):
        lifecycle.start(draft, NOON)
    pool.last_day = date(2026, 4, 1)
    coupon_pool.save_pool(pool)
    lifecycle.start(draft, NOON)


# -- Birthdays


@pytest.mark.django_db
def test_the_birthday_gift_comes_each_year_with_another_code(move: Move) -> None:
    subscribers("anna", birth_date="1990-05-01")
    order("anna", NOON - days(1))
    buyers = shop.segment("buyers", BUYERS)
    gift = TACTICS["birthday-gift"]
    assert set(gift.segments) == {"hero", "brand-lovers"}
    pool = coupon_pool.save_pool(CouponPool(name="gifts"))
    pool_codes.add_codes(pool, ["GIFT-1", "GIFT-2", "GIFT-3"])
    campaign = lifecycle.create_from_tactic(catalogue.segment_for_tactic(gift, buyers), gift)
    lifecycle.save_answers(campaign, {}, pool)
    move(NOON)
    lifecycle.start(campaign, NOON)

    codes = []
    for year in (2026, 2027):
        for day in (datetime(year, 4, 29, 12, tzinfo=UTC), datetime(year, 4, 30, 1, tzinfo=UTC)):
            move(day)
        assert mail.outbox == []
        for hour in (10, 12):
            move(datetime(year, 5, 1, hour, tzinfo=UTC))
        [message] = mail.outbox
        assert message.subject == "Happy birthday, friend!"
        codes += re.findall(r"GIFT-\d", str(message.body))
        mail.outbox.clear()
        move(datetime(year, 5, 3, 12, tzinfo=UTC))
    assert codes == ["GIFT-1", "GIFT-2"]


@pytest.mark.django_db
def test_all_messages_of_a_journey_have_the_same_code_and_a_merged_visitor_keeps_it(move: Move) -> None:
    shop.events("m1,,a1,Seen,2026-03-15T11:00:00Z")
    everybody = shop.segment("everybody", {"first_seen": {"ever": True}})
    move(NOON)
    pool = coupon_pool.save_pool(CouponPool(name="gifts"))
    pool_codes.add_codes(pool, ["GIFT-1", "GIFT-2", "GIFT-3"])
    steps = [
        Step(channel="on_site", subject="{{ coupon }}", text="x", wait=wait)
        for wait in (timedelta(), days(1))
    ]
    campaign = lifecycle.save_campaign(
        Campaign(segment=everybody, name="x", trigger="every", repeats_every=days(7), pool=pool), steps
    )
    lifecycle.start(campaign, NOON)
    move(NOON)
    shop.events("m2,c1,a1,Seen,2026-03-15T13:00:00Z")
    move(NOON + days(1))
    move(NOON + days(7))

    said = (
        Delivery.objects.filter(campaign=campaign)
        .order_by("sent_at")
        .values_list("content__title", flat=True)
    )
    assert list(said) == ["GIFT-1", "GIFT-1", "GIFT-2"]
