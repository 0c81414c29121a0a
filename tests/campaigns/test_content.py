"""The content of messages: template language, variables, HTML and plain text, links, previews."""

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from random import Random
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from campaigns.channels import email_layout, html_conversion
from campaigns.channels.audience import Audience
from campaigns.channels.base import MAX_TEMPLATE_LENGTH, OutgoingMessage
from campaigns.channels.on_site import OnSite
from campaigns.channels.webhook import Webhook
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.links import signed_links
from campaigns.messages import rendering
from campaigns.messages.rendering import NoCodeAvailable
from campaigns.messages.template_environment import MAX_OUTPUT, TAGS
from campaigns.messages.template_filters import HELP as FILTERS
from campaigns.messages.variable_types import InvalidTemplate, MissingValue
from campaigns.messages.variables import VARIABLES
from campaigns.models import Campaign, Coupon, CouponPool, Delivery, Step
from campaigns.recommendations import products
from customers.facts import update
from customers.identity import lookup
from customers.models import Customer
from tests.support import shop

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db

Say = Callable[..., OutgoingMessage]


@pytest.fixture(autouse=True)
def the_shop(settings) -> None:
    settings.SHOP_NAME, settings.SHOP_URL = "Lamps & more", "https://shop.example/"
    settings.SHOP_ADDRESS, settings.PUBLIC_URL = "1 High Street, Bath", "https://crm.example"


@pytest.fixture
def anna() -> Customer:
    """A customer with a name, orders, a cart and viewed products."""
    shop.customers(
        "c1,anna@example.org,Anna,<b>Müller</b>,1990-05-17,gold,,subscribed,<b>best</b> & first",
        header="customer_id,email,first_name,last_name,birth_date,tier,city,newsletter,note",
    )
    shop.orders(
        "o1,c1,2026-03-01T10:00:00Z,59.90",
        *(f"p{n},x{n},2026-03-01T10:00:00Z,10" for n in range(4)),
    )
    header = "order_id,sku,name,quantity,unit_price"
    shop.lines("o1,lamp,A lamp,1,59.90", header=header)
    shop.lines(
        *(f"p{n},{row}" for n in range(4) for row in ("lamp,A lamp,1,59.90", "bulb,A bulb,2,4.5")),
        header=header,
    )
    for number, (name, sku, price) in enumerate(
        (("Product Viewed", "desk", 120), ("Product Viewed", "chair", 49.5), ("Product Added", "chair", 49.5))
    ):
        properties = {"sku": sku, "name": f"A <{sku}>", "price": price, "url": f"/{sku}?a=1&b=2"}
        shop.import_rows(
            "events", [f"m{number}", "c1", "", name, f"2026-03-14T10:0{number}:00Z", json.dumps(properties)]
        )
    update.update_facts()
    products.learn_products(NOW)
    found = lookup.find_customer("c1")
    assert found
    return found


@pytest.fixture
def nobody() -> Customer:
    """A customer of whom only the address is known."""
    shop.customers("c9,c9@example.org")
    found = lookup.find_customer("c9")
    assert found
    return found


def campaign(pool: CouponPool | None = None) -> Campaign:
    known = shop.segment("known", {"known": {"is": True}})
    return Campaign.objects.create(name="Hello", segment=known, pool=pool)


def delivery(customer: Customer, of: Campaign | None = None, **said: Any) -> Delivery:
    of = of or campaign()
    step = Step(campaign=of, number=of.steps.count() + 1, **({"subject": "Hello"} | said))
    step.save()
    return Delivery.objects.create(
        campaign=step.campaign, step=step, customer=customer, occasion="change:1", planned_for=NOW,
        not_before=NOW,
    )  # fmt: skip


def said_to(customer: Customer, text: str, **said: Any) -> str:
    """Return the rendered plain text, without the footer."""
    message = rendering.preview(Step(subject="Hello", text=text, **said), customer, NOW)
    assert message.message, message.problems
    return message.message.text.partition("\n\n--\n")[0].strip()


