"""Messages of blocks: what they may consist of, and what arrives as HTML and as plain text."""

import itertools
import re
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from django.urls import reverse

from campaigns import lifecycle
from campaigns.channels.on_site import OnSite
from campaigns.channels.webhook import Webhook
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.lifecycle import CampaignError
from campaigns.links import signed_links
from campaigns.messages import rendering
from campaigns.messages.blocks import InvalidBlocks, parse_blocks
from campaigns.models import Campaign, CouponPool, Step
from campaigns.playbook.tactic import hours
from core.shop import forget_shop
from customers.models import Customer
from tests.support import shop
from tests.support.campaign_runs import BUYERS, Move, order, subscribers
from tests.support.mail_server import MailServer
from tests.support.shop import NOON
from tests.test_audit_log import Staff

pytestmark = pytest.mark.django_db

CART = [
    {"type": "heading", "content": "Hello {{ first_name | default: \"there\" }} & co"},
    {
        "type": "text",
        "content": "<p>you left <strong>something</strong> in <a href='{{ shop.url }}cart?a=1&b=2'>your cart</a>.</p>"
        "<ul><li>Free returns</li><li>Paid {% if order_count > 1 %}again{% else %}once{% endif %}</li></ul>",
    },
    {"type": "picture", "image": "https://shop.example/lamp.png", "description": "A \"lamp\"", "url": "{{ shop.url }}"},
    {"type": "products", "source": "cart", "limit": 2, "heading": "In your cart", "otherwise": "It is empty now."},
    {"type": "products", "source": "similar", "heading": "Similar"},
    {"type": "button", "content": "Back to your cart", "url": "https://partner.example/cart"},
    {"type": "text", "content": "Only for members", "shown_if": "attributes.member"},
    {"type": "coupon", "content": "Your gift"},
    {"type": "divider"},
    {"type": "footer", "content": "Until Sunday"},
]  # fmt: skip


@pytest.fixture(autouse=True)
def the_shop(settings: Any) -> None:
    settings.SHOP_NAME, settings.SHOP_URL = "Lamps & more", "https://shop.example/"
    settings.SHOP_ADDRESS, settings.PUBLIC_URL = "1 High Street, Bath", "https://crm.example"
    settings.SHOP_LOGO, settings.SHOP_COLOUR = "https://shop.example/logo.png", "#ffd400"


@pytest.fixture
def pool() -> CouponPool:
    pool = coupon_pool.save_pool(CouponPool(name="gifts", description="10 % off"))
    pool_codes.add_codes(pool, ["GIFT-1"])
    return pool


