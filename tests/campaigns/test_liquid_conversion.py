"""Stored messages of earlier versions, in Django's template language, become Liquid that says the same."""

import importlib
from typing import Any

import pytest
from django.apps import apps
from django.core import mail
from django.db import connection
from django.template import Context, Engine
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns import lifecycle
from campaigns.channels.email import Email
from campaigns.messages import rendering, template_language
from campaigns.messages.variable_types import ListValue, Missing
from campaigns.messages.variables import VARIABLES
from campaigns.migrations._django_to_liquid import NotConvertible, convert_template
from campaigns.models import Campaign, Delivery, Step
from campaigns.playbook.tactic import hours
from tests.support import shop
from tests.support.campaign_runs import BUYERS, Move, order, subscribers
from tests.support.shop import NOON
from tests.test_audit_log import Staff

CONVERTED = {
    "Hello": "Hello",
    "{{first_name}} {{ customer.last_name }}": "{{ first_name }} {{ customer.last_name }}",
    "{{ first_name|default:'there' }}": '{{ first_name | default: "there" }}',
    '{{ first_name | default:"there"|upper }}': '{{ first_name | default: "there" | upcase }}',
    r'{{ city|default:"the \"old\" town" }}': "{{ city | default: 'the \"old\" town' }}",
    '{{ city|default:_("there") }} {{ product.url|default:shop.url }}':
        '{{ city | default: "there" }} {{ product.url | default: shop.url }}',
    "{{ total_spent|amount }} {{ total_spent|amount:'USD' }}":
        '{{ total_spent | money }} {{ total_spent | money: "USD" }}',
    "{{ birth_date|date }} {{ birth_date|date:'j. n. Y' }} {{ birth_date }}":
        '{{ birth_date | date }} {{ birth_date | date: "%-d. %-m. %Y" }} {{ birth_date | date: "%B %-d, %Y" }}',
    r"{{ last_order.date|date:'l \a\t H:i, 100%' }}": '{{ last_order.date | date: "%A at %H:%M, 100%%" }}',
    "{{ name|truncatechars:9 }} {{ name|truncatewords:'2' }}":
        '{{ name | truncate: 9, "…" }} {{ name | truncatewords: 2, " …" }}',
    "{{ viewed.0.name }} {{ viewed|length }} {{ name|slice:'1:3' }}":
        "{{ viewed[0].name }} {{ viewed | size }} {{ name | slice: 1, 2 }}",
    "order{{ order_count|pluralize }} part{{ order_count|pluralize:'y,ies' }}":
        'order{{ order_count | pluralize: "", "s" }} part{{ order_count | pluralize: "y", "ies" }}',
    "{{ city|yesno:'yes,no' }} {{ city|yesno:'yes,no,maybe' }}":
        '{{ city | yesno: "yes", "no" }} {{ city | yesno: "yes", "no" }}',
    "{{ name|lower|title|capfirst|urlencode|linebreaksbr }}":
        "{{ name | downcase | title | capfirst | url_encode | newline_to_br }}",
    "{% if first_name %}a{% elif city == 'Bath' %}b{% else %}c{% endif %}":
        '{% if first_name %}a{% elsif city == "Bath" %}b{% else %}c{% endif %}',
    "{% if name and city or not cart and 'x' in name %}x{% endif %}":
        '{% if (name and city) or ((not cart) and name contains "x") %}x{% endif %}',
    "{% if name and city or email %}x{% endif %}": "{% if (name and city) or email %}x{% endif %}",
    "{% if not order_count %}a{% endif %}{% if attributes.points %}b{% endif %}":
        "{% if not (order_count and order_count != 0) %}a{% endif %}"
        "{% if (attributes.points and attributes.points != 0) %}b{% endif %}",
    "{% if viewed|length > 2 and viewed.0 is not None %}x{% endif %}":
        "{% if viewed.size > 2 and viewed[0] != nil %}x{% endif %}",
    "{% if 'a' not in name and attributes.vip is True %}x{% endif %}":
        '{% if (not (name contains "a")) and attributes.vip == true %}x{% endif %}',
    "{% for p in viewed|slice:':3' %}{{ forloop.counter }}{{ forloop.counter0 }}{% empty %}-{% endfor %}":
        "{% for p in viewed limit: 3 %}{{ forloop.index }}{{ forloop.index0 }}{% else %}-{% endfor %}",
    "{% for p in viewed|slice:'1:' %}x{% endfor %}{% for p in cart reversed %}x{% endfor %}":
        "{% for p in viewed offset: 1 %}x{% endfor %}{% for p in cart reversed %}x{% endfor %}",
    "{% with n=first_name m='x' %}{{ n }}{{ m }}{% endwith %}":
        '{% assign n = first_name %}{% assign m = "x" %}{{ n }}{{ m }}',
    "{% with first_name as name %}{{ name }}{% endwith %}{{ name }}":
        "{% assign name_2 = first_name %}{{ name_2 }}{{ name }}",
    "{% with n=name %}{{ n }}{% endwith %}{% with n=city %}{{ n }}{% endwith %}":
        "{% assign n = name %}{{ n }}{% assign n_2 = city %}{{ n_2 }}",
    "{% if viewed|length %}a{% endif %}{% if 0 or '' or 1 %}b{% endif %}":
        "{% if (viewed.size and viewed.size != 0) %}a{% endif %}{% if false or false or 1 %}b{% endif %}",
    "{% with n=order_count m=cart|length %}{% if n or m %}{{ n }}{% endif %}{% endwith %}":
        "{% assign n = order_count %}{% assign m = cart | size %}"
        "{% if ((n and n != 0)) or ((m and m != 0)) %}{{ n }}{% endif %}",
    "{% with d=birth_date %}{{ d }}{% endwith %}{{ birth_date|default:'never' }}":
        '{% assign d = birth_date %}{{ d | date: "%B %-d, %Y" }}'
        '{{ birth_date | default: "never" | date: "%B %-d, %Y" }}',
    "{{ birth_date|date:'' }} {{ birth_date|date:'DATE_FORMAT' }}":
        '{{ birth_date | date: "%B %-d, %Y" }} {{ birth_date | date: "%B %-d, %Y" }}',
    "{% if country not in 'DE AT' %}x{% endif %}":
        '{% if (country and (not ("DE AT" contains country))) %}x{% endif %}',
    "{# note #}{% comment 'x' %}{{ y }} {% if %}{% endcomment %}":
        "{% comment %} note {% endcomment %}{% comment %} y   if {% endcomment %}",
}  # fmt: skip