def problems(customer: Customer, text: str = "x", **said: Any) -> str:
    """Return the problems of a template."""
    found = rendering.preview(Step(**({"subject": "Hello", "text": text} | said)), customer, NOW)
    assert found.message is None
    return " | ".join(found.problems)


def wrong(text: str = "x", **said: Any) -> list[str]:
    return rendering.problem_texts(Step(**({"subject": "Hello", "text": text} | said)))


def without_styles(html: str) -> str:
    return re.sub(r' style="[^"]*"', "", html)


# -- Values


def test_a_message_knows_the_customer_and_the_shop(anna: Customer, nobody: Customer) -> None:
    cases = {
        "{{ first_name }} {{ customer.first_name | upcase }}, {{ name }}": "Anna ANNA, Anna Müller",
        "{{ \"ANNA-LENA O'NEIL don't b<c&lt;\" | title }}": "Anna-Lena O'Neil Don't B<C&lt;",
        "{{ attributes.tier | title }} {{ attributes.shoe | default: '?' }}": "Gold ?",
        "{{ birth_date | date }}, {{ birth_date | date: '%Y %H' }}": "17 May 1990, 1990 00",
        "{{ shop.name }} {{ shop.url }} {{ shop.address }}": "Lamps & more https://shop.example/ 1 High Street, Bath",
        "{{ order_count }} {{ total_spent | money }}": "1 59.90 EUR",
        "{{ last_order.number }} {{ last_order.date }} {{ last_order.total | money }}": "o1 1 March 2026 59.90 EUR",
        "{{ last_order.date | date: '%a, %-d.%m.%y at %H:%M (100 %% Year)' }}": "Sun, 1.03.26 at 10:00 (100 % Year)",
        "{% for product in cart %}{{ product.name }}, {{ product.price }} {{ product.url }}{% endfor %}":
            "A <chair>, 49.50 https://shop.example/chair?a=1&b=2",
        "{{ viewed[0].name }} {{ viewed | size }} {{ viewed[7].name | default: '-' }}": "A <chair> 2 -",
        "{% for p in bought %}{{ p.name }}{% endfor %}": "A lamp",
        "{% for p in recommended limit: 1 %}{{ p.name }}{% endfor %}": "A bulb",
        "{% for p in similar %}{{ p.name }}{% else %}none{% endfor %}": "none",
        "{% if order_count > 0 and not city %}{% assign n = first_name %}{{ n }}{% endif %}": "Anna",
        "{% unless city %}{{ viewed.size }} {{ viewed.first.name }}{% endunless %}": "2 A <chair>",
        "{% case attributes.tier %}{% when 'gold', 'silver' %}yes{% else %}no{% endcase %}": "yes",
        "{% for p in viewed offset: 1 %}{{ forloop.index }}/{{ forloop.length }} {{ p.sku }}{% endfor %}": "1/1 desk",
        "{% if city == blank and cart != empty and first_name != blank %}{{ similar.size }}{% endif %}": "0",
        "{% if similar or cart == empty %}x{% elsif 'gol' contains attributes.tier %}y{% else %}z{% endif %}": "z",
        "{% if (not city) and not (country or city == 'x and y') %}x{% endif %}": "x",
        "{% if not country == ' and ' %}x{% endif %}": "x",
        "{% if (city or name) and attributes.tier contains 'ol' %}x{% endif %}": "x",
        "{{ order_count }} {{ order_count | pluralize: 'order', 'orders' }}": "1 order",
        "{{ 50 | minus: total_spent | round: 1 }} {{ total_spent | divided_by: 3 | round: 2 }}": "-9.9 19.97",
        "{{ name | truncate: 6, '…' }} {{ name | truncatewords: 1 }}": "Anna … Anna...",
        "{{ name | slice: 0, 2 | downcase | append: '!' }} {{ viewed | slice: 1, 5 | size }}": "an! 1",
        "{{ city | yesno: 'city', 'none' }} {% assign p = viewed | last %}{{ p.sku | capitalize }}": "none Desk",
        "{% comment %}x{% endcomment %}{{ city | default: first_name }}": "Anna",
    }  # fmt: skip
    for text, expected in cases.items():
        assert said_to(anna, text) == expected, text
    assert said_to(nobody, "Hi {{ first_name | default: 'there' }}, {{ order_count }} {{ total_spent }}") == (
        "Hi there, 0 0.00"
    )
    assert said_to(nobody, "{% if last_order %}x{% else %}none{% endif %}") == "none"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("{{ first_name }}", "first_name is missing"),
        ("{{ first_name | upcase }}", "first_name is missing"),
        ("{{ customer.last_name | truncate: 3 }}", "last_name is missing"),
        ("{{ birth_date | date }}", "birth_date is missing"),
        ("{{ last_order.total | money }}", "last_order.total is missing"),
        ("{{ attributes.tier }}", "attributes.tier is missing"),
        ("{{ viewed[0].name }}", "viewed[0].name is missing"),
        ("{{ viewed.first.name }}", "viewed[0].name is missing"),
        ("{{ last_order.number | append: 'x' }}", "last_order.number is missing"),
        ("{{ total_spent | plus: attributes.points }}", "attributes.points is missing"),
        ("{% for product in cart %}x{% endfor %}", "cart is empty"),
        ("{% assign n = first_name %}{{ n }}", "first_name is missing"),
        ("{% if city %}{% assign n = city %}{% endif %}{{ n }}", "n has no value here"),
        ("{{ coupon }}", "The campaign has no pool of codes"),
        ("{{ coupon_worth }}", "coupon_worth is missing"),
    ],
)
def test_a_missing_value_is_an_error_that_names_it(text: str, missing: str, nobody: Customer) -> None:
    assert missing in problems(nobody, text)
    assert wrong(text) == []
    with pytest.raises((MissingValue, NoCodeAvailable), match=re.escape(missing)):
        rendering.render(delivery(nobody, text=text), NOW)