class Words(HTMLParser):
    """The words and links of HTML that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.hidden = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden = tag in ("style", "title") or self.hidden
        if tag == "a":
            self.links.append(dict(attrs)["href"] or "")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = self.hidden and tag not in ("style", "title")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.words += re.findall(r"\w+", data)


def targets(links: list[str]) -> set[str]:
    return {
        signed_links.verify_click(link.partition("/go/")[2]).url
        for link in links
        if link.startswith("https://crm.example/go/")
    }


def send_to_buyers(move: Move, *steps: Step, **fields: Any) -> None:
    """Send the messages to Anna, who orders."""
    segment = shop.segment("buyers", BUYERS)
    move(NOON)
    campaign = lifecycle.save_campaign(Campaign(segment=segment, name="x", **fields), steps)
    lifecycle.start(campaign, NOON)
    order("anna", NOON)
    move(NOON + hours(1))


def test_html_and_text_of_a_sent_message_say_the_same(
    server: MailServer, move: Move, pool: CouponPool
) -> None:
    subscribers("anna", first_name="Anna")
    for minute, (sku, name) in enumerate((("lamp", "A <lamp>"), ("bulb", "A bulb"), ("cord", "A cord"))):
        properties = (
            f'{{"sku": "{sku}", "name": "{name}", "price": 9.5, "url": "/{sku}", "image_url": "/{sku}.png"}}'
        )
        shop.import_rows(
            "events",
            [f"m-{sku}", "anna", "", "Product Added", f"2026-03-15T12:0{minute + 1}:00Z", properties],
        )
    send_to_buyers(move, Step(subject="Cart", blocks=CART), pool=pool)

    [message] = server.messages
    text, html = (part.get_content() for part in message.iter_parts())
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    lines = [re.sub(r"https://crm\.example/\S+?(?=\.?$|\.?\s)", "URL", line) for line in text.splitlines()]
    assert lines == [
        "Hello Anna & co", "", "you left something in your cart: URL.", "", "- Free returns", "- Paid once", "",
        'A "lamp": URL', "", "In your cart", "", "- A cord, 9.50 EUR: URL", "- A bulb, 9.50 EUR: URL", "",
        "Back to your cart: URL", "", "Your gift: GIFT-1 (10 % off)", "", "* * *", "", "Until Sunday", "", "--",
        "Lamps & more, 1 High Street, Bath", "",
        "You get this e-mail because you subscribed to our newsletter. Unsubscribe: URL",
    ]  # fmt: skip
    seen = Words()
    seen.feed(html)
    said = set(re.findall(r"\w+", re.sub(r"https://\S+", "", text)))
    assert said - set(seen.words) <= {"A", "lamp"}  # the picture says so
    assert set(seen.words) - said == set()
    in_text = re.findall(r"https://crm\.example/go/[^\s)]+", text)
    assert targets(seen.links) == targets([link.rstrip(".,") for link in in_text])
    assert "https://shop.example/cart?a=1&b=2" in targets(seen.links)
    assert "https://partner.example/cart" in targets(seen.links)
    assert "Hello Anna &amp; co</h1>" in html
    assert "<lamp>" not in html


def test_an_email_has_the_logo_and_the_colour_of_the_shop(server: MailServer, move: Move) -> None:
    subscribers("anna")
    button = {"type": "button", "content": "To the shop"}
    send_to_buyers(
        move, Step(subject="News", blocks=[button]), Step(subject="Text", text="Plain https://shop.example/")
    )

    html = [part.get_content() for message in server.messages for part in message.iter_parts()][1::2]
    assert len(html) == 2
    for one in html:
        assert 'src="https://shop.example/logo.png"' in one
        assert one.startswith("<!doctype html>")
        assert "prefers-color-scheme: dark" in one
        assert "the message -->" not in one
    [style] = re.findall(r'<a [^>]*style="([^"]*)"[^>]*>To the shop', html[0])
    assert "background: #ffd400" in style
    assert "color: #14161a" in style  # dark on a light colour
    assert 'style="color: #8a750d;"' in html[1]  # a yellow that can be read on white
    assert "var(" not in "".join(html)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2."""
    low, high = sorted(
        sum(
            weight * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
            for weight, part in zip(
                (0.2126, 0.7152, 0.0722), (byte / 255 for byte in bytes.fromhex(colour[1:])), strict=True
            )
        )
        for colour in (one, other)
    )
    return (high + 0.05) / (low + 0.05)


def test_links_and_buttons_can_be_read_whatever_the_colour_of_the_shop(settings: Any) -> None:
    subscribers("anna")
    blocks = [{"type": "text", "content": "<p><a href='https://shop.example/'>Look</a></p>"},
              {"type": "button", "content": "To the shop"}]  # fmt: skip
    campaign = lifecycle.save_campaign(
        Campaign(segment=shop.segment("all", BUYERS), name="x"), [Step(subject="x", blocks=blocks)]
    )
    for red, green, blue in itertools.product((0, 110, 170, 255), repeat=3):
        settings.SHOP_COLOUR = f"#{red:02x}{green:02x}{blue:02x}"
        forget_shop()
        message = rendering.preview(campaign.steps.get(), Customer.objects.get(), NOON).message
        assert message
        assert f"background: {settings.SHOP_COLOUR};" in message.html
        [link] = re.findall(r'style="color: (#\w{6});"[^>]*>Look', message.html)
        [button] = re.findall(r'style="color: (#\w{6});[^>]*>To the shop', message.html)
        [dark_link] = re.findall(r"coupon-code \{ color: (#\w{6})", message.html)
        [(dark_ground, dark_text)] = re.findall(
            r"button a \{ background: (#\w{6}) !important; color: (#\w{6})", message.html
        )
        [card] = re.findall(r"inside > table \{ background: (#\w{6})", message.html)
        assert contrast(link, "#ffffff") >= 4.5, settings.SHOP_COLOUR
        assert contrast(button, settings.SHOP_COLOUR) >= 4.5, settings.SHOP_COLOUR
        assert contrast(dark_link, card) >= 4.5, settings.SHOP_COLOUR
        assert contrast(dark_text, dark_ground) >= 4.5, settings.SHOP_COLOUR
        assert contrast(dark_ground, card) >= 3, settings.SHOP_COLOUR