NOT_CONVERTED = (
    "{% load x %}",
    "{% if name|upper == 'X' %}x{% endif %}",
    "{{ name|slice:'::2' }}",
    "{{ name|slice:'-3:' }}",
    "{{ birth_date|date:'jS F' }}",
    "{{ birth_date|date:'TIME_FORMAT' }}",
    "{% if name|length > 3 %}x{% endif %}",
    "{{ name|safe }}",
    "{{ name|truncatechars:order_count }}",
    "{% for p in viewed|slice:':3' reversed %}x{% endfor %}",
    """{{ name|default:"both \\" and '" }}""",
    "{% if name %}",
)


@pytest.mark.django_db
@pytest.mark.parametrize(("source", "liquid"), CONVERTED.items())
def test_each_construct_is_converted_to_valid_liquid(source: str, liquid: str) -> None:
    converted = convert_template(source)

    assert converted == liquid
    inside = converted if "product" not in source else f"{{% for product in cart %}}{converted}{{% endfor %}}"
    assert rendering.problem_texts(Step(channel=Email.key, subject="x", text=inside)) == []


@pytest.mark.parametrize("source", NOT_CONVERTED)
def test_what_cannot_be_converted_is_named(source: str) -> None:
    with pytest.raises(NotConvertible) as problem:
        convert_template(source)
    assert str(problem.value)


DJANGO = Engine()
CONDITIONS = st.recursive(
    st.sampled_from(
        [
            "name",
            "city",
            "cart",
            "cart|length",
            "0",
            "city not in 'Bath, Rome'",
            "order_count",
            "order_count > 1",
            "city == 'Bath'",
            "'a' in name",
            "name != 'Anna'",
        ]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join), inner.map("not {}".format)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    condition=CONDITIONS,
    name=st.sampled_from(["", "Anna"]),
    city=st.sampled_from(["", "Bath", "Anna"]),
    order_count=st.integers(0, 2),
    products=st.integers(0, 2),
)
def test_a_converted_condition_is_true_when_it_was(
    condition: str, name: str, city: str, order_count: int, products: int
) -> None:
    source = f"{{% if {condition} %}}yes{{% else %}}no{{% endif %}}"
    values: dict[str, Any] = {
        "name": name or Missing("name"),
        "city": city or Missing("city"),
        "order_count": order_count,
        "cart": ListValue("cart", [{"name": "A lamp"}] * products),
    }
    before = DJANGO.from_string(source).render(Context(values))

    compiled = template_language.compile_template(convert_template(source), VARIABLES, as_html=False)

    assert compiled.render(values) == before


