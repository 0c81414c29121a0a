"""Laws for every channel. A text message channel stands for future ones."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from html import escape
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from campaigns import lifecycle
from campaigns.admin import texts
from campaigns.channels import registry
from campaigns.channels.base import Channel, Consent, Part, PartKind
from campaigns.channels.registry import CHANNELS, sending_channels
from campaigns.journeys import forecasts
from campaigns.messages import rendering
from campaigns.models import Campaign, Delivery, Step
from customers.consent import suppression
from customers.identity import lookup
from customers.models import Customer
from customers.privacy import personal_data
from segments.models import Segment
from tests.support import campaign_runs, shop
from tests.support.campaign_runs import BUYERS, Move, order
from tests.support.shop import NOON, days
from tests.support.sms_channel import Sms
from tests.support.webhook_receiver import Receiver
from tests.test_audit_log import Staff

pytestmark = pytest.mark.django_db

NOW, HOUR = timedelta(), timedelta(hours=1)

EXCEPTIONS = {
    "needs no consent": {"on_site", "webhook"},
    "needs no address": {"on_site", "webhook", "audience"},
    "ignores suppressions": {"on_site", "webhook"},
    "does not count towards the cap": {"on_site", "webhook"},
    "keeps no quiet hours": {"on_site"},
    "does not pause": set(),
    "sends nothing": {"audience"},
}
"""The channels that are allowed an exception. A channel that takes one has to be added here."""


@pytest.fixture(params=[*sending_channels(), Sms], ids=lambda one: one.key)
def channel(request: pytest.FixtureRequest) -> Iterator[type[Channel]]:
    """Each channel, and one that the test registers as a developer would."""
    made: type[Channel] = request.param
    is_new = made.key not in CHANNELS
    registry.register(made)
    yield made
    if is_new:
        registry.unregister(made)
        Sms.sent.clear()


@pytest.fixture
def sms() -> Iterator[type[Sms]]:
    registry.register(Sms)
    yield Sms
    registry.unregister(Sms)
    Sms.sent.clear()


@pytest.fixture
def move(db: None) -> Iterator[Move]:
    with campaign_runs.clock() as move:
        yield move


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """A server that receives webhooks, and the requests of the channel in CONTRIBUTING.md."""
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    with Receiver("127.0.0.1").listening() as receiver:
        settings.SMS_GATEWAY_URL = receiver.url
        yield receiver


@pytest.fixture
def url(receiver: Receiver) -> str:
    """The address of webhooks and links."""
    return receiver.url


@pytest.fixture
def buyers(move: Move) -> Segment:
    segment = shop.segment("buyers", BUYERS)
    move(NOON - HOUR)
    return segment


def customer(name: str, *, phone: str = "", newsletter: str = "subscribed", email: str | None = None) -> None:
    email = f"{name}@example.org" if email is None else email
    shop.customers(f"{name},{email},{phone},{newsletter}", header="customer_id,email,phone,newsletter")


def everybody() -> None:
    """Every channel can reach anna. Each of the others lacks one thing, and gina shares anna's addresses."""
    customer("anna", phone="+4917012345671")
    customer("ben", phone="+4917012345672", newsletter="")
    customer("cleo", phone="+4917012345673")
    customer("dora", email="")
    customer("gina", phone="+4917012345671", email="anna@example.org")
    suppression.suppress("cleo@example.org", NOON, reason=suppression.Reason.BOUNCED, source="mail server")


def reached_by(channel: type[Channel]) -> list[str]:
    """Return the customers of `everybody` that a channel can reach, as it declares."""
    lacking = {
        "ben": channel.consent is not Consent.NOT_NEEDED,
        "cleo": channel.obeys_suppressions,
        "dora": channel.address is not None,
        "gina": channel.address is not None,
    }
    return ["anna", *(name for name, lacks in lacking.items() if not lacks)]


