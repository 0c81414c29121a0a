"""What campaigns ask keeps the rules for statements (``tests.support.statement_rules``), on PostgreSQL."""

from collections.abc import Iterator
from datetime import timedelta
from random import Random

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.urls import reverse

from campaigns import on_site_inbox, results, unsubscription
from campaigns import tasks as campaign_tasks
from campaigns.channels.on_site import OnSite
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.journeys import forecasts
from campaigns.models import Campaign, Coupon, CouponPool
from segments import insights
from segments.models import Segment
from segments.refresh.engine import refresh_all
from tests.support import sent_messages, shop
from tests.support.campaign_runs import WAITING, campaign, fill_cart, order, subscribers
from tests.support.shop import NOON, days
from tests.support.statement_recorder import StatementRecorder
from tests.support.tracking_messages import identify, send, source, track

pytestmark = pytest.mark.django_db

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def at_noon(db: None) -> Iterator[time_machine.Traveller]:
    if connection.vendor != "postgresql":
        pytest.skip("statements are recorded on PostgreSQL")
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def recorder(at_noon: time_machine.Traveller) -> Iterator[StatementRecorder]:
    recorder = StatementRecorder()
    with connection.execute_wrapper(recorder):
        yield recorder
    ours = [
        one for one in recorder.findings.values() if one.place.startswith(("campaigns.", "segments.insights"))
    ]
    assert not ours, "\n\n".join(map(str, ours))


def test_a_campaign_from_its_forecast_to_its_results(at_noon: time_machine.Traveller) -> None:
    subscribers("anna", "ben", "cleo")
    shop.customers("double,anna@example.org,subscribed", header="customer_id,email,newsletter")
    pool = coupon_pool.save_pool(CouponPool(name="First order"))
    pool_codes.generate_codes(pool, 10, 10, Random(1), prefix="HELLO-")
    segment = shop.segment("waiting", WAITING)
    refresh_all(NOON)
    sale = campaign(segment, HOUR, HOUR * 23, ends_with_order=True, pool=pool)
    for who in ("anna", "ben", "cleo", "double"):
        fill_cart(who, NOON)
    for later in (MINUTE, HOUR + MINUTE, 2 * HOUR, days(1) + MINUTE, days(3)):
        at_noon.move_to(NOON + later)
        refresh_all(NOON + later)
        forecasts.dry_run(sale, NOON + later)
        forecasts.upcoming_messages(sale, NOON + later, NOON + days(7))
        campaign_tasks.run_campaigns()
        if later == 2 * HOUR:
            order("ben", NOON + later)
    campaign_tasks.learn_products()
    campaign_tasks.mark_all_redeemed_coupons()
    results.campaign_results(sale, NOON + days(3))
    results.revenue_by_campaign([sale.pk], NOON + days(3))


@pytest.mark.parametrize("trigger", ["leaves", "at", "every"])
def test_other_triggers(at_noon: time_machine.Traveller, trigger: str) -> None:
    subscribers("anna", "ben")
    segment = shop.segment("waiting", WAITING)
    fill_cart("anna", NOON)
    refresh_all(NOON)
    sale = campaign(
        segment,
        trigger=trigger,
        starts_at=NOON if trigger != "leaves" else None,
        repeats_every=days(1) if trigger == "every" else None,
        reentry_after=days(1),
    )
    for later in (MINUTE, days(1), days(2)):
        order("anna", NOON + later)
        at_noon.move_to(NOON + later)
        refresh_all(NOON + later)
        forecasts.dry_run(sale, NOON + later)
        forecasts.upcoming_messages(sale, NOON + later, NOON + days(7))
        campaign_tasks.run_campaigns()


def test_merges_on_a_journey(at_noon: time_machine.Traveller) -> None:
    subscribers("anna")
    campaign(shop.segment("waiting", WAITING), HOUR, days(1))
    _, key = source()
    send(key, track("Product Added", anonymous="a1", at="2026-03-15T11:59:00Z"))
    refresh_all(NOON)
    campaign_tasks.run_campaigns()
    send(key, identify("anna", "a1"))
    at_noon.move_to(NOON + 2 * HOUR)
    refresh_all(NOON + 2 * HOUR)
    campaign_tasks.run_campaigns()


def test_on_site_messages_and_unsubscriptions() -> None:
    shop.events("m1,,a1,View,2026-03-15T10:00Z")
    delivery = sent_messages.sent(sent_messages.campaign(channel=OnSite.key), "a1", NOON - HOUR)
    Campaign.objects.update(ends_with_order=True)

    on_site_inbox.messages_for("a1", NOON)
    unsubscription.is_subscribed(delivery.customer_id)


@pytest.mark.parametrize("platform", ["meta", "google"])
def test_an_audience_for_ads(platform: str) -> None:
    subscribers("anna", "ben")
    shop.segment("everybody", {"known": {"is": True}})
    refresh_all(NOON)
    shop.command("export_audience", "everybody", "--for", platform)
    shop.command("export_audience", "everybody", "--for", platform, "--since", "0")


def test_pages_of_staff(admin_client: Client) -> None:
    subscribers("anna", "ben")
    shop.segment("everybody", {"known": {"is": True}})
    refresh_all(NOON)
    insights.find_overlaps(Segment.objects.get(slug="everybody"), 2)
    message = sent_messages.sent(sent_messages.campaign(), "anna", NOON - HOUR)
    coupon_pool.find_coupon("nothing")
    assert not Coupon.objects.exists()

    for name in ("deliveries", "forecast", "preview", "change"):
        address = reverse(f"admin:campaigns_campaign_{name}", args=[message.campaign_id])
        assert admin_client.get(address).status_code == 200
    assert admin_client.get(reverse("admin:campaigns_campaign_changelist")).status_code == 200