@pytest.mark.django_db
def test_stored_messages_are_converted_or_kept_with_the_reason() -> None:
    segment = shop.segment("known", {"known": {"is": True}})
    campaign = Campaign.objects.create(name="News", segment=segment)
    good = Step.objects.create(
        campaign=campaign, number=1, subject="{{ first_name|default:'Hello' }}", text="Hi {{ name|upper }}",
        html="<p>{{ name|upper }}</p>", url="{{ shop.url }}",
    )  # fmt: skip
    bad = Step.objects.create(
        campaign=campaign, number=2, subject="Hi {{name}}", text="{{ birth_date|date:'jS F' }}"
    )
    long = Step.objects.create(campaign=campaign, number=3, subject="{{name|upper}}" * 14, text="Hi")

    importlib.import_module("campaigns.migrations.0003_messages_in_liquid").convert_steps(apps, connection)

    good.refresh_from_db()
    bad.refresh_from_db()
    long.refresh_from_db()
    assert (good.subject, good.text, good.html, good.url, good.not_converted) == (
        '{{ first_name | default: "Hello" }}', "Hi {{ name | upcase }}", "<p>{{ name | upcase }}</p>",
        "{{ shop.url }}", "",
    )  # fmt: skip
    assert rendering.problem_texts(good) == []
    assert (bad.subject, bad.text, bad.not_converted) == (
        "Hi {{name}}", "{{ birth_date|date:'jS F' }}", "birth_date|date:'jS F'",
    )  # fmt: skip
    assert "birth_date|date:'jS F' could not be converted" in rendering.problem_texts(bad)[0]
    assert "more than 200 characters" in long.not_converted


@pytest.mark.django_db
def test_a_message_stays_marked_until_its_own_text_is_edited() -> None:
    campaign = lifecycle.save_campaign(
        Campaign(segment=shop.segment("buyers", BUYERS), name="News"),
        [Step(subject="One", text="{{ name | slice: '2' }}\n"), Step(subject="Two", text="Hi")],
    )
    campaign.steps.filter(number=1).update(not_converted="name|slice:'2'")
    unchanged = Step(subject="One", text="{{ name | slice: '2' }}\r\n")

    lifecycle.save_campaign(campaign, [Step(subject="Two", text="Hello"), unchanged])
    assert list(campaign.steps.values_list("subject", "not_converted")) == [
        ("Two", ""),
        ("One", "name|slice:'2'"),
    ]

    edited = Step(subject="One", text="{{ name | slice: 2 }}")
    lifecycle.save_campaign(campaign, [Step(subject="Two", text="Hello"), edited])
    assert set(campaign.steps.values_list("not_converted", flat=True)) == {""}


@pytest.mark.django_db
def test_a_message_that_was_not_converted_is_not_sent_until_somebody_edits_it(move: Move) -> None:
    subscribers("anna", "ben")
    segment = shop.segment("buyers", BUYERS)
    campaign = lifecycle.save_campaign(
        Campaign(segment=segment, name="News"), [Step(subject="News", text="Hi")]
    )
    move(NOON)
    lifecycle.start(campaign, NOON)
    campaign.steps.update(text="{{ name|slice:'::2' }}", not_converted="name|slice:'::2'")
    staff = Staff("olga")
    order("anna", NOON)
    move(NOON + hours(1))

    overview = staff.client.get(
        reverse("admin:campaigns_campaign_change", args=[campaign.pk])
    ).content.decode()
    assert "Some messages of this campaign are not sent" in overview
    assert "name|slice:&#x27;::2&#x27; could not be converted to Liquid" in overview
    assert mail.outbox == []
    assert Delivery.objects.get().state == "failed"

    lifecycle.save_campaign(campaign, [Step(subject="News", text="Hi {{ name | default: 'there' }}")])
    order("ben", NOON + hours(2))
    move(NOON + hours(3))

    assert [message.body.partition("\n")[0] for message in mail.outbox] == ["Hi there"]
    overview = staff.client.get(
        reverse("admin:campaigns_campaign_change", args=[campaign.pk])
    ).content.decode()
    assert "Some messages of this campaign are not sent" not in overview
