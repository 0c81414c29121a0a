"""The history of consent: every state it took, when, and what told so."""

from datetime import UTC, datetime

import pytest

from customers.models import ConsentChange
from tests import shop

pytestmark = pytest.mark.django_db

HEADER = "customer_id,newsletter,subscribed_at"


def history() -> list[tuple[str, str]]:
    changes = ConsentChange.objects.order_by("pk")
    return list(changes.values_list("customer__customer_id", "state"))


def test_each_state_is_kept_also_within_one_file_and_none_twice() -> None:
    shop.customers(
        "c1,subscribed,2026-01-01", "c2,never,", "c1,unsubscribed,", "c1,subscribed,2026-02-01", header=HEADER
    )
    assert history() == [("c1", "subscribed"), ("c1", "unsubscribed"), ("c1", "subscribed")]

    shop.customers("c1,subscribed,2026-02-01", "c2,,", header=HEADER)
    assert len(history()) == 3


def test_a_subscription_counts_from_when_the_shop_says_and_its_end_from_now() -> None:
    before = datetime.now(UTC)
    shop.customers("c1,subscribed,2026-01-01", "c1,unsubscribed,", header=HEADER)

    subscribed, unsubscribed = ConsentChange.objects.order_by("pk")
    assert subscribed.at == datetime(2026, 1, 1, tzinfo=UTC)
    assert unsubscribed.at >= before


def test_a_joined_visitor_brings_no_consent_of_its_own_and_keeps_none() -> None:
    shop.customers("c1,subscribed,", header=HEADER)
    shop.events("m1,,a1,Seen,2026-03-01T10:00:00Z", "m2,c1,a1,Seen,2026-03-01T11:00:00Z")

    assert history() == [("c1", "subscribed")]