def test_a_number_that_overflows_is_named(nobody: Customer) -> None:
    nobody.first_name = "1e1000000000"

    assert "is too large a number" in problems(nobody, "{{ first_name | plus: 1 }}")


def test_a_preview_names_every_part_with_a_missing_value(nobody: Customer) -> None:
    step = Step(subject="{{ city }}", text="{{ first_name }}", html="<p>{{ last_name }}</p>")

    found = rendering.preview(step, nobody, NOW).problems

    assert [problem.partition(" is")[0] for problem in found] == [
        "Subject: city", "Text: first_name", "HTML: last_name",
    ]  # fmt: skip
    assert len(rendering.preview(Step(subject="x", text="{{ city }}"), nobody, NOW).problems) == 1


@pytest.mark.parametrize("name", ["Buy at www.evil.example", "https://evil.example", "evil.example/x"])
def test_a_link_in_place_of_a_name_is_not_sent(name: str, nobody: Customer) -> None:
    nobody.first_name = name
    assert (
        said_to(nobody, "Hi {{ first_name | default: 'there' }} {{ name | default: 'you' }}")
        == "Hi there you"
    )


# -- The language


FORBIDDEN = (
    "{% load static %}",
    "{% include 'campaigns/messages/frame.html' %}",
    "{% render 'campaigns/messages/frame.html' %}",
    "{% extends 'x' %}",
    "{% raw %}{{ x }}{% endraw %}",
    "{% capture x %}y{% endcapture %}",
    "{% echo first_name %}",
    "{% liquid echo first_name %}",
    "{% increment x %}",
    "{% tablerow p in viewed %}x{% endtablerow %}",
    "{% break %}",
    "{{ first_name | safe }}",
    "{{ first_name | raw }}",
    "{{ first_name | url_decode }}",
    "{{ first_name | base64_decode }}",
    "{{ first_name | remove: ' ' }}",
    "{{ first_name | replace: ' ', '' }}",
    "{{ first_name | strip_html }}",
    "{{ first_name | escape_once }}",
    "{{ first_name | strip_newlines }}",
    "{{ viewed | map: 'name' }}",
    "{{ viewed | join }}",
    "{{ first_name | split: '' }}",
    "{{ first_name | truncate: 1, 2, 3 }}",
    "{{ first_name | truncate: 'x' }}",
    "{{ first_name | upcase: 1 }}",
    "{{ first_name | default: 'x', nothing: 1 }}",
    "{{ first_name | first }}",
    "{{ total_spent | divided_by: 0 }}",
    "{{ birth_date | date: '%09999999d' }}",
    "{{ birth_date | date: '%Q' }}",
    "{{ birth_date | date: '100 %' }}",
    "{{ customer.delete }}",
    "{{ customer.pk }}",
    "{{ first_name.upper }}",
    "{{ first_name.size }}",
    "{{ attributes.a.b }}",
    "{{ customer.__class__ }}",
    "{{ customer['__class__'] }}",
    "{{ customer[first_name] }}",
    "{{ [first_name] }}",
    "{{ attributes._x }}",
    "{{ attributes[0] }}",
    "{{ viewed.clear }}",
    "{{ viewed[0].name.upper }}",
    "{{ viewed }}",
    "{{ viewed.first }}",
    "{{ shop }}",
    "{{ cart | money }}",
    "{{ now }}",
    "{{ partial }}",
    "{{ frist_name | default: 'there' }}",
    "{% if frist_name %}x{% endif %}",
    "{% if first_name == frist_name %}x{% endif %}",
    "{% if first_name and (city or not frist_name) %}x{% endif %}",
    "{% if frist_name == blank %}x{% endif %}",
    "{% unless frist_name %}x{% endunless %}",
    "{% case first_name %}{% when frist_name %}x{% endcase %}",
    "{% case frist_name %}{% when 'x' %}x{% endcase %}",
    "{% for product in frist %}x{% else %}y{% endfor %}",
    "{% for letter in first_name %}x{% else %}y{% endfor %}",
    "{% for a, b in viewed %}x{% else %}y{% endfor %}",
    "{% for n in (1..1000000) %}x{% endfor %}",
    "{% for p in viewed limit: first_name %}x{% else %}y{% endfor %}",
    "{% for p in viewed limit: 0 %}x{% else %}y{% endfor %}",
    "{% for p in viewed offset: continue %}x{% else %}y{% endfor %}",
    "{{ forloop.index }}",
    "{% for p in viewed %}{{ forloop.parentloop }}{% else %}y{% endfor %}",
    "{{ first_name | default: shop }}",
    "{% assign first_name = 'x' %}",
    "{% assign x = frist_name %}",
    "{% assign x = viewed %}{{ x }}",
    "{{ product.name }}",
    "{{ settings.SECRET_KEY }}",
    "{{ first_name",
    "{{ first_name | default:",
    "{{ first_name | }}",
    "{{ }}",
    "{%  %}",
    "{% if first_name %}",
    "{% else %}",
    "{% endfor %}",
    "{% comment %}",
    "{% if first_name|upcase == 'X' %}x{% endif %}",
    "{% if not city and first_name %}x{% endif %}",
    "{% if first_name and not (city or name) or country %}x{% endif %}",
    "{% if not city == 'and' or first_name %}x{% endif %}",
    "{{" + " " * 600 + "first_name }}",
    "{% for a in viewed %}{% for b in viewed %}{% for c in viewed %}" + "{% else %}x{% endfor %}" * 3,
    "{% if first_name %}" * 200 + "{% endif %}" * 200,
    "{% if " + "not " * 300 + "first_name %}x{% endif %}",
    "x" * (MAX_TEMPLATE_LENGTH + 1),
)


