"""Staff in the API: with a login they see there what they may see in the admin."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from campaigns.channels.base import OutgoingMessage
from campaigns.channels.on_site import OnSite
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.models import CouponPool, Delivery
from customers.models import Customer
from segments.refresh.engine import refresh_all
from tests.support import sent_messages, shop
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db

WITH_CONTACT_DATA = (
    ("get", "customers/"),
    ("get", "customers/c1/"),
    ("get", "customers/c1/export/"),
    ("delete", "customers/c1/"),
    ("get", "customers/c1/segments/"),
    ("get", "customers/nobody@example.org/segments/"),
    ("get", "segments/everybody/members/"),
    ("get", "segments/everybody/members/c1/"),
    ("get", "segments/everybody/members/?format=csv"),
    ("get", "segments/everybody/changes/"),
    ("post", "segments/membership/"),
    ("get", "coupons/HELLO-1/"),
    ("get", "visitors/a1/messages/"),
)


def person(*without: str) -> Client:
    """A member of staff with all permissions but this one."""
    user = User.objects.create(username="-".join(("somebody", *without)), is_staff=True)
    user.user_permissions.set(Permission.objects.exclude(codename__in=without))
    client = Client(enforce_csrf_checks=False)
    client.force_login(user)
    return client


@pytest.fixture
def message() -> Delivery:
    """An on-site message to a visitor, with a coupon code."""
    shop.customers("c1,anna@example.org")
    shop.events("m1,,a1,Seen,2026-03-01")
    campaign = sent_messages.campaign(channel=OnSite.key)
    refresh_all()
    pool_codes.add_codes(coupon_pool.save_pool(CouponPool(name="First order")), ["HELLO-1"])
    delivery = sent_messages.sent(campaign, "a1", NOON)
    delivery.sent_at = datetime.now(UTC)
    OnSite().send(
        delivery, OutgoingMessage("Ten percent", "Anna, take HELLO-1", "", "https://shop.example/join")
    )
    delivery.save()
    return delivery


@pytest.mark.parametrize(("method", "address"), WITH_CONTACT_DATA)
def test_contact_data_needs_the_permission_to_see_it(method, address, message):
    asked = {"content_type": "application/json"} if method == "post" else {}

    refused = getattr(person("view_contact_data"), method)(f"/api/v1/{address}", **asked)

    assert refused.status_code == 403
    assert "anna" not in refused.content.decode().lower()
    assert Customer.objects.filter(customer_id="c1").exists()


def test_staff_with_the_permission_get_contact_data(message):
    client = person()

    for method, address in WITH_CONTACT_DATA:
        if method == "get" and "nobody" not in address:
            assert client.get(f"/api/v1/{address}").status_code == 200, address


def test_staff_see_the_messages_of_a_visitor_without_marking_them_as_seen(message):
    client = person()
    dismissal = reverse("api-visitor-message-dismiss", args=["a1", message.token])

    [shown] = client.get("/api/v1/visitors/a1/messages/").json()["messages"]
    assert client.post(dismissal).status_code in (401, 403)

    assert shown["title"] == "Ten percent"
    message.refresh_from_db()
    assert (message.shown_at, message.dismissed_at) == (None, None)
    key = shop.command("create_key", "Web shop", "--visitors").split()[-1]
    assert Client().post(f"{dismissal}?key={key}").status_code == 204
    message.refresh_from_db()
    assert message.dismissed_at


def test_downloads_of_codes_and_audiences_need_the_permission_for_contact_data(message):
    [pool] = CouponPool.objects.all()
    codes = reverse("admin:campaigns_couponpool_codes", args=[pool.pk])
    download = reverse("admin:campaigns_campaign_audience_download", args=[message.campaign.segment_id])

    assert person("view_coupon").get(codes).status_code == 403
    assert person("add_audienceexport").post(download, {"platform": "meta"}).status_code == 403
    assert person("view_contact_data").post(download, {"platform": "meta"}).status_code == 403
    assert person().get(codes).status_code == 200