def test_values_cannot_add_markup_or_links(server: MailServer, move: Move) -> None:
    subscribers("anna", first_name="<b>Anna</b>", motto="<script>alert(1)</script>")
    blocks = [
        {"type": "heading", "content": "{{ first_name }}"},
        {"type": "text", "content": "<p>{{ attributes.motto }}</p>"},
        {
            "type": "button",
            "content": "{{ attributes.motto }}",
            "url": "https://shop.example/?q={{ attributes.motto }}",
        },
    ]
    send_to_buyers(move, Step(subject="x", blocks=blocks))

    [message] = server.messages
    html = list(message.iter_parts())[1].get_content()
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("<p onclick='x()'>a</p>", "<p>a</p>"),
        ("<script>alert(1)</script>a", "a"),
        ("<a href='javascript:alert(1)'>a</a>", "<a>a</a>"),
        ("<p style='color:red'><b>a</b><strong>b</strong><img src=x onerror=y></p>", "<p>a<strong>b</strong></p>"),
        ('<a href="{{ url | default: "x" }}">{{ name | default: "<b>" }}</a>',
         '<a href="{{ url | default: "x" }}">{{ name | default: "<b>" }}</a>'),
        ("a {% if order_count > 3 %}<em>b</em>{% endif %}", "a {% if order_count > 3 %}<em>b</em>{% endif %}"),
    ],
)  # fmt: skip
def test_formatted_text_keeps_paragraphs_lists_links_and_emphasis(written: str, kept: str) -> None:
    [block] = parse_blocks([{"type": "text", "content": written}])
    assert block.content == kept  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ([{"type": "movie"}], "Block 1: "),
        ([{"type": "divider"}, {"type": "heading"}], "Block 2 heading content: "),
        ([{"type": "heading", "content": " "}], "Block 1 heading content: "),
        ([{"type": "heading", "content": "x" * 501}], "Block 1 heading content: "),
        ([{"type": "heading", "content": "x", "colour": "red"}], "Block 1 heading colour: "),
        ([{"type": "products", "source": "all"}], "Block 1 products source: "),
        ([{"type": "products", "source": "cart", "limit": 7}], "Block 1 products limit: "),
        ([{"type": "divider", "shown_if": "city %}{{ x"}], "Block 1 divider shown_if: "),
        ([{"type": "divider"}] * 51, "List should have at most 50 items"),
        ({"type": "divider"}, "Input should be a valid list"),
        ("divider", "Input should be a valid list"),
    ],
)
def test_wrong_blocks_are_refused_with_their_place(wrong: Any, where: str) -> None:
    with pytest.raises(InvalidBlocks) as problem:
        parse_blocks(wrong)
    assert problem.value.problems[0].startswith(where)
    with pytest.raises(CampaignError, match=re.escape(where)):
        lifecycle.save_campaign(
            Campaign(segment=shop.segment("all", BUYERS), name="x"), [Step(subject="x", blocks=wrong)]
        )


NO_LINKS = (
    "javascript:alert(1)", " JavaScript:alert(1)", "java\tscript:alert(1)", "javascript&#58;alert(1)",
    "data:text/html,x", "vbscript:x",
    "file:///etc/passwd", "//evil.example", "/cart", "shop.example", "https:///x", "https:/\\x",
    "{{ 'javascript:' }}alert(1)", '{{"javascript:alert(1)"}}', "{% if city %}javascript:alert(1){% endif %}",
    "https://shop.example/\u200b",
)  # fmt: skip


@pytest.mark.parametrize("url", NO_LINKS)
def test_a_block_links_only_to_web_pages_addresses_and_values(url: str) -> None:
    picture = {"type": "picture", "image": "https://shop.example/x.png", "description": "x"}
    for block in (
        {"type": "button", "content": "x", "url": url},
        picture | {"url": url},
        picture | {"image": url},
    ):
        with pytest.raises(InvalidBlocks, match=r"(url|image): start it with https://"):
            parse_blocks([block])
    with pytest.raises(InvalidBlocks, match="image: start it with https://"):
        parse_blocks([picture | {"image": "mailto:x@shop.example"}])


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/",
        "HTTP://shop.example",
        "mailto:x@shop.example",
        "tel:+391",
        "{{ shop.url }}x",
        "{{-url}}",
    ],
)
def test_a_button_leads_to_web_pages_addresses_and_values(url: str) -> None:
    [button] = parse_blocks([{"type": "button", "content": "x", "url": f" {url} "}])
    assert button.url == url  # type: ignore[attr-defined]