def test_now_is_the_instant_of_sending_in_the_time_zone_of_the_shop(anna: Customer) -> None:
    before_midnight = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
    text = "{{ 'now' | date }}, {{ \"now\" | date: '%Y-%m-%d %H:%M' }}{% assign day = 'now' | date: '%d' %}, {{ day }}"
    for zone, expected in (
        ("UTC", "31 December 2026, 2026-12-31 23:30, 31"),
        ("Europe/Rome", "1 January 2027, 2027-01-01 00:30, 01"),
    ):
        with timezone.override(zone):
            message = rendering.preview(Step(subject="x", text=text), anna, before_midnight).message
            assert message
            assert message.text.startswith(expected)
            assert expected in message.html
    assert problems(anna, "{{ 'now' | date: '%Q' }}")
    assert said_to(anna, "{{ 'now' | date: context: 1 }}") == "now"


def test_a_template_can_read_only_its_variables(anna: Customer) -> None:
    for text in FORBIDDEN:
        assert wrong(text), text
        assert "unexpected liquid" not in str(wrong(text)), text
        assert wrong(html=text), text
        assert problems(anna, text), text
    with pytest.raises(InvalidTemplate):
        rendering.render(delivery(anna, text=FORBIDDEN[0]), NOW)


def test_errors_name_the_line_and_the_tag(anna: Customer) -> None:
    assert wrong("{{ frist_name }}", subject="{% load x %}") == [
        "Subject: Line 1: unexpected tag 'load'; there are if, unless, case, for, assign, comment.",
        "Text: There is no frist_name.",
    ]
    assert wrong("", html="") == ["Write the text of the e-mail."]
    assert wrong(subject="") == ["An e-mail needs a subject."]
    assert wrong(channel=Webhook.key) == ["Enter the URL that receives the message."]
    assert wrong("", channel=Audience.key, subject="") == []
    assert "is not a web address" in problems(anna, channel=OnSite.key, url="javascript:alert(1)")


