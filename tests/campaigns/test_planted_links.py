"""Values that somebody sends with only a browser key are text in messages, and never links."""

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.signing import Signer
from django.test import Client

from campaigns import lifecycle
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.links import link_hosts
from campaigns.messages import plain_text
from campaigns.models import Campaign, CouponPool, Delivery, Step
from segments.refresh.engine import refresh_all
from tests.support import shop, tracking_messages
from tests.support.campaign_runs import Move
from tests.support.mail_server import MailServer
from tests.support.shop import NOON

EVIL = (
    "http://evil.example/win",
    "https://evil.example",
    "HTTPS://EVIL.EXAMPLE/x",
    "//evil.example/x",
    "http:\\\\evil.example",
    "www.evil.example",
    "evil.example",
    "evil.example/win?x=1",
    "shop.example.evil.example",
    "shop.example@evil.example",
    "https://shop.example@evil.example/",
    "https://evil.example\\.shop.example/",
    "evil\u200b.example",
    "evil.\u00adexample",
    "evil\u3002example",
    "evil\uff0eexample",
    "evil.\u092d\u093e\u0930\u0924",
    "evil.\u0dbd\u0d82\u0d9a\u0dcf",
    "evil.\u24d2\u24de\u24dc",
    "\u202eelpmaxe.live",
    "xn--evil-example.xn--p1ai",
    "mailto:win@evil.example",
    "javascript:alert(1)",
    '"><a href="https://evil.example">win</a>',
    "<a href=https://evil.example>win</a>",
    "hthttp://xtp://evil.example",
    "[win](https://evil.example)",
    "win\r\nBcc: victim@evil.example\r\n\r\nhttps://evil.example",
)
LINKIFIED = re.compile(
    r"(?:https?:)?//(?!127|shop\.|crm\.)\w|\bwww\.|\bevil\.\w|evil[.\u3002\uff0e]example", re.IGNORECASE
)
TEXT = """{{ first_name | default: "Hello" }} {{ name | default: "you" }}, {{ city | default: "there" }} {{ country | default: "-" }}
{{ attributes.motto | default: "-" }} {{ attributes.page | default: "-" }}
{% for product in viewed %}
- {{ product.name | default: "-" }} {{ product.sku | default: "-" }} {{ product.category | default: "-" }}: {{ product.url | default: shop.url }}
{% else %}
{% endfor %}
Our pages: https://shop.example/sale and https://partner.example/{{ attributes.motto | default: "x" | url_encode }}
"""  # noqa: E501
HTML = """<p>{{ first_name | default: "Hello" }} {{ name | default: "you" }} {{ attributes.motto | default: "-" }}</p>
<p><a href="{{ attributes.page | default: shop.url }}">Page</a> <a href="https://{{ attributes.motto | default: "x" }}/">Own</a>
<a href="https://shop.example{{ attributes.motto | default: "" }}">Behind</a> <a href="https://partner.example/">Partner</a></p>
{% for product in viewed %}<p><a href="{{ product.url | default: shop.url }}">{{ product.name | default: "-" }}</a>
<img src="{{ product.image | default: "" }}" alt=""></p>{% else %}{% endfor %}"""  # noqa: E501


@pytest.fixture(autouse=True)
def the_shop(settings: Any) -> None:
    settings.SHOP_NAME, settings.SHOP_URL = "The shop", "https://shop.example/"
    settings.PUBLIC_URL, settings.ALLOWED_HOSTS = "https://crm.example", ["*"]


@pytest.fixture
def seen(db: None) -> Campaign:
    """A running campaign for customers who viewed a product, whose message prints all values from browsers."""
    segment = shop.segment("seen", {"event_count": {"event": "Product Viewed", "at_least": 1}})
    step = Step(
        subject="For {{ name | default: 'you' }}: {{ viewed[0].name | default: 'you' }}", text=TEXT, html=HTML
    )
    campaign = lifecycle.save_campaign(Campaign(segment=segment, name="seen"), [step])
    refresh_all(NOON)
    lifecycle.start(campaign, NOON)
    return campaign


def plant(number: int, planted: str, browser: str, trusted: str) -> None:
    """Send every value that a browser key can send. The consent comes from the shop."""
    visitor, at = f"visitor-{number}", "2026-03-15T11:00:00Z"
    product: dict[str, Any] = {
        "sku": f"{number} {planted}", "name": planted, "category": planted, "brand": planted, "url": planted,
        "image_url": planted,
    }  # fmt: skip
    traits: dict[str, Any] = {
        "firstName": f"Free iPhone {planted}", "lastName": planted, "motto": planted, "page": planted,
        "address": {"city": planted, "country": planted},
    }  # fmt: skip
    tracking_messages.send(
        browser,
        tracking_messages.identify(anonymous=visitor, at=at, **traits),
        tracking_messages.track("Product Viewed", anonymous=visitor, at=at, **product),
    )
    victim_traits: dict[str, Any] = {"email": f"victim-{number}@example.org", "newsletter": True}
    tracking_messages.send(trusted, tracking_messages.identify(anonymous=visitor, at=at, **victim_traits))


