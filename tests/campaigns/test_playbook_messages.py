"""The messages of the playbook as customers of every kind get them: links, pictures, words, size and plain text."""

import importlib
import re
from datetime import date
from html.parser import HTMLParser
from random import Random
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection

from campaigns import lifecycle
from campaigns.channels.base import OutgoingMessage
from campaigns.channels.email import Email
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.messages import rendering
from campaigns.models import Campaign, CouponPool, Step
from campaigns.playbook.catalogue import TACTICS
from campaigns.recommendations import products
from customers.facts import update
from customers.identity import lookup
from customers.models import Customer
from segments.models import Segment
from tests.support import shop
from tests.support.campaign_runs import BUYERS
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

LARGEST = 102_000
"""Bytes of HTML: Gmail hides what comes after them."""
WITH_MESSAGES = [tactic for tactic in TACTICS.values() if tactic.steps]


@pytest.fixture(autouse=True)
def the_shop(settings: Any) -> None:
    settings.SHOP_NAME, settings.SHOP_URL = "Lamps & more", "https://shop.example/"
    settings.SHOP_ADDRESS, settings.PUBLIC_URL = "1 High Street, Bath", "https://crm.example"


class Reader(HTMLParser):
    """What a reader finds in a message: its words, its links with their words, its pictures."""

    HIDDEN = frozenset({"style", "title", "head"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[list[str]] = []
        self.pictures: list[dict[str, str | None]] = []
        self.hidden: list[str] = []
        self.open_link: list[str] | None = None
        self.preview = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if (self.hidden and tag == self.hidden[0]) or (
            not self.hidden
            and (tag in self.HIDDEN or given.get("class") == "preheader" or given.get("aria-hidden"))
        ):
            self.hidden.append(tag)
        if tag == "a":
            self.open_link = [given.get("href") or "", ""]
            self.links.append(self.open_link)
        elif tag == "img":
            self.pictures.append(given)
            if self.open_link:
                self.open_link[1] += given.get("alt") or ""

    def handle_endtag(self, tag: str) -> None:
        if self.hidden and tag == self.hidden[0]:
            self.hidden.pop()
        if tag == "a":
            self.open_link = None

    def handle_data(self, data: str) -> None:
        if self.hidden == ["div"]:
            self.preview += data
        if not self.hidden:
            self.words += re.findall(r"\w+", data)
        if self.open_link:
            self.open_link[1] += data


def furnish(*, pictures: int) -> None:
    """Record a year of orders, and what Zoë viewed, put into the cart and bought. So many products have pictures."""
    shop.customers(
        "zoe,zoe@example.org,Zoë,<3", "other,b@example.org,,", header="customer_id,email,first_name,last_name"
    )
    orders, events = [("zoe", 10, "p0", "p1")], list[tuple[str, str, str]]()
    for number in range(14):
        sku, ago = f"p{number}", 20 if number >= 10 else 300 - number
        orders += [(who, ago, sku, f"p{(number + 1) % 14}") for who in ("other", "third", "fourth")]
        picture = f', "image_url": "/{sku}.png"' if number < pictures else ""
        seen = f'{{"sku": "{sku}", "name": "The {sku}", "url": "/{sku}"{picture}}}'
        events.append(("Product Viewed", "other", seen))
    events += [
        (name, "zoe", f'{{"sku": "p{number}", "name": "The p{number}"}}')
        for name, numbers in (("Product Viewed", (2, 3, 4, 5)), ("Product Added", (6, 7)))
        for number in numbers
    ]
    record(orders, events)
    update.update_facts()
    products.learn_products(NOON)


def record(orders: list[tuple[Any, ...]], events: list[tuple[str, str, str]]) -> None:
    """Import orders, each of a customer, days ago, of some products; and events with their properties."""
    numbered = list(enumerate(orders))
    shop.orders(*(f"o{n},{who},{(NOON - days(ago)).isoformat()},10" for n, (who, ago, *_) in numbered))
    shop.lines(
        *(f"o{n},{sku},The {sku},lamps,Alma,1,9.50" for n, (_, _, *skus) in numbered for sku in skus),
        header="order_id,sku,name,category,brand,quantity,unit_price",
    )
    shop.import_rows(
        "events",
        *(
            [f"e{n}", who, "", name, f"2026-03-14T12:00:{n:02}Z", properties]
            for n, (name, who, properties) in enumerate(events)
        ),
    )


def pool(**fields: Any) -> CouponPool:
    made = coupon_pool.save_pool(CouponPool(name=f"pool {fields}", **fields))
    pool_codes.generate_codes(made, 2, 8, Random(1))
    return made


def draft(tactic: Any, codes: CouponPool | None) -> Campaign:
    segment = Segment.objects.filter(slug="buyers").first() or shop.segment("buyers", BUYERS)
    campaign = lifecycle.create_from_tactic(segment, tactic)
    answers = {
        question.name: f"https://shop.example/{question.name}"
        if question.is_url
        else "Ours, & <more>.\nSecond line."
        for question in tactic.questions
    }
    lifecycle.save_answers(campaign, answers, codes)
    return campaign


def messages(who: str, codes: CouponPool | None) -> list[tuple[str, bool, OutgoingMessage]]:
    """Return every message of the playbook for a customer, with its name and whether it is an e-mail."""
    customer = lookup.find_customer(who)
    assert customer
    found = []
    for tactic in WITH_MESSAGES:
        campaign = draft(tactic, codes)
        for step in campaign.steps.all():
            shown = rendering.preview(step, customer, NOON)
            assert shown.message, (tactic.slug, step.number, shown.problems)
            found.append((f"{tactic.slug} {step.number}", step.channel == Email.key, shown.message))
    assert len(found) == 43
    return found


def check(name: str, is_email: bool, message: OutgoingMessage) -> Reader:
    """Check one message in all its parts."""
    assert 5 <= len(message.subject) <= 80, name
    for said in (message.subject, message.text, message.html):
        assert not re.search(r"\{\{|\{%|%\}|None|var\(--|Missing|product\.|, ,| ,|  +\S+ \|", said), (
            name,
            said,
        )
    assert "<3" not in message.html
    assert "<more>" not in message.html
    check_text(name, is_email, message.text)
    if not is_email:
        return Reader(message.html)

    assert len(message.html.encode()) < LARGEST, name
    assert not re.search(r"@import|<link|url\(", message.html), (
        name
    )  # opening a message asks for its pictures only
    reader = Reader(message.html)
    for link, words in reader.links:
        assert re.match(r"https://(shop|crm)\.example/", link), (name, link)
        assert words.strip(), (name, link)
    for picture in reader.pictures:
        assert str(picture["src"]).startswith("https://shop.example/"), name
        assert "alt" in picture, name
        assert picture.get("width"), name
    assert 10 <= len(reader.preview.strip()) <= 110, (name, reader.preview)
    assert reader.preview.strip() != message.subject, name
    spoken = set(re.findall(r"\w+", re.sub(r"https://\S+", "", message.text)))
    assert set(reader.words) - spoken <= {"View"}, name  # the words of a product's button
    assert spoken - set(reader.words) == set(), name
    return reader


def check_text(name: str, is_email: bool, text: str) -> None:
    """Check that a plain text reads well."""
    assert not re.search(
        r"</?(p|br|strong|em|a|ul|li|div|span|table|td)\b|&(amp|lt|gt|quot|#\d+|nbsp);", text
    ), (name, text)
    assert "\n\n\n" not in text, name
    assert not re.search(r"[ \t]\n|(?<=\S)  +(?=\S)|^ ", text, re.MULTILINE), (name, text)
    for line in text.splitlines():
        assert not re.search(r":\s*$", line) or line[0] != "-", (name, line)  # a product without its page
    if is_email:
        assert text.rstrip().endswith("Unsubscribe: https://crm.example/unsubscribe/"), name
        assert text.count("https://crm.example/unsubscribe/") == 1, name
        assert text.count("1 High Street, Bath") == 1, name


@pytest.mark.parametrize("pictures", [14, 5], ids=["all have pictures", "some have pictures"])
def test_every_message_is_right_for_a_customer_with_a_name_products_and_a_code(pictures: int) -> None:
    furnish(pictures=pictures)

    lists = set()
    for name, is_email, message in messages("zoe", pool(description="10 % off", last_day=date(2026, 4, 30))):
        reader = check(name, is_email, message)
        greets = "Zoë" in message.text
        assert greets == is_email or name.startswith(("sale",)), name
        if "The p" in message.text and is_email:
            assert reader.pictures or pictures < 14, name
            assert "9.50 EUR" in message.text, name
            assert "https://shop.example/p" in message.text, name
        if "Valid until" in message.text:
            assert "(10 % off)\nValid until 30 April 2026\n" in message.text, name
        lists |= set(re.findall(r"^(?:In your cart|You looked at these|New in the shop|What you chose)$",
                                message.text, re.MULTILINE))  # fmt: skip
    assert len(lists) == 4


def test_every_message_is_right_for_a_customer_of_whom_nothing_is_known() -> None:
    shop.customers("stranger,a@example.org")

    for name, is_email, message in messages("stranger", pool()):
        reader = check(name, is_email, message)
        assert not reader.pictures, name
        assert not re.search(r"^- .*shop\.example", message.text, re.MULTILINE), name
        assert "Valid until" not in message.text, name
        if is_email:
            assert re.search(r"^(Hello there|Dear friend),$", message.text, re.MULTILINE), name


def test_every_message_is_right_where_no_product_has_a_picture() -> None:
    furnish(pictures=0)
    Customer.objects.filter(customer_id="zoe").update(first_name="")

    for name, is_email, message in messages("zoe", pool(description="10 % off")):
        reader = check(name, is_email, message)
        assert not reader.pictures, name
        assert "no-picture" not in message.html.partition("<body")[2], name


def test_a_message_with_a_code_is_not_sent_without_a_pool() -> None:
    shop.customers("stranger,a@example.org")
    customer = Customer.objects.get()
    with_code = [tactic for tactic in WITH_MESSAGES if any("codes" in need for need in tactic.needs)]
    assert len(with_code) == 10
    for tactic in with_code:
        campaign = draft(tactic, None)
        shown = [rendering.preview(step, customer, NOON) for step in campaign.steps.all()]
        assert [one.message for one in shown] == [None] * len(shown)
        assert any(
            "pool" in problem
            for problem in lifecycle.start_problems(campaign, list(campaign.steps.all()), NOON)
        )


def test_a_product_without_a_picture_has_its_letter_beside_others_that_have_one() -> None:
    furnish(pictures=7)  # of the cart, p6 has a picture, and p7 does not

    campaign = draft(TACTICS["cart-recovery"], None)
    customer = lookup.find_customer("zoe")
    assert customer
    message = rendering.preview(campaign.steps.get(number=1), customer, NOON).message
    assert message
    reader = Reader(message.html)
    assert [(one["src"], one["alt"]) for one in reader.pictures] == [
        ("https://shop.example/p6.png", "The p6")
    ]
    assert re.search(r'class="no-picture"[^>]*>T<', message.html)


OLD_TEXT = """Hello {{ first_name|default:"there" }},

you may wonder who is behind {{ shop.name }}.

{{ answers.about }}

Get to know us: {{ shop.url }}

All the best,
{{ shop.name }}
"""
OLD_HTML = """<p>Hello {{ first_name|default:"there" }},</p>
<p>you may wonder who is behind {{ shop.name }}.</p>
<p>{{ answers.about|linebreaksbr }}</p>
<p class="button"><a href="{{ shop.url }}">Get to know us</a></p>
<p>All the best,<br>
{{ shop.name }}</p>
"""


def test_a_message_of_version_0_3_that_nobody_edited_gets_the_new_words_and_design() -> None:
    campaign = Campaign.objects.create(name="x", segment=shop.segment("buyers", BUYERS))
    steps = [
        Step.objects.create(campaign=campaign, number=number, subject=subject, text=text, html=html)
        for number, (subject, text, html) in enumerate(
            [
                ("Who is behind {{ shop.name }}", OLD_TEXT, OLD_HTML),
                ("Our own subject", OLD_TEXT.replace("\n", "\r\n"), OLD_HTML.strip()),
                ("Who is behind {{ shop.name }}", OLD_TEXT.replace("Hello", "Hi"), OLD_HTML),
                ("Who is behind {{ shop.name }}", OLD_TEXT, ""),
            ],
            start=1,
        )
    ]
    for name in ("0003_messages_in_liquid.convert_steps", "0005_playbook_in_blocks.use_blocks"):
        module, _, function = name.partition(".")
        getattr(importlib.import_module(f"campaigns.migrations.{module}"), function)(apps, connection)
    call_command("migrate", verbosity=0)

    converted = draft(TACTICS["welcome-series"], None).steps.get(number=2)
    for step in steps:
        step.refresh_from_db()
        assert rendering.problem_texts(step) == []
    unedited, with_subject, *edited = steps
    assert unedited.subject == converted.subject
    assert with_subject.subject == "Our own subject"
    for step in (unedited, with_subject):
        assert (step.text, step.html, step.blocks) == (converted.text, converted.html, converted.blocks)
    assert [step.blocks for step in edited] == [[], []]
    assert "Hi {{ first_name" in edited[0].text
    assert "you may wonder" in edited[1].text


def test_messages_of_blocks_get_the_design_of_this_version_when_it_is_installed() -> None:
    campaign = lifecycle.save_campaign(
        Campaign(segment=shop.segment("buyers", BUYERS), name="x"),
        [
            Step(subject="x", blocks=[{"type": "button", "content": "To the shop"}]),
            Step(subject="y", text="z"),
        ],
    )
    written = campaign.steps.get(number=1).html
    campaign.steps.filter(number=1).update(html="<b>of an earlier version</b>")

    call_command("migrate", verbosity=0)

    assert campaign.steps.get(number=1).html == written
    assert campaign.steps.get(number=2).text == "z"
