"""What the product does keeps the rules for statements (``tests.support.statement_rules``), on PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse

from campaigns import tasks as campaign_tasks
from campaigns.channels.on_site import OnSite
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.delivery import confirmation_emails
from campaigns.links import signed_links
from campaigns.models import CouponPool
from customers.facts import update
from customers.identity import lookup
from customers.imports import csv_files, uploads
from customers.models import Customer, Import
from customers.privacy import personal_data
from customers.tracking import inbox
from segments import fixed_lists, segment_store
from segments import tasks as segment_tasks
from segments.evaluation import live
from segments.evaluation.context import context_at
from segments.evaluation.explanation import explain_each
from segments.lifecycle import editing
from segments.models import Endpoint, Segment
from segments.refresh import verification
from segments.refresh.engine import refresh_all
from segments.rules import parse
from segments.webhooks import endpoints
from tests.support import sent_messages, shop
from tests.support.api_client import ApiClient
from tests.support.campaign_runs import WAITING, campaign, fill_cart, order, subscribers
from tests.support.shop import NOON, days
from tests.support.statement_recorder import StatementRecorder, record_statements
from tests.support.tracking_messages import identify, message, send, source, track

pytestmark = pytest.mark.django_db

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AHEAD = {"ahead": {"in": "30d", "rule": {"none": [{"last_order": {"within_last": "60d"}}]}}}
SPENDERS = {"total_spent": {"above": "average"}}


@pytest.fixture(autouse=True)
def at_noon(db: None) -> Iterator[time_machine.Traveller]:
    if connection.vendor != "postgresql":
        pytest.skip("statements are recorded on PostgreSQL")
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def recorder() -> Iterator[StatementRecorder]:
    with record_statements() as recorder:
        yield recorder


@pytest.fixture
def refreshed() -> None:
    """Customers, a visitor, their records, and the members of all templates."""
    shop.customers(
        "c1,c1@example.org,Rome,subscribed,gold,2025-05-05",
        "c2,,,,,",
        "c3,c3@example.org,,unsubscribed,,",
        header="customer_id,email,city,newsletter,tier,first_seen",
    )
    shop.orders(
        "o1,c1,2026-03-01,10", "o2,c1,2026-03-10,40", "o3,c2,2026-03-01,10", "o4,c3,2025-10-01,5"
    )  # fmt: skip
    shop.lines("o1,s1,2", "o1,s2,1", "o3,s1,1")
    shop.events("m1,,a1,Product Added,2026-03-14", "m2,c2,,View,2026-03-14")
    segment_store.install_templates()
    shop.segment("spenders", SPENDERS)
    shop.segment("known-spenders", {"in_segment": {"is": "spenders"}})
    shop.segment("soon-lost", {"all": [{"in_segment": {"is": "lost", "in": "7d"}}, AHEAD]})
    refresh_all(NOON)


def customer(public_id: str) -> Customer:
    found = lookup.find_customer(public_id)
    assert found
    return found


# -- Ingestion and merges


def test_files_of_customers(recorder) -> None:
    header = "customer_id,email,phone,newsletter,subscribed_at,first_seen,tier,born"
    row = "c1,c1@example.org,+4930901820,subscribed,2026-01-02,2025-05-05,gold,2000-01-01"
    shop.customers(row, "c2,,,,,,,", header=header)
    shop.customers(row, "c1,other@example.org,,unsubscribed,,,silver,", header=header)


def test_files_of_orders_and_lines(recorder) -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-02,20")
    shop.orders("o1,c2,2026-03-01,15", "o3,c1,2026-04-01,20")  # reassigned; dated ahead
    shop.lines("o1,s1,2", "o1,s2,1", "o2,s1,1")
    shop.lines("o1,s1,3")


def test_files_of_events(recorder) -> None:
    cart = '{"products": [{"product_id": "p1", "price": 5}, {"product_id": "p2"}]}'
    for who in ("c1", "c2"):  # the second is reassigned
        shop.import_rows("events", ["m1", who, "", "Product Added", "2026-03-01T10:00:00Z", cart])
    shop.events("m2,,a1,Product Added,2026-03-01", "m3,c3,a1,View,2026-03-02", "m4,c3,,View,2026-04-02")


def test_records_of_the_api(recorder) -> None:
    caller = ApiClient("ingest")
    order = {"order_id": "o1", "customer_id": "c1", "placed_at": "2026-03-01T10:00:00Z", "total": 10}
    order |= {"lines": [{"sku": "s1", "quantity": 1}]}
    event = {"message_id": "m1", "customer_id": "c1", "event": "View", "occurred_at": "2026-03-01T10:00:00Z"}
    caller.post("customers/", {"customer_id": "c1", "email": "c1@example.org"}, 201)
    caller.post("orders/", order, 201)
    caller.post("events/", event, 201)


def test_messages_and_merges(recorder) -> None:
    _, key = source()
    send(
        key,
        track("Product Added", anonymous="a1", price=10),
        track("Order Completed", anonymous="a1", order_id="o1", total=30, products=[{"sku": "s"}]),
        identify(anonymous="a1", email="guest@b.org", city="Rome"),
        track("View", anonymous="a2"),
    )
    send(key, identify("c1", "a1", email="c1@b.org", newsletter=True, at="2026-02-01T10:00:00Z"))
    send(key, message("alias", user="c1", previousId="a2"))
    send(key, identify("c2", "a2", at="2026-01-01T10:00:00Z"), track("View", user="c2", anonymous="a1"))


def test_messages_of_browsers(recorder) -> None:
    _, key = source()
    _, public = source("browser")
    send(public, track("Order Completed", anonymous="a1", order_id="o1", total=30, products=[{"sku": "s"}]))
    send(public, identify("c1", "a1", email="c1@b.org", newsletter=True))
    send(key, track("Order Completed", user="c1", order_id="o1", total=31))
    send(key, identify("c1", "a1"))
    shop.orders("o1,c1,2026-03-01,32")


def test_an_import_of_staff(recorder, settings, tmp_path) -> None:
    settings.IMPORTS_DIR = tmp_path
    admin = Client()
    admin.force_login(User.objects.create_superuser("admin"))
    rows = SimpleUploadedFile("vips.csv", b"customer_id,email\nc-1,one@example.org\nc-2,nobody\n")
    admin.post(reverse("admin:customers_import_add"), {"file": rows})
    uploads.start_import(Import.objects.get(), csv_files.FORMATS["customers"], NOON)
    uploads.run_next_import()


# -- Facts, segments


def test_facts_recomputed_for_everybody(refreshed, recorder) -> None:
    update.recompute_all(NOON)


def test_passes(refreshed, recorder, at_noon) -> None:
    refresh_all(NOON + MINUTE)  # nothing new
    at_noon.move_to(NOON + days(1))
    shop.orders("o5,c3,2026-03-16T10:00Z,500")
    shop.events("m3,,a2,Product Added,2026-03-16T10:00Z", "m4,c2,a1,View,2026-03-16T11:00Z")
    refresh_all(NOON + days(1))
    refresh_all(NOON + days(40))  # time alone
    refresh_all(NOON + days(40), full=True)
    segment_store.install_templates()
    shop.segment("in-the-past", {"order_count": {"at_least": 1}})
    refresh_all(NOON + days(41))


def test_verification(refreshed, recorder) -> None:
    shop.orders("o5,c3,2026-03-14T10:00Z,500")
    verification.verify_all(NOON)


def test_fixed_lists(refreshed, recorder) -> None:
    listed = segment_store.create_fixed_list(
        "guests", "Guests", [customer("c1").pk, customer("c2").pk], NOON
    )  # fmt: skip
    fixed_lists.remove_customers(listed, [customer("c1").pk], NOON + MINUTE)
    segment_store.create_fixed_list_of_members(Segment.objects.get(slug="spenders"), "copy", "Copy", NOON)


def test_lists_of_members(refreshed, recorder) -> None:
    shop.command("members", "spenders")
    shop.command("evaluate", "--segment", "spenders", "--at", "2026-02-01T00:00:00Z", "--ids")
    for slug in Segment.objects.values_list("slug", flat=True):
        shop.command("upcoming", slug, "--within", "30d")
    caller = ApiClient("members:read", "segments:read")
    for address in ("members/", "changes/", "history/", "members/?expand=customer"):
        caller.call("get", f"segments/spenders/{address}")
    caller.call("post", "segments/preview/", {"rule": SPENDERS})
    slugs = [segment.slug for segment in Segment.objects.all()]
    caller.post("segments/membership/", {"customers": ["c1", "c2"], "segments": slugs})
    segment_tasks.delete_old_changes()
    segment_tasks.delete_erased_ids()


# -- Questions about one customer


@pytest.mark.parametrize("later", [timedelta(), days(40)])
@pytest.mark.parametrize("who", ["c1", "anonymous:a1"])
def test_live_segments_of_one_customer(refreshed, recorder, who, later) -> None:
    key = customer(who).pk

    with recorder.one_customer():
        live.matching_segments(key, NOON + later)


@pytest.mark.parametrize("who", ["c2", "c3"])
def test_live_segments_of_one_customer_who_waits(refreshed, recorder, at_noon, who) -> None:
    key = customer(who).pk
    at_noon.move_to(NOON + MINUTE)
    shop.events("m3,c2,,Product Added,2026-03-15T12:00:30Z", update_facts=False)  # merged into the facts
    shop.orders("o4,c3,2026-03-15T12:00:30Z,10", update_facts=False)  # recomputed

    with recorder.one_customer():
        live.matching_segments(key, NOON + MINUTE)


def test_an_explanation_for_one_customer(refreshed, recorder) -> None:
    one, rules = customer("c1"), [parse(segment.rule) for segment in Segment.objects.all() if segment.rule]
    context = context_at(NOON)

    with recorder.one_customer():
        explain_each(rules, one, context)


def test_what_the_api_says_of_one_customer(refreshed, recorder) -> None:
    caller = ApiClient("members:read", "segments:read", "privacy")
    for address in ("", "segments/", "segments/?live=true", "export/"):
        caller.get(f"customers/c1/{address}")
    caller.get("segments/spenders/members/c1/")


# -- Campaigns, exports, erasure


def test_a_campaign(recorder, at_noon) -> None:
    subscribers("anna", "ben", "cleo")
    pool = coupon_pool.save_pool(CouponPool(name="First order"))
    pool_codes.generate_codes(pool, 10, 10, Random(1), prefix="HELLO-")
    segment = shop.segment("waiting", WAITING)
    refresh_all(NOON)
    campaign(segment, HOUR, HOUR * 23, ends_with_order=True, pool=pool)
    for who in ("anna", "ben", "cleo"):
        fill_cart(who, NOON)
    for later in (MINUTE, HOUR + MINUTE, 2 * HOUR, days(1) + MINUTE, days(3)):
        at_noon.move_to(NOON + later)
        refresh_all(NOON + later)
        campaign_tasks.run_campaigns()
        if later == 2 * HOUR:
            order("ben", NOON + later)
    campaign_tasks.learn_products()
    campaign_tasks.mark_all_redeemed_coupons()


def test_merges_on_a_journey(recorder, at_noon) -> None:
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


def test_what_pages_ask_about_a_visitor(refreshed, recorder, client) -> None:
    for segment in Segment.objects.all():
        segment.is_public = True
        segment.save(update_fields=["is_public"])
    sent_messages.sent(sent_messages.campaign(channel=OnSite.key), "a1", NOON - HOUR)
    key = shop.command("create_key", "Web shop", "--visitors").split()[-1]

    for what in ("segments", "messages"):
        assert client.get(f"/api/v1/visitors/a1/{what}/", {"key": key}).status_code == 200


def test_confirmations_and_unsubscriptions(recorder, client) -> None:
    _, public = source("browser")
    send(public, identify("", "a1", email="victim@example.com", newsletter=True))
    confirmation_emails.send_confirmation_emails(NOON)
    [confirmation] = mail.outbox
    [path] = re.findall(r"/confirm/\S+", str(confirmation.body))
    client.get(path)
    client.post(path)
    subscribers("anna")
    delivery = sent_messages.sent(sent_messages.campaign(), "anna", NOON - HOUR)
    client.post(urlsplit(signed_links.unsubscribe_url(delivery)).path)


def test_what_a_flow_between_stages_asks(refreshed, recorder) -> None:
    flow = shop.command("flow", "--from", "2026-02-15", "--to", "2026-03-20")
    assert "lost,repeat-buyers,1,50.00" in flow
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))
    for query in ("", "segment=spenders", "segment=spenders&measure=members"):
        cohort = f"{query}&cohort=2026-03-01&later=0"
        for address in (f"retention_panel?{query}", f"retention_people?{cohort}"):
            view, _, asked = address.partition("?")
            response = client.get(f"{reverse(f'admin:segments_segment_{view}')}?{asked}")
            assert response.status_code == 200
    assert client.get(reverse("admin:segments_segment_flow_panel")).status_code == 200


def test_what_the_home_page_asks(refreshed, recorder) -> None:
    editing.set_up_lifecycle()
    client = Client()
    client.force_login(User.objects.create_superuser("anna"))
    for panel in ("sales", "stages", "reach", "suggestions"):
        assert client.get(reverse(f"admin:campaigns_campaign_home_{panel}")).status_code == 200
    for what in ("orders", "new-customers", "reachable", "under-limit"):
        assert client.get(reverse("admin:customers_customer_people", args=[what])).status_code == 200
    for stage in ("lost", "-"):
        address = reverse("admin:customers_customer_people", args=["stage"])
        assert client.get(address, {"stage": stage}).status_code == 200


def test_webhooks(refreshed, recorder, settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.1")]
    endpoint = Endpoint(name="Tool", url="http://127.0.0.1:9/hooks", every_segment=True)
    endpoints.create_endpoint(endpoint, [], NOON)
    shop.orders("o5,c3,2026-03-15T10:00Z,500")
    refresh_all(NOON + MINUTE)
    segment_tasks.deliver_webhooks()


@pytest.mark.parametrize("platform", ["meta", "google"])
def test_an_audience_for_ads(refreshed, recorder, platform) -> None:
    shop.command("export_audience", "spenders", "--for", platform)
    shop.command("export_audience", "spenders", "--for", platform, "--since", "0")


def test_an_export_and_an_erasure(refreshed, recorder) -> None:
    one = customer("c1")
    personal_data.export_customer(one, NOON)
    personal_data.erase_customer(one, datetime.now(UTC), by="a test")
    refresh_all(NOON + MINUTE)


def test_messages_that_wait_are_drained(recorder) -> None:
    _, key = source()
    messages: list[Any] = [track("View", anonymous=f"a{number}") for number in range(20)]
    send(key, *messages, drain=False)
    inbox.drain()
