"""The campaign data of a customer is part of their export and erasure."""

import json
from datetime import UTC, datetime

import pytest

from campaigns.models import AudienceMember, Coupon, CouponPool, Delivery, Journey
from customers.identity import lookup
from customers.privacy import personal_data
from tests.support import sent_messages, shop

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture
def anna() -> None:
    """Two customers who got a message of a campaign: anna and ben."""
    shop.customers("anna,anna@example.org", "ben,ben@example.org")
    campaign = sent_messages.campaign("Welcome")
    pool = CouponPool.objects.create(name="ten")
    for name in ("anna", "ben"):
        customer = lookup.find_customer(name)
        assert customer
        sent_messages.sent(campaign, name, AT, clicks=2, clicked_at=AT, content={"title": f"Hi {name}"})
        Journey.objects.create(campaign=campaign, customer=customer, occasion="change:1", began_at=AT)
        Coupon.objects.create(
            pool=pool, code=f"X-{name}", code_folded=name, customer=customer, campaign=campaign, given_at=AT
        )
        AudienceMember.objects.create(
            segment=campaign.segment, platform="meta", customer=customer, is_included=True, exported_until=1
        )


def test_an_export_contains_messages_journeys_and_coupons(anna: None) -> None:
    exported = json.loads(shop.command("export_customer", "anna"))["campaigns"]

    at = "2026-03-15T12:00:00+00:00"
    assert exported["audiences"] == [{"segment": "everybody", "platform": "meta", "is_included": True}]
    assert exported["coupons"] == [
        {"campaign": "Welcome", "code": "X-anna", "given_at": at, "redeemed_at": None}
    ]
    [journey] = exported["journeys"]
    assert (journey["campaign"], journey["began_at"], journey["state"]) == ("Welcome", at, "active")
    [message] = exported["messages"]
    assert (message["step"], message["channel"], message["sent_at"], message["clicks"]) == (1, "email", at, 2)
    assert message["content"] == {"title": "Hi anna"}


def test_an_erasure_leaves_only_the_code_so_that_nobody_else_gets_it(anna: None) -> None:
    customer = lookup.find_customer("anna")
    assert customer
    personal_data.erase_customer(customer, AT)

    for table in (Delivery, Journey, AudienceMember):
        assert table.objects.get().customer.customer_id == "ben"
    given = Coupon.objects.get(code="X-anna")
    assert (given.customer, given.given_at) == (None, AT)