COSTLY = {
    "long output": "{% for a in viewed %}{% for b in viewed %}"
    + "x" * 45_000
    + "{% endfor %}{% endfor %}" * 1,
    "a text that doubles": "{% assign a = 'xxxxxxxxxx' %}" + "{% assign a = a | append: a %}" * 50,
    "much text in names": "".join(
        f"{{% assign a{n} = attributes.note | append: attributes.note %}}" for n in range(900)
    ),
    "many values": "{% for a in viewed %}{% for b in viewed %}"
    + "{{city}}" * 5_000
    + "{% endfor %}{% endfor %}",
    "many tags": "{% if city %}{% endif %}" * 2_000,
    "many comments": "{% comment %}" + "{{ {{ {{ }}" * 4_000 + "{% endcomment %}",
    "raw in comments": "{% comment %}" + "{% raw %}" * 5_000 + "{% endcomment %}",
    "spaces": ("{{" + " " * 490 + "city }}") * 100,
    "a huge number": "{{ 999999999999999 | times: 999999999999999 }}",
    "a long number": "{{ " + "9" * 480 + " }}" * 1,
    "filters on long texts": "{% assign a = attributes.note | append: attributes.note | append: attributes.note %}"
    + "{% for b in viewed %}{% for c in viewed %}"
    + ("{% assign d = a" + " | title" * 40 + " %}") * 100
    + "{% endfor %}{% endfor %}",
}


@pytest.mark.parametrize("text", COSTLY.values(), ids=COSTLY)
def test_no_template_costs_much(text: str, anna: Customer) -> None:
    anna.attributes = {"note": "x" * 1_000}
    anna.city = "Bath"
    started = time.process_time()

    found = rendering.preview(Step(subject="x", text=text), anna, NOW)

    assert time.process_time() - started < 5
    assert found.problems or len(found.message.text.encode()) <= MAX_OUTPUT + 1_000  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "{% if attributes.note > 3 %}x{% endif %}",
        "{{ attributes.note | plus: 1 }}",
        "{{ attributes.note | round: 1 }}",
    ],
)
def test_a_value_of_another_kind_is_an_error_for_this_customer(text: str, anna: Customer) -> None:
    assert wrong(text) == []
    assert problems(anna, text)