def test_values_from_a_browser_become_no_link_in_a_message(
    seen: Campaign, server: MailServer, move: Move, client: Client
) -> None:
    _, browser = tracking_messages.source("browser")
    _, trusted = tracking_messages.source("server")
    for number, planted in enumerate(EVIL):
        plant(number, planted, browser, trusted)

    move(NOON)

    states = Delivery.objects.values_list("state", "reason").distinct()
    assert list(states) == [("sent", "")]
    assert len(server.messages) == len(EVIL)
    for message in server.messages:
        assert message["Bcc"] is None
        assert "\n" not in str(message["Subject"])
        parts = {part.get_content_type(): part.get_content() for part in message.iter_parts()}
        pictures = attribute_values(parts["text/html"], "src")
        assert {urlsplit(one).hostname for one in pictures} <= {"shop.example", None}
        for said in (str(message["Subject"]), *parts.values()):
            found = LINKIFIED.search(re.sub(r'(src|xmlns[:\w]*)="[^"]*"', "", said))
            assert found is None, (message["To"], said[max(0, found.start() - 60) : found.end() + 60])
        followed = [
            *attribute_values(parts["text/html"], "href"),
            *re.findall(r"https?://\S+", parts["text/plain"]),
        ]
        assert {urlsplit(one).hostname for one in followed if one != "#"} == {"crm.example"}
        hosts = {leads_to(one, client) for one in followed if "/go/" in one}
        assert hosts <= {"shop.example", "partner.example"}


def attribute_values(html: str, attribute: str) -> list[str]:
    """Return the values of an attribute in HTML, as a mail program reads it."""
    values: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values.extend(value or "" for name, value in attrs if name == attribute)

    reader = Reader()
    reader.feed(html)
    reader.close()
    return values


def leads_to(link: str, client: Client) -> str | None:
    answer = client.get(urlsplit(link).path)
    assert answer.status_code == 302, link
    return urlsplit(answer["Location"]).hostname


@pytest.mark.parametrize("planted", EVIL)
def test_a_name_that_contains_a_link_is_skipped(planted: str) -> None:
    left = plain_text.safe_name(f"Free iPhone {planted}")
    assert "evil" not in left.lower().replace("xn--evil-", "") or "." not in left
    assert not LINKIFIED.search(left)


@pytest.mark.django_db
def test_ordinary_names_and_texts_are_unchanged() -> None:
    for name in ("Zoë", "Anna-Lena", "O’Neill", "J. R. R.", "Nguyễn Văn A", "می\u200cخواهم", "李小龍", "Jr."):
        assert plain_text.safe_name(name) == name
    assert (
        plain_text.safe_name("Maria Guadalupe Fernández de la Cruz y Hernández")
        == "Maria Guadalupe Fernández de la Cruz y"
    )
    assert plain_text.safe_name("x" * 41) == "x" * 40
    for text in (
        "T-shirt 2.5 XL",
        "10.30am, No. 5",
        "Vitamin B.12",
        "A.P.C. jeans",
        "3.5mm jack: black",
        "1/2 inch",
    ):
        assert plain_text.safe_text(text) == text
    assert plain_text.safe_text("Node.js for St.Pauli") == "Node. js for St. Pauli"
    assert plain_text.safe_line("a\nb  c") == "a b c"


# -- Where our own links lead


def go(signed_value: list[str], client: Client, salt: str = "campaigns.click") -> Any:
    return client.get(f"/go/{Signer(salt=salt).sign_object(signed_value)}")


@pytest.fixture
def delivery(seen: Campaign, server: MailServer, move: Move) -> Delivery:
    """A sent message."""
    _, browser = tracking_messages.source("browser")
    _, trusted = tracking_messages.source("server")
    plant(1, "A lamp", browser, trusted)
    move(NOON)
    return Delivery.objects.get(state="sent")