def test_a_value_that_is_no_link_leads_nowhere(server: MailServer, move: Move) -> None:
    subscribers("anna", page="javascript:alert(1)")
    blocks = [
        {"type": "button", "content": "One", "url": "{{ attributes.page }}"},
        {"type": "button", "content": "Two", "url": "{{ city | default: 'javascript:alert(1)' }}"},
        {
            "type": "picture",
            "image": "{{ attributes.page }}",
            "description": "x",
            "url": "{{ attributes.page }}",
        },
    ]
    send_to_buyers(move, Step(subject="x", blocks=blocks))

    [message] = server.messages
    html = list(message.iter_parts())[1].get_content()
    assert "javascript" not in html
    assert html.count('href="#"') == 3
    assert re.search(r'<img src=""[^>]* alt="x"', html)


def test_templates_in_blocks_are_checked() -> None:
    segment = shop.segment("all", BUYERS)
    for block, problem in (
        ({"type": "heading", "content": "{{ frist_name }}"}, "There is no frist_name"),
        ({"type": "text", "content": "{% if city %}x"}, "endif"),
        ({"type": "button", "content": "x", "url": "{{ shop"}, "is not closed"),
        ({"type": "divider", "shown_if": "atributes.x"}, "There is no atributes.x"),
    ):
        step = Step(subject="x", blocks=[block])
        campaign = lifecycle.save_campaign(Campaign(segment=segment, name="x"), [step])
        assert problem in " ".join(rendering.problem_texts(campaign.steps.get())), block
        with pytest.raises(CampaignError):
            lifecycle.start(campaign, NOON)


def post(staff: Staff, campaign: Campaign, **fields: str) -> str:
    sent = {"name": "Sale", "trigger": "enters", "repeats_every_unit": "day", "reentry_after_unit": "day"}
    sent |= {
        "steps-TOTAL_FORMS": "1",
        "steps-INITIAL_FORMS": "1",
        "steps-0-channel": "email",
        "steps-0-ORDER": "1",
    }
    sent |= {"steps-0-wait_number": "0", "steps-0-wait_unit": "hour"}
    sent |= {f"steps-0-{name}": value for name, value in fields.items()}
    response = staff.client.post(reverse("admin:campaigns_campaign_edit", args=[campaign.pk]), sent)
    return "" if response.status_code == 302 else unescape(response.content.decode())


def test_staff_write_blocks_in_the_form() -> None:
    staff = Staff("olga")
    campaign = lifecycle.save_campaign(
        Campaign(segment=shop.segment("all", BUYERS), name="x"), [Step(subject="x", text="y")]
    )
    assert "Block 1: " in post(staff, campaign, subject="Hi", blocks='[{"type": "movie"}]')
    assert "There is no x" in post(
        staff, campaign, subject="Hi", blocks='[{"type": "heading", "content": "{{ x }}"}]'
    )

    assert post(staff, campaign, subject="Hi", blocks='[{"type": "heading", "content": "Good news"}]') == ""
    step = campaign.steps.get()
    assert (step.text, step.html) == ("Good news", "<h1>Good news</h1>")
    assert step.blocks == [{"type": "heading", "content": "Good news"}]

    assert post(staff, campaign, subject="Hi", text="By hand", blocks="") == ""
    step = campaign.steps.get()
    assert (step.text, step.html, step.blocks) == ("By hand", "", [])

    assert (
        post(staff, campaign, channel=Webhook.key, url="https://x.example/", blocks='[{"type": "divider"}]')
        == ""
    )
    assert campaign.steps.get().blocks == []


def test_an_on_site_message_of_blocks_has_no_frame() -> None:
    subscribers("anna")
    segment = shop.segment("all", BUYERS)
    step = Step(channel=OnSite.key, subject="x", blocks=[{"type": "heading", "content": "Good news"}])
    campaign = lifecycle.save_campaign(Campaign(segment=segment, name="x"), [step])

    message = rendering.preview(campaign.steps.get(), Customer.objects.get(), NOON).message

    assert message
    assert (message.text, message.html) == ("Good news\n", "<h1>Good news</h1>")