def test_every_tag_filter_and_variable_is_documented() -> None:
    page = (email_layout.LAYOUT_DIR.parents[3] / "docs" / "content.md").read_text(encoding="utf-8")
    for name, meaning in (*FILTERS.items(), *TAGS.items()):
        assert f"| `{name}` | {meaning} |" in page
    for name, known in VARIABLES.items():
        help_text = known if isinstance(known, str) else known.help
        assert f"| `{name}` | {help_text}" in page or f"`{name}` {help_text}" in page, name
        for part, meaning in getattr(known, "parts", {}).items():
            assert f"`{part}` {meaning}" in page, part


# -- HTML and plain text


def test_values_are_escaped_only_in_html(anna: Customer) -> None:
    note = "Hi {{ attributes.note }}"
    step = Step(subject=note, text=note, html=f"<p>{note}</p>")
    message = rendering.preview(step, anna, NOW).message
    assert message
    assert message.subject == "Hi <b>best</b> & first"
    assert message.text.startswith("Hi <b>best</b> & first\n")
    assert "Hi &lt;b&gt;best&lt;/b&gt; &amp; first</p>" in message.html


def test_html_is_made_of_a_plain_text(anna: Customer) -> None:
    text = (
        "Hello {{ last_name }},\n\n{% if cart %}\nin your cart:\n\n{% for product in cart %}\n- {{ product.name }}: "
        "{{ product.url }}\n{% endfor %}\n{% endif %}\n\n{% if city %}\nnot this\n\n{% endif %}\n"
        "Come to https://shop.example/?x=1&y=2.\nA < B"
    )
    html = html_conversion.html_from_text(text)
    assert html.startswith("<p>Hello {{ last_name }},</p>\n<p>{% if cart %}\nin your cart:</p>")
    assert (
        '<a href="https://shop.example/?x=1&amp;y=2">https://shop.example/?x=1&amp;y=2</a>.<br>\nA &lt; B'
        in html
    )

    message = rendering.preview(Step(subject="x", text=text), anna, NOW).message
    assert message
    assert message.text.partition("\n\n--")[0] == (
        "Hello Müller,\n\nin your cart:\n\n- A <chair>: https://shop.example/chair?a=1&b=2\n\n"
        "Come to https://shop.example/?x=1&y=2.\nA < B"
    )  # fmt: skip
    assert (
        '- A &lt;chair&gt;: <a href="https://shop.example/chair?a=1&amp;b=2">'
        "https://shop.example/chair?a=1&amp;b=2</a><br>" in without_styles(message.html)
    )
    assert "not this" not in message.html


def test_a_plain_text_is_made_of_html(anna: Customer) -> None:
    html = (
        "<style>p {color: red}</style><h1>Hello\n  {{ last_name }}</h1><p>See <a href='{{ shop.url }}'>the  shop</a>,"
        "<br><b>now</b>.</p><ul>{% for p in viewed %}"
        '<li><a href="{{ p.url | default: shop.url }}">{{ p.name }}</a></li>'
        "{% else %}<li>none</li>{% endfor %}</ul>{% if city %}<p>not this</p>{% endif %}"
        "<p>Bye &amp; thanks</p><img src='x.png' alt=''>"
    )
    message = rendering.preview(Step(subject="x", html=html), anna, NOW).message
    assert message
    assert message.text.partition("\n\n--")[0] == (
        "Hello Müller\n\nSee the shop: https://shop.example/,\nnow.\n\n"
        "- A <chair>: https://shop.example/chair?a=1&b=2\n- A <desk>: https://shop.example/desk?a=1&b=2\n\n"
        "Bye & thanks"
    )


