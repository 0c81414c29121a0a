"""On-site messages: fetched for a visitor, and shown until they are closed or a value is missing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.test import Client

from campaigns.channels.base import OutgoingMessage
from campaigns.channels.on_site import OnSite
from campaigns.models import Campaign, Delivery
from segments.refresh.engine import refresh_all
from tests.api.test_errors import problem
from tests.support import campaign_runs, sent_messages, shop
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db

PAGE = "https://shop.example"
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)

Ask = Callable[..., list[str]]


def address(visitor: str, more: str = "") -> str:
    return f"/api/v1/visitors/{quote(visitor, safe='')}/messages/{more}"


@pytest.fixture(autouse=True)
def the_shop(settings: Any) -> None:
    settings.SHOP_URL = f"{PAGE}/"


@pytest.fixture
def key() -> str:
    return shop.command("create_key", "Web shop", "--visitors").split()[-1]


@pytest.fixture
def fetch(key: str, client: Client) -> Callable[[str], Any]:
    """Send the request of a page. Return the messages."""

    def asked(visitor: str) -> Any:
        response = client.get(address(visitor), {"key": key})
        assert response.status_code == 200, response.content
        assert response["Cache-Control"] == "private, no-store"
        return response.json()["messages"]

    return asked


@pytest.fixture
def titles(fetch: Callable[[str], Any]) -> Ask:
    return lambda visitor: [one["title"] for one in fetch(visitor)]


@pytest.fixture
def close(key: str, client: Client) -> Callable[[str, object], None]:
    """Close a message as a page does."""

    def closed(visitor: str, token: object) -> None:
        response = client.post(f"{address(visitor, f'{token}/dismiss/')}?key={key}")
        assert (response.status_code, response.content) == (204, b"")

    return closed


@pytest.fixture
def campaign() -> Campaign:
    """A campaign for the visitors a1 and a2, and for c1, who was the visitor a3."""
    shop.events("m1,,a1,Seen,2026-03-01", "m2,,a2,Seen,2026-03-01", "m3,c1,a3,Seen,2026-03-01")
    made = sent_messages.campaign(channel=OnSite.key)
    refresh_all()
    return made


def message_to(
    campaign: Campaign, visitor: str, title: str, ago: timedelta = HOUR, **fields: Any
) -> Delivery:
    """A message that the channel has sent."""
    delivery = sent_messages.sent(campaign, visitor, NOW - ago, **fields)
    OnSite().send(delivery, OutgoingMessage(title, "Leave us your address.", "", f"{PAGE}/join"))
    delivery.save()
    return delivery


def test_a_visitor_sees_only_their_own_messages(
    campaign: Campaign, fetch: Callable[[str], Any], titles: Ask, client: Client
) -> None:
    message = message_to(campaign, "a1", "Ten percent")
    message_to(campaign, "c1", "Welcome back")

    [shown] = fetch("a1")
    assert shown | {"url": ""} == {
        "token": str(message.token),
        "title": "Ten percent",
        "text": "Leave us your address.",
        "url": "",
    }
    assert client.get(urlsplit(shown["url"]).path)["Location"] == f"{PAGE}/join"
    assert titles("a3") == ["Welcome back"]  # the customer they turned out to be
    for nobody in ("a2", "unknown", "c1", "anonymous:a1", "a1\x00"):
        assert titles(nobody) == []
    message.refresh_from_db()
    assert message.clicks == 1


def test_a_message_counts_as_shown_when_a_page_fetched_it_first(
    campaign: Campaign, titles: Ask, django_assert_max_num_queries: Any
) -> None:
    message = message_to(campaign, "a1", "Ten percent")

    assert titles("a1") == ["Ten percent"]
    message.refresh_from_db()
    first = message.shown_at
    assert first
    with django_assert_max_num_queries(
        4
    ):  # the shop, the key, what to show, and whether the visitor is a member
        assert titles("a1") == ["Ten percent"]
    message.refresh_from_db()
    assert message.shown_at == first


def test_the_latest_three_that_are_due_are_shown(campaign: Campaign, titles: Ask) -> None:
    for hours in range(1, 6):
        message_to(campaign, "a1", f"{hours} hours ago", hours * HOUR)
    message_to(campaign, "a1", "to come", -HOUR)
    message_to(campaign, "a1", "planned", 10 * HOUR, state="planned", sent_at=None)
    mail = sent_messages.campaign("Mail")
    message_to(mail, "a1", "by mail")
    message_to(campaign, "a2", "31 days ago", timedelta(days=31))

    assert titles("a1") == ["1 hours ago", "2 hours ago", "3 hours ago"]
    assert titles("a2") == []


def test_a_closed_message_is_shown_no_more(
    campaign: Campaign, titles: Ask, close: Callable[[str, object], None]
) -> None:
    message, other = message_to(campaign, "a1", "Ten percent"), message_to(campaign, "a2", "Twenty percent")

    # Messages of others, and those that do not exist, are not revealed and not changed.
    close("a1", other.token)
    close("a1", "00000000-0000-4000-8000-000000000000")
    close("nobody", message.token)
    assert (titles("a1"), titles("a2")) == (["Ten percent"], ["Twenty percent"])

    close("a1", message.token)
    closed_at = Delivery.objects.get(pk=message.pk).dismissed_at
    close("a1", message.token)

    assert titles("a1") == []
    assert Delivery.objects.get(pk=message.pk).dismissed_at == closed_at


def test_a_message_with_missing_values_is_no_longer_shown(campaign: Campaign, titles: Ask) -> None:
    def alter(**fields: Any) -> None:
        Campaign.objects.filter(pk=campaign.pk).update(**fields)

    message_to(campaign, "a1", "Your cart")
    for state, shown in (("paused", []), ("stopped", []), ("running", ["Your cart"])):
        alter(state=state)
        assert titles("a1") == shown
    # Who has left the segment, or ordered, is not asked to come back.
    alter(segment=shop.segment("nobody", {"order_count": {"at_least": 100}}))
    assert titles("a1") == []
    alter(trigger=Campaign.Trigger.LEAVES)
    assert titles("a1") == ["Your cart"]
    alter(exit_when_not_member=False, trigger=Campaign.Trigger.ENTERS, ends_with_order=True)
    assert titles("a1") == ["Your cart"]
    message_to(campaign, "a3", "Your cart")
    shop.orders(f"o1,c1,{NOW.isoformat()},5")
    assert titles("a3") == []


def test_only_browser_keys_are_accepted(campaign: Campaign, client: Client) -> None:
    message = message_to(campaign, "a1", "Ten percent")
    other = shop.command("create_key", "other", "--scopes", "segments:read").split()[-1]

    for refused in (client.get(address("a1")), client.post(address("a1", f"{message.token}/dismiss/"))):
        problem(refused, 401)
    for path, method in (
        (address("a1"), client.get),
        (address("a1", f"{message.token}/dismiss/"), client.post),
    ):
        assert (
            problem(method(path, headers={"Authorization": f"Bearer {other}"}), 403)["code"]
            == "missing_scope"
        )
    assert Delivery.objects.get().dismissed_at is None


def test_scripts_of_the_shops_pages_may_fetch_and_close(
    campaign: Campaign, key: str, client: Client, settings: Any
) -> None:
    settings.CORS_ALLOWED_ORIGINS = [PAGE]
    dismissal = address("a1", f"{message_to(campaign, 'a1', 'Ten percent').token}/dismiss/")

    for origin, allowed in ((PAGE, PAGE), ("https://evil.example", None)):
        fetched = client.get(address("a1"), {"key": key}, headers={"Origin": origin})
        closed = client.post(f"{dismissal}?key={key}", headers={"Origin": origin})
        for response in (fetched, closed):
            assert response.headers.get("Access-Control-Allow-Origin") == allowed
    wish = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    assert (
        "POST" in client.options(dismissal, headers=wish | {"Origin": PAGE})["Access-Control-Allow-Methods"]
    )


def test_a_visitor_sees_the_messages_of_their_campaign_until_they_are_merged(key: str, titles: Ask) -> None:
    with campaign_runs.clock() as move:
        segment = shop.segment("anonymous", {"known": {"is": False}})
        move(NOON - HOUR)
        campaign_runs.campaign(segment, timedelta(), HOUR, channel=OnSite.key)
        shop.events(f"m1,,a1,Seen,{NOON.isoformat()}", f"m2,,a2,Seen,{NOON.isoformat()}")

        move(NOON)
        assert titles("a1") == titles("a2") == ["anonymous 1"]
        shop.customers("c1,c1@example.org")
        shop.events(f"m3,c1,a1,Signed In,{(NOON + HOUR / 2).isoformat()}")
        move(NOON + HOUR)

        assert titles("a1") == []
        assert titles("a2") == ["anonymous 2", "anonymous 1"]
        assert Delivery.objects.get(customer__customer_id="c1", state="sent").shown_at == NOON