def step_of(channel: type[Channel], page: str, wait: timedelta = NOW, **parts: str) -> Step:
    """A step with a text in each part."""
    written = {
        PartKind.LINE: "Hello",
        PartKind.TEXT: "In words",
        PartKind.HTML: "<p>In HTML</p>",
        PartKind.URL: page,
    }
    step = Step(channel=channel.key, wait=wait)
    for part in channel.parts:
        setattr(step, part.name, parts.get(part.name, written[part.kind]))
    return step


def start(segment: Segment, step: Step, name: str = "Sale", **policy: Any) -> Campaign:
    campaign = lifecycle.save_campaign(Campaign(segment=segment, name=name, **policy), [step])
    lifecycle.start(campaign, NOON - HOUR)
    return campaign


def got_it() -> list[str]:
    """Return who got a message, sorted by name, and twice for two messages."""
    sent = Delivery.objects.filter(state__in=("sent", "written"))
    return sorted(sent.values_list("customer__customer_id", flat=True))


# -- Restraint


def test_customers_without_consent_without_an_address_or_suppressed_get_nothing(
    channel: type[Channel], buyers: Segment, url: str, move: Move
) -> None:
    everybody()
    start(buyers, step_of(channel, url))
    for name in ("anna", "ben", "cleo", "dora", "gina"):
        order(name, NOON)
    move(NOON)

    assert got_it() == reached_by(channel)
    assert Delivery.objects.filter(state="held_back").count() == 5 - len(reached_by(channel))


def test_a_dry_run_names_the_customers_who_get_the_message(
    channel: type[Channel], buyers: Segment, url: str, move: Move
) -> None:
    everybody()
    for name in ("anna", "ben", "cleo", "dora", "gina"):
        order(name, NOON - days(1))
    move(NOON - HOUR)
    campaign = start(buyers, step_of(channel, url), trigger="at", starts_at=NOON)
    tried = forecasts.dry_run(campaign, NOON)

    move(NOON)

    assert tried.would_get == len(got_it()) == len(reached_by(channel))


def test_a_week_has_no_more_messages_than_the_frequency_cap(
    channel: type[Channel], buyers: Segment, url: str, move: Move, settings: Any
) -> None:
    settings.CAMPAIGN_MESSAGES_A_WEEK = 1
    customer("anna", phone="+4917012345671")
    for name in ("Sale", "News"):
        start(buyers, step_of(channel, url), name)
    order("anna", NOON)
    move(NOON)

    assert got_it() == ["anna"] * (1 if channel.counts_towards_cap else 2)


def test_the_cap_holds_for_customers_without_an_e_mail_address(
    sms: type[Sms], buyers: Segment, url: str, move: Move, settings: Any
) -> None:
    settings.CAMPAIGN_MESSAGES_A_WEEK = 1
    for number, name in enumerate(("anna", "ben")):
        customer(name, phone=f"+491701234567{number}", email="")
    for name in ("Sale", "News"):
        start(buyers, step_of(sms, url), name)
    for name in ("anna", "ben"):
        order(name, NOON)
    move(NOON)

    assert got_it() == ["anna", "ben"]
    assert sms.sent == [("+4917012345670", "In words"), ("+4917012345671", "In words")]


def test_the_cap_counts_the_messages_of_all_channels(
    sms: type[Sms], buyers: Segment, url: str, move: Move, settings: Any
) -> None:
    settings.CAMPAIGN_MESSAGES_A_WEEK = 1
    customer("anna", phone="+4917012345671")
    for made in (sms, CHANNELS["email"]):
        start(buyers, step_of(made, url), made.key)
    order("anna", NOON)
    move(NOON)

    assert got_it() == ["anna"]


def test_nothing_is_sent_in_quiet_hours(
    channel: type[Channel], buyers: Segment, url: str, move: Move
) -> None:
    customer("anna", phone="+4917012345671")
    start(buyers, step_of(channel, url), quiet_from=time(11), quiet_until=time(13))
    order("anna", NOON)

    move(NOON)
    assert got_it() == ([] if channel.keeps_quiet_hours else ["anna"])
    move(NOON + HOUR)
    assert got_it() == ["anna"]