def test_an_email_ends_with_its_sender_and_an_unsubscribe_link(anna: Customer) -> None:
    sent = delivery(anna, text="Hello")
    message = rendering.render(sent, NOW)
    away = signed_links.unsubscribe_url(sent)
    assert message.text.endswith(
        "\n\n--\nLamps & more, 1 High Street, Bath\n\nYou get this e-mail because you subscribed to our newsletter. "
        f"Unsubscribe: {away}\n"
    )
    assert message.html.startswith("<!doctype html>")
    assert f'<a href="{away}"' in message.html
    assert "Lamps &amp; more, 1 High Street, Bath" in message.html

    own = '<html><body><p>{{ shop.name }}</p><a href="{{ unsubscribe_url }}">Stop</a></body></html>'
    whole = rendering.render(
        delivery(anna, sent.campaign, html=own),
        NOW,
    )
    assert whole.html.startswith("<html><body><p>Lamps &amp; more</p>")
    assert wrong(html="<html><body>Hi</body></html>") == [
        'HTML: a complete document needs an unsubscribe link: <a href="{{ unsubscribe_url }}">.'
    ]


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<iframe src='https://x'></iframe>",
        "<form action='https://x'><input name=a></form>",
        "<p onclick='x()'>a</p>",
        "<img src=x onerror=alert(1)>",
        "<a href=' javascript:alert(1)'>a</a>",
        "<a href={{ shop.url }}>a</a>",
        "<a {{ first_name }}>a</a>",
        "<style>p { color: {{ first_name }} }</style>",
        "<svg><a href='x'/></svg>",
        # Browsers, and not every parser, find these:
        "<!--> <script>alert(1)</script> -->",
        "<!-- --!> <script>alert(1)</script> -->",
        "<![CDATA[ > <script>alert(1)</script> ]]>",
        "<xmp><!-- </xmp><script>alert(1)</script> --></xmp>",
        "<title><!-- </title><script>alert(1)</script> --></title>",
        "<style></style x><script>alert(1)</script></style>",
        "<style></style x><body onload='alert(1)'></style>",
        "<noscript>a</noscript>",
        "<a href='java\tscript:alert(1)'>a</a>",
        "<area href='java&#10;script:alert(1)'>",
        "<table background='javascript:alert(1)'></table>",
        "<meta http-equiv='Refresh' content='0;url=https://x.example'>",
        "<{{ first_name }}>a",
        "<a{{ first_name }} href='x'>a</a>",
        "{{ '<script>alert(1)</script>' }}",
        '<p>{{ city | default: "<img src=x onerror=alert(1)>" }}</p>',
    ],
)
def test_unsafe_html_is_refused(html: str) -> None:
    assert [problem for problem in wrong(html=html) if problem.startswith("HTML: ")]


@pytest.mark.parametrize(
    "html",
    [
        "<!--[if mso]><table><tr><td><![endif]--><p>a</p><!--[if mso]></td></tr></table><![endif]-->",
        "<!--[if !mso]><!--><p>a</p><!--<![endif]-->",
        "<![if !mso]><p>a</p><![endif]>",
        '<p title="{{ first_name }}">5 &lt; 6 and {{ order_count }} < 7</p>',
        '<img src="{{ shop.logo | default: shop.url }}" alt="on: data: javascript: a">',
        "<!-- a comment -- with dashes --><style>p { color: red }</style>",
    ],
)
def test_safe_html_is_accepted(html: str) -> None:
    assert wrong(html=html) == []


def test_a_text_in_quotes_is_escaped_as_values_are(anna: Customer) -> None:
    html = """<p title="{{ city | default: 'a" onclick="b' }}">{{ first_name | append: " & <3" }}</p>"""
    message = rendering.preview(
        Step(channel=OnSite.key, subject="{{ city | default: 'a & b' }}", html=html), anna, NOW
    ).message
    assert message
    assert message.html == '<p title="a&#34; onclick=&#34;b">Anna &amp; &lt;3</p>'
    assert message.subject == "a & b"


