"""Results of campaigns: each order is credited once, to the latest message of the days before it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from campaigns import results
from campaigns.channels.on_site import OnSite
from campaigns.models import Campaign, Delivery, Journey
from tests.support import sent_messages, shop

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 31, 12, tzinfo=UTC)
ORDERS = "order_id,customer_id,placed_at,status,total,refunded_total"


def day(number: int, hour: int = 12) -> datetime:
    return datetime(2026, 3, number, hour, tzinfo=UTC)


def ordered(
    order: str, customer: str, at: datetime, total: str = "10", status: str = "paid", back: str = "0"
) -> None:
    shop.orders(f"{order},{customer},{at.isoformat()},{status},{total},{back}", header=ORDERS)


def credit(campaign: Campaign, at: datetime = AT) -> tuple[int, int]:
    found = results.campaign_results(campaign, at)
    return found.ordered, int(found.revenue)


@pytest.fixture
def people() -> None:
    shop.customers("anna,anna@example.org", "ben,ben@example.org", "cleo,cleo@example.org")


def test_results_are_counted_in_total_by_step_and_by_day(
    people: None, django_assert_num_queries: Any
) -> None:
    campaign = sent_messages.campaign(steps=2)
    sent_messages.sent(campaign, "anna", day(1), clicked_at=day(2), clicks=3)
    sent_messages.sent(campaign, "anna", day(5), step=2)
    sent_messages.sent(campaign, "ben", day(1))
    for reason in ("no consent", "no consent", "quiet"):
        sent_messages.sent(
            campaign,
            "cleo",
            day(1) + timedelta(seconds=Delivery.objects.count()),
            state="held_back",
            sent_at=None,
            reason=reason,
        )
    sent_messages.sent(campaign, "cleo", day(7), state="failed", sent_at=None, reason="550 no such user")
    sent_messages.sent(campaign, "cleo", day(8), state="planned", sent_at=None, reason="451 later")
    sent_messages.sent(campaign, "cleo", day(9), state="sending", sent_at=None)
    ordered("o1", "anna", day(3), "30.5", back="0.5")
    ordered("o2", "anna", day(6), "20")
    ordered("o3", "ben", day(3), "0.1")

    with django_assert_num_queries(9):  # five of them gather the recipients' orders and credit them
        found = results.campaign_results(campaign, AT)

    assert (found.sent, found.failed, found.waiting, found.clicked, found.shown) == (3, 1, 2, 1, 0)
    assert found.held_back == {"no consent": 2, "quiet": 1}
    assert (found.ordered, found.revenue) == (3, Decimal("50.1"))
    assert [(one.number, one.sent, one.clicked, one.ordered, one.revenue) for one in found.steps] == [
        (1, 2, 1, 2, Decimal("30.1")),
        (2, 1, 0, 1, Decimal(20)),
    ]
    assert [(one.day.day, one.sent, one.clicked, one.ordered, one.revenue) for one in found.days] == [
        (1, 2, 0, 0, 0),
        (2, 0, 1, 0, 0),
        (3, 0, 0, 2, Decimal("30.1")),
        (5, 1, 0, 0, 0),
        (6, 0, 0, 1, Decimal(20)),
    ]
    nothing = results.campaign_results(sent_messages.campaign("Another"), AT)
    assert not any([nothing.sent, nothing.revenue, nothing.held_back, nothing.days])


def test_an_order_is_credited_to_the_latest_message_of_any_campaign(people: None) -> None:
    first, second = sent_messages.campaign("First"), sent_messages.campaign("Second")
    sent_messages.sent(first, "anna", day(1))
    sent_messages.sent(second, "anna", day(3))
    sent_messages.sent(second, "ben", day(3))
    # What was not sent reached nobody.
    sent_messages.sent(first, "anna", day(4), state="failed")

    ordered("o1", "anna", day(2))
    ordered("o2", "anna", day(3), "5")
    ordered("o3", "anna", day(5), "7")

    assert credit(first) == (1, 10)
    assert credit(second) == (2, 12)
    assert results.revenue_by_campaign([first.pk, second.pk], AT) == {first.pk: 10, second.pk: 12}
    # As of an earlier instant, what came later has not happened.
    assert credit(second, day(4)) == (1, 5)


def test_only_counting_orders_within_the_credit_days_are_credited(people: None, settings: Any) -> None:
    campaign = sent_messages.campaign()
    sent_messages.sent(campaign, "anna", day(1))
    second = timedelta(seconds=1)

    ordered("before", "anna", day(1) - second)
    ordered("last", "anna", day(8), "1")
    ordered("late", "anna", day(8) + second)
    ordered("stranger", "ben", day(2))
    for status in ("pending", "cancelled", "refunded"):
        ordered(status, "anna", day(2), status=status)

    assert credit(campaign) == (1, 1)
    settings.CAMPAIGN_CREDIT_DAYS = 0.5
    assert credit(campaign) == (0, 0)


def test_a_message_on_the_page_counts_from_when_it_was_shown(people: None) -> None:
    mail, on_site = (
        sent_messages.campaign("Mail"),
        sent_messages.campaign("On the page", channel=OnSite.key),
    )
    sent_messages.sent(mail, "anna", day(1))
    sent_messages.sent(on_site, "anna", day(2), shown_at=day(4))
    sent_messages.sent(on_site, "anna", day(2, 13))

    ordered("o1", "anna", day(3))
    ordered("o2", "anna", day(5))

    assert credit(mail) == (1, 10)
    assert credit(on_site) == (1, 10)
    assert results.campaign_results(on_site, AT).shown == 1


def test_days_are_those_of_the_shop(people: None, settings: Any) -> None:
    settings.TIME_ZONE = "Pacific/Auckland"
    campaign = sent_messages.campaign()
    sent_messages.sent(campaign, "anna", day(1, 13), clicked_at=day(1, 10))
    ordered("o1", "anna", day(1, 14))

    assert [
        (one.day, one.sent, one.clicked, one.ordered) for one in results.campaign_results(campaign, AT).days
    ] == [
        (date(2026, 3, 1), 0, 1, 0),
        (date(2026, 3, 2), 1, 0, 1),
    ]


def test_a_merge_moves_the_visitors_messages_to_the_customer(people: None) -> None:
    shop.events("m1,,a1,Seen,2026-03-01T10:00:00Z")
    campaign = sent_messages.campaign(channel=OnSite.key)
    shown = sent_messages.sent(campaign, "a1", day(1), shown_at=day(1))
    Journey.objects.create(
        campaign=campaign, customer=shown.customer, occasion=shown.occasion, began_at=day(1)
    )

    shop.events("m2,anna,a1,Seen,2026-03-02T10:00:00Z")
    ordered("o1", "anna", day(3))

    assert credit(campaign) == (1, 10)