def test_an_older_signed_link_leads_only_to_hosts_of_its_template_and_the_shop(
    delivery: Delivery, client: Client, settings: Any
) -> None:
    settings.PRODUCT_HOSTS = ["pictures.example"]
    token = delivery.token.hex
    for own in (
        "https://shop.example/a", "http://www.shop.example", "https://crm.example/x", "https://pictures.example/1",
        "https://partner.example/other",
    ):  # fmt: skip
        assert go([token, own], client).status_code == 302, own
    for elsewhere in (
        "https://evil.example/", "https://shop.example@evil.example", "https://evilshop.example", "ftp://shop.example",
        "https://evil.example\\.shop.example/", "https://evil.example%2f.shop.example/", "javascript:alert(1)",
        "//evil.example", "https://shop.example.evil.example", "https://shop.example:x/", "https://evil.example/\t",
    ):  # fmt: skip
        answer = go([token, elsewhere], client)
        assert (answer.status_code, "Location" in answer) == (404, False), elsewhere
        assert "leads to another site" in answer.content.decode()
    assert go(["0" * 32, "https://partner.example/"], client).status_code == 404
    assert Delivery.objects.get().clicks == 5


def test_links_of_the_author_work_after_the_template_is_deleted(
    delivery: Delivery, server: MailServer, client: Client
) -> None:
    [text] = [
        part.get_content()
        for part in server.messages[0].iter_parts()
        if part.get_content_type() == "text/plain"
    ]
    found = [one for one in re.findall(r"https?://\S+", text) if "/go/" in one]
    assert {leads_to(one, client) for one in found} == {"shop.example", "partner.example"}
    delivery.campaign.delete()
    assert {leads_to(one, client) for one in found} == {"shop.example", "partner.example"}


def test_a_host_that_contains_a_variable_is_not_the_authors() -> None:
    template = (
        "https://a.example/{{ x }} http://b.example. https://{{ x }}.c.example/ https://d.example{{ x }}/ "
        '<a href="https://e.example?q={{ x }}&amp;y">e</a> https://f.example:{{ x }}/ '
        "(https://g.example) {% assign x = 'https://h.example' %}"
    )
    assert link_hosts.authored_hosts((template,)) == {"a.example", "b.example", "e.example", "g.example"}


def test_an_on_site_message_links_to_no_page_from_a_value(
    server: MailServer, move: Move, client: Client, seen: Campaign
) -> None:
    _, browser = tracking_messages.source("browser")
    _, trusted = tracking_messages.source("server")
    step = Step(
        channel="on_site",
        subject="{{ first_name | default: 'Hello' }}",
        text="x",
        url="{{ attributes.page }}",
    )
    lifecycle.stop(seen, NOON)
    campaign = lifecycle.save_campaign(Campaign(segment=seen.segment, name="page"), [step])
    lifecycle.start(campaign, NOON)
    for number, page in enumerate(("https://evil.example/", "https://shop.example/gift")):
        plant(number, page, browser, trusted)

    move(NOON)

    found = dict(Delivery.objects.filter(campaign=campaign).values_list("customer__email", "state"))
    assert found == {"victim-0@example.org": "failed", "victim-1@example.org": "sent"}
    content = Delivery.objects.get(campaign=campaign, state="sent").content
    assert content
    assert leads_to(content["url"], client) == "shop.example"
    assert content["title"] == "Hello"  # a name with a link is none


def test_the_description_of_a_pool_becomes_no_link(seen: Campaign, server: MailServer, move: Move) -> None:
    pool = coupon_pool.save_pool(
        CouponPool(name="ten", description="10 % off at www.evil.example or evil.example")
    )
    pool_codes.add_codes(pool, ["TEN-1"])
    Campaign.objects.update(pool=pool)
    Step.objects.update(text="{{ coupon }}: {{ coupon_worth }}", html="")
    _, browser = tracking_messages.source("browser")
    _, trusted = tracking_messages.source("server")
    plant(1, "A lamp", browser, trusted)

    move(NOON)

    for part in server.messages[0].iter_parts():
        assert not LINKIFIED.search(re.sub(r'xmlns[:\w]*="[^"]*"', "", part.get_content()))
        assert "TEN-1: 10 % off at or evil. example" in part.get_content()


def test_a_default_replaces_missing_values_and_not_0(seen: Campaign, server: MailServer, move: Move) -> None:
    text = "{{ order_count | default: 'many' }} {{ attributes.points | default: 'no' }}"
    text += " {{ attributes.none | default: 'no' }}"
    Step.objects.update(text=text, html="")
    _, browser = tracking_messages.source("browser")
    _, trusted = tracking_messages.source("server")
    plant(1, "A lamp", browser, trusted)
    tracking_messages.send(
        trusted, tracking_messages.identify(anonymous="visitor-1", at="2026-03-15T11:30:00Z", points=0)
    )

    move(NOON)

    assert {part.get_content().count("0 0 no") for part in server.messages[0].iter_parts()} == {1}