def test_a_link_from_a_value_leads_to_a_page_or_nowhere(anna: Customer) -> None:
    anna.attributes = {"page": "javascript:alert(1)", "quote": '"><script>alert(1)</script>'}
    html = '<p><a href="{{ attributes.page }}">a</a> <a href="https://x.example/{{ attributes.quote }}">b</a></p>'
    message = rendering.preview(Step(channel=OnSite.key, subject="Hello", html=html), anna, NOW).message
    assert message
    assert '<a href="#">a</a>' in message.html
    assert "<script" not in message.html
    assert message.html.count('"') == 4


# -- Links


def test_links_are_tracked_in_html_and_in_plain_text(anna: Customer, client: Client) -> None:
    html = '<p><a class="x" href="https://shop.example/a?x=1&amp;y=2">A</a> <a href=\'mailto:a@shop.example\'>m</a></p>'
    sent = delivery(anna, text="Look (https://shop.example/a?x=1&y=2), please.", html=html)
    message = rendering.render(sent, NOW)

    [in_text] = re.findall(r"https://crm\.example/go/[^\s)]+", message.text)
    in_html = [unescape(link) for link in re.findall(r'href="(https://crm\.example/go/[^"]+)"', message.html)]
    assert in_text in in_html
    assert len(in_html) == 2  # the one in the frame leads to the shop
    assert signed_links.verify_click(in_text.partition("/go/")[2]).url == "https://shop.example/a?x=1&y=2"
    assert '<a href="mailto:a@shop.example">m</a>' in without_styles(message.html)
    assert f"({in_text}), please." in message.text

    shown = delivery(
        anna,
        sent.campaign,
        channel=OnSite.key,
        text="Hi",
        url="{{ cart[0].url }}",
    )
    page = rendering.render(shown, NOW)
    assert (
        signed_links.verify_click(page.url.partition("/go/")[2]).url == "https://shop.example/chair?a=1&b=2"
    )
    assert (page.html, page.text) == ("<p>Hi</p>", "Hi\n")

    address = "https://x.example/hook?c="
    body = '{"to": "https://x.example/"}'
    hook = {"channel": Webhook.key, "text": body, "url": address + "{{ first_name | url_encode }}"}
    called = rendering.render(delivery(anna, sent.campaign, **hook), NOW)
    assert called == OutgoingMessage("Hello", f"{body}\n", "", f"{address}Anna")


# -- Coupons


def test_a_coupon_is_given_once_and_previews_use_none(anna: Customer, nobody: Customer) -> None:
    pool = coupon_pool.save_pool(CouponPool(name="First", description="10 % off"))
    pool_codes.generate_codes(pool, 1, 8, Random(1))
    of = campaign(pool)
    sent = delivery(anna, of, text="{{ coupon }}: {{ coupon_worth }}")

    shown = rendering.preview(sent.step, anna, NOW).message
    assert shown
    assert shown.text.startswith("EXAMPLE-CODE: 10 % off\n")
    assert said_to(anna, "{{ coupon }}", campaign=of) == "EXAMPLE-CODE"
    chosen = rendering.preview(sent.step, anna, NOW, coupon="CHOSEN").message
    assert chosen
    assert chosen.text.startswith("CHOSEN")
    assert not Coupon.objects.filter(given_at__isnull=False).exists()

    first, again = rendering.render(sent, NOW), rendering.render(sent, NOW)
    assert first == again
    code = Coupon.objects.get().code
    assert first.text.startswith(f"{code}: 10 % off\n")
    assert said_to(anna, "{{ coupon }}", campaign=of) == code
    assert "No code is left" in problems(nobody, "{{ coupon }}", campaign=of)


# -- What it costs


def test_a_plain_message_needs_no_query_of_its_own(anna: Customer, django_assert_num_queries) -> None:
    sent = delivery(anna, text="Hello {{ first_name | default: 'there' }}, {{ shop.name }}")
    rendering.render(sent, NOW)
    with django_assert_num_queries(0):
        rendering.render(sent, NOW)
    with django_assert_num_queries(11):
        rendering.preview(
            Step(subject="x", text="{{ recommended | size }} {{ viewed | size }} {{ bought | size }}"),
            anna,
            NOW,
        )