def test_customers_who_were_erased_left_or_ordered_get_nothing(
    channel: type[Channel], buyers: Segment, url: str, move: Move
) -> None:
    for number, name in enumerate(("anna", "ben", "cleo", "dora")):
        customer(name, phone=f"+491701234567{number}")
    start(buyers, step_of(channel, url, HOUR), ends_with_order=True)
    for name in ("anna", "ben", "cleo", "dora"):
        order(name, NOON)
    move(NOON)
    erased = lookup.find_customer("ben")
    assert erased
    personal_data.erase_customer(erased, NOON)
    order("cleo", NOON, status="cancelled")
    order("dora", NOON + HOUR / 2)

    move(NOON + HOUR)

    assert got_it() == ["anna"]


def test_the_documented_channel_is_complete_and_restrained(
    receiver: Receiver, buyers: Segment, move: Move, settings: Any
) -> None:
    settings.CAMPAIGN_MESSAGES_A_WEEK = 1
    page = (settings.BASE_DIR / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page.partition("## Add a channel\n")[2].partition("\n## ")[0]
    [code] = re.findall("```python\n(.*?)```", section, re.DOTALL)
    own = CHANNELS.pop("sms", None)  # of an installation that has added it
    exec(code, {"__name__": "campaigns.channels.sms", "__package__": "campaigns.channels"})
    sms = CHANNELS["sms"]
    try:
        everybody()
        for name in ("Sale", "News"):
            start(buyers, step_of(sms, receiver.url), name)
        for name in ("anna", "ben", "cleo", "dora", "gina"):
            order(name, NOON)
        move(NOON)
    finally:
        registry.unregister(sms)
        if own:
            registry.register(own)

    assert got_it() == ["anna"]
    [sent] = [json.loads(one.body) for one in receiver.received]
    assert (sent["to"], sent["text"]) == ("+4917012345671", "In words")


# -- What staff write and see


@pytest.fixture
def staff() -> Staff:
    return Staff("anna")


def draft(channel: type[Channel], url: str) -> Campaign:
    customer("anna", phone="+4917012345671")
    segment = shop.segment("everybody", {"first_seen": {"ever": True}})
    return lifecycle.save_campaign(Campaign(segment=segment, name="Sale"), [step_of(channel, url)])


def page(staff: Staff, view: str, campaign: Campaign, **query: Any) -> str:
    response = staff.client.get(reverse(f"admin:campaigns_campaign_{view}", args=[campaign.pk]), query)
    assert response.status_code == 200
    return str(response.content.decode())


def test_a_preview_shows_every_part(channel: type[Channel], url: str, staff: Staff) -> None:
    campaign = draft(channel, url)
    anna = Customer.objects.get(customer_id="anna")

    shown = page(staff, "preview", campaign, customer=anna.pk)
    message = rendering.preview(campaign.steps.get(), anna, datetime.now(NOON.tzinfo)).message

    assert message
    for part in channel.parts:
        value = getattr(message, part.name)
        assert value
        # In the text of an element, quotes may stay as they are.
        assert escape(value) in shown or escape(value, quote=False) in shown


def test_each_part_is_checked_for_the_template_language(channel: type[Channel], url: str) -> None:
    for part in channel.parts:
        for wrong in ("{{ nothing_such }}", "{% load x %}", "{{ first_name", "x" * (part.max_length + 1)):
            found = rendering.step_problems(step_of(channel, url, NOW, **{part.name: wrong}))
            assert [problem.part for problem in found] == [part.name], (part.name, wrong)
    assert rendering.problem_texts(step_of(channel, url)) == []


def test_the_form_offers_the_channel_and_refuses_empty_parts_that_it_requires(
    channel: type[Channel], url: str, staff: Staff
) -> None:
    campaign = draft(channel, url)
    assert f'<option value="{channel.key}"' in page(staff, "edit", campaign)
    sent = {"name": "Sale", "trigger": "enters", "repeats_every_unit": "day", "reentry_after_unit": "day"}
    sent |= {"steps-TOTAL_FORMS": "1", "steps-INITIAL_FORMS": "1", "steps-0-channel": channel.key}
    sent |= {"steps-0-wait_number": "0", "steps-0-wait_unit": "hour", "steps-0-ORDER": "1"}

    response = staff.client.post(reverse("admin:campaigns_campaign_edit", args=[campaign.pk]), sent)

    required = [part.required for part in channel.parts if part.required]
    assert required
    for sentence in required:
        assert sentence in response.content.decode()


def test_the_sentence_of_a_campaign_names_the_channel(channel: type[Channel], url: str) -> None:
    campaign = draft(channel, url)

    said = texts.campaign_sentence(campaign, list(campaign.steps.all()))

    assert f": {channel.noun} immediately." in said
    for sentence in (
        channel.unreachable_reason(),
        *(part.required for part in channel.parts if part.required),
    ):
        assert re.fullmatch(r"[A-Z][^.]*\.", sentence)


# -- What a channel declares


def test_only_listed_channels_have_exceptions() -> None:
    taken = {
        "needs no consent": lambda one: one.consent is Consent.NOT_NEEDED,
        "needs no address": lambda one: one.address is None,
        "ignores suppressions": lambda one: not one.obeys_suppressions,
        "does not count towards the cap": lambda one: not one.counts_towards_cap,
        "keeps no quiet hours": lambda one: not one.keeps_quiet_hours,
        "does not pause": lambda one: not one.pauses_when_refused,
        "sends nothing": lambda one: not one.sends_messages,
    }

    assert {
        exception: {key for key, one in CHANNELS.items() if takes(one)} for exception, takes in taken.items()
    } == EXCEPTIONS


def test_a_campaign_needs_a_step_that_sends_messages(url: str) -> None:
    segment = shop.segment("everybody", {"first_seen": {"ever": True}})
    for key in registry.keys_without_messages():
        campaign = lifecycle.save_campaign(Campaign(segment=segment, name="Sale"), [Step(channel=key)])
        with pytest.raises(lifecycle.CampaignError, match="sends no messages"):
            lifecycle.start(campaign, NOON)


def test_a_step_of_an_unknown_channel_is_refused() -> None:
    assert rendering.problem_texts(Step(channel="pigeon", text="Coo")) == [rendering.NO_CHANNEL]


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"key": "email"}, "taken by Email"),
        ({"key": "A fax"}, "lower-case"),
        ({"key": "x" * 21}, "at most 20"),
        ({"noun": "fax"}, "article"),
        ({"parts": (Part("text", "Text"),)}, "has to be required"),
        ({"parts": (Part("body", "Text", required="Write it."),)}, "some of subject"),
        ({"parts": (Part("text", "Text", required="Write it.", alternative="html"),)}, "alternative"),
        ({"reached_at": "clicked_at"}, "reached_at"),
        ({"send": Channel.send, "__abstractmethods__": frozenset({"send"})}, "implement send"),
    ],
)
def test_an_incomplete_declaration_is_refused(declared: dict[str, Any], problem: str) -> None:
    fax = type("Fax", (Sms,), {"key": "fax", **declared})
    with pytest.raises(ImproperlyConfigured, match=problem):
        registry.register(fax)
    assert "fax" not in CHANNELS


@pytest.mark.parametrize("name", ["key", "noun", "parts", "address"])
def test_a_missing_declaration_is_refused(name: str) -> None:
    declared = {"key": "fax", "noun": "a fax", "parts": Sms.parts, "address": None, "send": Sms.send}
    del declared[name]

    with pytest.raises(ImproperlyConfigured, match=f"declare {name}"):
        registry.register(type("Fax", (Channel,), declared))
