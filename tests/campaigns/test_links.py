"""The links of messages: redirects, clicks, unsubscribing, and forged links."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core import signing
from django.test import Client

from campaigns.links import signed_links
from campaigns.models import Delivery
from customers.identity import lookup
from customers.models import ConsentChange, Customer
from customers.privacy import personal_data
from tests.support import sent_messages, shop

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 15, 12, tzinfo=UTC)
PAGE = "https://shop.example/sale?a=1&b=ü#top"


@pytest.fixture(autouse=True)
def the_shop(settings: Any) -> None:
    settings.SHOP_URL = "https://shop.example/"


@pytest.fixture
def delivery() -> Delivery:
    """A message to anna. Both anna and ben, who has another address, subscribe to the newsletter."""
    shop.customers(
        "anna,anna@example.org,subscribed",
        "ben,ben@example.org,subscribed",
        header="customer_id,email,newsletter",
    )
    return sent_messages.sent(sent_messages.campaign(), "anna", AT)


def path_of(address: str) -> str:
    assert address.startswith("http://127.0.0.1:8000/")
    return urlsplit(address).path


def newsletters() -> dict[str, str]:
    return dict(Customer.objects.values_list("customer_id", "newsletter"))


# -- Clicks


def test_a_link_leads_to_its_page_and_is_counted(delivery: Delivery, client: Client) -> None:
    link = path_of(signed_links.click_url(delivery, PAGE))

    for _ in range(3):
        response = client.get(link)
        assert (response.status_code, response["Location"]) == (
            302,
            "https://shop.example/sale?a=1&b=%C3%BC#top",
        )
        assert not response.cookies

    first = Delivery.objects.get()
    assert first.clicks == 3
    client.get(link)
    assert Delivery.objects.get().clicked_at == first.clicked_at


def test_link_scanners_are_redirected_but_not_counted(delivery: Delivery, client: Client) -> None:
    link = path_of(signed_links.click_url(delivery, PAGE))

    assert client.head(link).status_code == 302
    for name, value in (
        ("Sec-Purpose", "prefetch;prerender"),
        ("X-Moz", "prefetch"),
        ("User-Agent", "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"),
        ("User-Agent", "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"),
    ):
        assert client.get(link, headers={name: value}).status_code == 302
    assert (Delivery.objects.get().clicks, Delivery.objects.get().clicked_at) == (0, None)


def test_links_cannot_be_forged(delivery: Delivery, client: Client) -> None:
    link = path_of(signed_links.click_url(delivery, PAGE))
    elsewhere = signing.Signer(key="another", salt="campaigns.click").sign_object([delivery.token.hex, PAGE])
    other_kind = path_of(signed_links.unsubscribe_url(delivery)).rpartition("/")[2]

    for wrong in (
        link[:-1],
        link + "x",
        "/go/",
        f"/go/{elsewhere}",
        f"/go/{other_kind}",
        "/go/https://evil.example",
    ):
        response = client.get(wrong)
        assert response.status_code == 404
        assert "Location" not in response
    assert client.post(link).status_code == 405
    assert Delivery.objects.get().clicks == 0


def test_links_that_are_not_http_are_unchanged(delivery: Delivery) -> None:
    tracked = signed_links.click_url(delivery, PAGE)

    for url in ("mailto:shop@example.org", "tel:+4930123456", "javascript:alert(1)", "#top", "", tracked):
        assert signed_links.click_url(delivery, url) == url
    assert signed_links.click_url(delivery, long := f"https://shop.example/{'x' * 2000}") == long


def test_links_work_when_campaign_and_customer_are_gone(delivery: Delivery, client: Client) -> None:
    link, end = (
        path_of(signed_links.click_url(delivery, PAGE)),
        path_of(signed_links.unsubscribe_url(delivery)),
    )

    delivery.campaign.delete()
    assert client.get(link).status_code == 302
    assert client.post(end).status_code == 200
    assert newsletters()["anna"] == "unsubscribed"

    customer = lookup.find_customer("anna")
    assert customer
    personal_data.erase_customer(customer, AT)
    for response in (client.get(end), client.post(end)):
        assert response.status_code == 200
        assert "You will get no more e-mails" in response.content.decode()


# -- The newsletter


def test_mail_programs_unsubscribe_with_one_post(delivery: Delivery) -> None:
    headers = signed_links.unsubscribe_headers(delivery)
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    client = Client(enforce_csrf_checks=True)

    for _ in range(2):  # as RFC 8058 has it: no cookies, no login, no redirect; again is no error
        response = client.post(
            path_of(headers["List-Unsubscribe"].strip("<>")), {"List-Unsubscribe": "One-Click"}
        )
        assert response.status_code == 200
        assert not response.cookies

    assert newsletters() == {"anna": "unsubscribed", "ben": "subscribed"}
    changes = ConsentChange.objects.filter(customer__customer_id="anna").order_by("pk")
    assert [*changes.values_list("state", "source")] == [
        ("subscribed", "CSV"),
        ("unsubscribed", "unsubscribe link"),
    ]


def test_a_person_is_asked_for_confirmation(delivery: Delivery, client: Client) -> None:
    address = path_of(signed_links.unsubscribe_url(delivery))

    page = client.get(address).content.decode()
    assert '<form method="post">' in page
    assert "http" not in page  # nothing is asked of other hosts
    client.head(address)
    assert newsletters()["anna"] == "subscribed"

    assert "You are unsubscribed" in client.post(address).content.decode()
    assert "<form" not in client.get(address).content.decode()


def test_an_unsubscription_applies_to_every_customer_with_the_address(
    delivery: Delivery, client: Client
) -> None:
    shop.customers("anna-2,anna@example.org,subscribed", header="customer_id,email,newsletter")

    client.post(path_of(signed_links.unsubscribe_url(delivery)))

    assert newsletters() == {"anna": "unsubscribed", "anna-2": "unsubscribed", "ben": "subscribed"}


def test_a_visitors_link_unsubscribes_them_after_a_merge(delivery: Delivery, client: Client) -> None:
    shop.events("m1,,a1,Seen,2026-03-01", "m2,,a2,Seen,2026-03-01")
    addresses = {
        visitor: path_of(signed_links.unsubscribe_url(sent_messages.sent(delivery.campaign, visitor, AT)))
        for visitor in ("a1", "a2")
    }
    shop.events("m3,ben,a1,Seen,2026-03-02")

    assert client.post(addresses["a1"]).status_code == 200
    assert newsletters()["ben"] == "unsubscribed"
    assert client.post(addresses["a2"]).status_code == 200
    assert newsletters()["anonymous:a2"] == "unsubscribed"


def test_nobody_can_unsubscribe_somebody_else(delivery: Delivery, client: Client) -> None:
    address = path_of(signed_links.unsubscribe_url(delivery))
    click = path_of(signed_links.click_url(delivery, PAGE)).rpartition("/")[2]

    for wrong in (address[:-1], "/unsubscribe/", f"/unsubscribe/{click}", "/unsubscribe/1"):
        assert client.post(wrong).status_code == 404
    assert set(newsletters().values()) == {"subscribed"}
