"""Campaigns in the admin: creating, editing, previewing, starting and following them."""

import re
from datetime import UTC, date, datetime, time, timedelta
from html import unescape
from typing import Any

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from campaigns.channels.audience import Audience
from campaigns.coupons import coupon_pool
from campaigns.delivery import sender
from campaigns.journeys import progress, triggers
from campaigns.models import AudienceExport, Campaign, CouponPool, Step
from campaigns.playbook import catalogue
from customers.facts import update
from customers.models import Customer
from segments import fixed_lists, segment_store
from segments.models import Segment
from segments.refresh.engine import refresh_segments
from segments.templates import TEMPLATES
from tests.support.shop import customers
from tests.test_audit_log import Staff

pytestmark = pytest.mark.django_db

ROWS = (
    "c1,anna@example.org,Anna,subscribed",
    "c2,bert@example.org,Bert,subscribed",
    "c3,cleo@example.org,Cleo,never",
)


@pytest.fixture
def anna() -> Staff:
    staff = Staff("anna")
    staff.user.email = "anna@shop.example"
    staff.user.save()
    return staff


@pytest.fixture
def leads() -> Segment:
    """Three customers without orders, two of them subscribers."""
    customers(*ROWS, header="customer_id,email,first_name,newsletter")
    update.update_facts()
    segment = segment_store.create_from_template(TEMPLATES["lead"], slug="lead", name="Leads")
    refresh_segments([segment], datetime.now(UTC))
    return segment


@pytest.fixture
def friends(leads: Segment) -> Segment:
    """The same three customers as a fixed list."""
    keys = list(Customer.objects.values_list("pk", flat=True))
    return segment_store.create_fixed_list("friends", "Friends", keys, datetime.now(UTC))


def address(view: str, *arguments: object) -> str:
    return reverse(f"admin:campaigns_campaign_{view}", args=arguments)


def shown(staff: Staff, view: str, *arguments: object, **query: Any) -> str:
    response = staff.client.get(address(view, *arguments), query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def page_after_post(staff: Staff, view: str, *arguments: object, **fields: Any) -> str:
    """Send a POST. Return the text of the page that it redirects to."""
    response = staff.client.post(address(view, *arguments), fields, follow=True)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def form_of(campaign: Campaign, *steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the POST data of a campaign's form."""
    sent: dict[str, Any] = {"name": campaign.name, "trigger": campaign.trigger, "repeats_every_unit": "day"}
    sent |= {"reentry_after_unit": "day", "steps-TOTAL_FORMS": len(steps), "steps-INITIAL_FORMS": len(steps)}
    for place, step in enumerate(steps):
        whole = {"channel": "email", "wait_number": 0, "wait_unit": "hour", "ORDER": place + 1, **step}
        sent |= {f"steps-{place}-{name}": value for name, value in whole.items()}
    return sent | fields


def drafted(staff: Staff, segment: Segment) -> Campaign:
    """Create an empty draft on the segment's page."""
    staff.send("campaigns_campaign_segment", segment.pk)
    return Campaign.objects.latest("pk")


def carry_out() -> None:
    now = datetime.now(UTC)
    triggers.process_triggers(now)
    progress.advance_journeys(now)
    sender.send_due_deliveries(now)


def test_every_tactic_can_be_started_from_its_segment(anna):
    pool = coupon_pool.save_pool(CouponPool(name="10 % off", last_day=date(2100, 1, 1)))
    for slug, template in TEMPLATES.items():
        segment_store.create_from_template(template, slug=slug, name=template.name)
    started = set()
    for segment in Segment.objects.order_by("pk"):
        ahead = [tactic for tactic in catalogue.tactics_for_segment(segment) if tactic.slug not in started]
        page = shown(anna, "segment", segment.pk) if ahead else ""
        for tactic in ahead:
            started.add(tactic.slug)
            assert f'id="{tactic.slug}"' in page
            if all(step.channel == Audience.key for step in tactic.steps):
                # Its way is the download of the audience.
                assert address("audience", segment.pk) in page
                continue
            anna.send("campaigns_campaign_segment", segment.pk, tactic=tactic.slug)
            campaign = Campaign.objects.latest("pk")
            assert (campaign.tactic, campaign.state) == (tactic.slug, "draft")
            draft = shown(anna, "change", campaign.pk)
            asks = bool(tactic.questions) or "choose the pool of codes" in draft
            assert ("To do before the start" in draft) == asks, tactic.slug
            given: dict[str, Any] = {}
            if asks:
                refused = anna.client.post(address("action", campaign.pk), {"action": "start"})
                assert refused.status_code == 200
                form = refused.context["form"]
                assert set(form.errors) == set(form.fields), tactic.slug
                given = {name: "https://shop.example/it" for name in form.fields if name != "pool"}
                given |= {"pool": pool.pk} if "pool" in form.fields else {}
            campaign.refresh_from_db()
            assert campaign.state == Campaign.State.DRAFT
            anna.send("campaigns_campaign_action", campaign.pk, action="start", **given)
            campaign.refresh_from_db()
            assert campaign.state == Campaign.State.RUNNING, tactic.slug

    assert started == set(catalogue.TACTICS)


def test_a_campaign_is_edited_step_by_step(anna, leads):
    campaign = drafted(anna, leads)
    first = {"subject": "Last", "text": "Bye", "ORDER": 3}
    second = {
        "subject": "First",
        "text": "Hello",
        "html": "<p>Hello</p>",
        "wait_number": 2,
        "wait_unit": "day",
    }
    third = {"subject": "Gone", "text": "Never", "DELETE": "on"}
    page = {"channel": "on_site", "subject": "Hi", "text": "Hi", "url": "https://shop.example/"}
    rest: dict[str, Any] = {
        "ends_with_order": "on",
        "quiet_from": "21:00",
        "quiet_until": "08:00",
        "name": "Welcome",
    }
    rest |= {"reentry_after_number": 2, "reentry_after_unit": "week"}

    anna.send("campaigns_campaign_edit", campaign.pk, **form_of(campaign, first, second, third, page, **rest))

    campaign.refresh_from_db()
    assert [(step.number, step.subject, step.wait.days) for step in campaign.steps.all()] == [
        (1, "First", 2),
        (2, "Last", 0),
        (3, "Hi", 0),
    ]
    assert (campaign.quiet_from, campaign.ends_with_order) == (time(21), True)
    assert not campaign.exit_when_not_member
    assert campaign.reentry_after
    assert campaign.reentry_after.days == 14
    page_of_it = shown(anna, "change", campaign.pk)
    assert (
        "When a customer enters “Leads”: an e-mail after 2 days, an e-mail after 2 days and an on-site message"
        " after 2 days. It ends early for customers who order. Nothing is sent between 21:00 and 08:00"
        " in the customer's time zone. A customer can start it again after 2 weeks."
    ) in unescape(page_of_it)
    assert 'name="reentry_after_number" value="2"' in shown(anna, "edit", campaign.pk)
    [(_, about, what), *_] = anna.activity()
    assert about == "Welcome"
    assert what.startswith("Now: When a customer enters “Leads”")


@pytest.mark.parametrize(
    ("step", "fields", "expected"),
    [
        ({"text": "Hello"}, {}, "An e-mail needs a subject."),
        ({"subject": "Hello"}, {}, "Write the text of the e-mail."),
        ({"subject": "Hi", "text": "{% if %}"}, {}, "steps-0-text"),
        ({"channel": "webhook"}, {}, "Enter the URL that receives the message."),
        ({"subject": "Hi", "text": "Hi {{ nothing_such }}"}, {}, "nothing_such"),
        ({"subject": "Hi", "text": "Hi"}, {"trigger": "every"}, "Enter how often the campaign repeats."),
        ({"subject": "Hi", "text": "Hi"}, {"quiet_from": "21:00"}, "Quiet hours need a start and an end."),
        ({"subject": "Hi", "text": "Hi", "DELETE": "on"}, {}, "A campaign needs at least one step"),
        ({"subject": "Hi", "text": "Hi", "wait_number": -1}, {}, "greater than or equal to 0"),
    ],
)
def test_errors_appear_beside_their_input(step, fields, expected, anna, leads):
    campaign = drafted(anna, leads)

    response = anna.client.post(address("edit", campaign.pk), form_of(campaign, step, **fields))

    assert response.status_code == 200
    assert expected in response.content.decode()
    assert campaign.steps.get().subject == ""


def test_a_dated_campaign_shows_how_many_get_it_and_sends_it_to_them(anna, friends):
    campaign = drafted(anna, friends)
    step = {"subject": "News", "text": "Hello {{ customer.first_name | default: 'you' }}"}
    anna.send("campaigns_campaign_edit", campaign.pk, **form_of(campaign, step, trigger="at"))

    assert "sends its messages to all members on its date. Friends has 3 members now" in shown(
        anna, "change", campaign.pk
    )
    start_page = shown(anna, "start", campaign.pk)
    assert "2 customers will get the first message" in start_page
    assert "Friends has 3 members now. The message to 1 of them is held back:" in start_page
    forecast_page = shown(anna, "forecast", campaign.pk)
    assert "of 3 would get it immediately" in forecast_page
    assert "not subscribed to the newsletter" in forecast_page

    assert "is running." in page_after_post(anna, "action", campaign.pk, action="start")
    carry_out()

    assert {message.to[0] for message in mail.outbox} == {"anna@example.org", "bert@example.org"}
    page = shown(anna, "change", campaign.pk)
    assert '<span class="figure">2</span> messages sent' in page
    assert "not subscribed to the newsletter" in page
    assert "Anna" in shown(anna, "deliveries", campaign.pk, state="sent")
    assert "Cleo" in shown(anna, "deliveries", campaign.pk, state="held_back")
    assert "Cleo" not in shown(anna, "deliveries", campaign.pk, state="sent")
    today = timezone.localdate()
    assert "Anna" in shown(anna, "deliveries", campaign.pk, sent=today.isoformat())
    assert "Anna" not in shown(anna, "deliveries", campaign.pk, clicked=today.isoformat())
    assert "Anna" not in shown(anna, "deliveries", campaign.pk, sent=(today - timedelta(days=2)).isoformat())
    customer = Customer.objects.get(customer_id="c1")
    dossier = anna.client.get(reverse("admin:customers_customer_change", args=[customer.pk]))
    assert campaign.name in dossier.content.decode()
    listed = anna.client.get(address("changelist")).content.decode()
    assert re.search(r"field-sent[^>]*>\s*(<[^>]+>\s*)*2\b", listed)


def test_a_campaign_is_paused_resumed_and_stopped(anna, friends):
    campaign = drafted(anna, friends)
    anna.send("campaigns_campaign_edit", campaign.pk, **form_of(campaign, {"subject": "Hi", "text": "Hi"}))

    def state_after(action: str) -> str:
        page_after_post(anna, "action", campaign.pk, action=action)
        campaign.refresh_from_db()
        return campaign.state

    assert state_after("pause") == "draft"
    assert state_after("start") == "running"
    assert "Reload the page" in page_after_post(anna, "action", campaign.pk, action="resume")
    assert state_after("pause") == "paused"
    assert state_after("resume") == "running"
    assert "The campaign ends permanently" in shown(anna, "stop", campaign.pk)
    assert state_after("stop") == "stopped"
    assert state_after("start") == "stopped"
    assert anna.client.get(address("action", campaign.pk)).status_code == 405
    # What was stopped stays as it was, and can be begun anew as a copy.
    assert "Copy it instead" in page_after_post(
        anna, "edit", campaign.pk, **form_of(campaign, {"subject": "Other", "text": "Other"})
    )
    anna.send("campaigns_campaign_copy", campaign.pk)
    copy = Campaign.objects.latest("pk")
    assert (copy.name, copy.state, copy.steps.get().subject) == (f"Copy of {campaign.name}", "draft", "Hi")
    assert [deed for deed, _, what in anna.activity() if what == "Stopped."]


def test_a_draft_can_be_discarded_and_a_started_campaign_cannot(anna, friends):
    draft, begun = drafted(anna, friends), drafted(anna, friends)
    anna.send("campaigns_campaign_edit", begun.pk, **form_of(begun, {"subject": "Hi", "text": "Hi"}))
    anna.send("campaigns_campaign_action", begun.pk, action="start")

    assert "This cannot be undone" in shown(anna, "discard", draft.pk)
    assert "was discarded" in page_after_post(anna, "discard", draft.pk)
    assert "Stop it instead" in page_after_post(anna, "discard", begun.pk)

    assert list(Campaign.objects.all()) == [begun]


def test_a_message_is_previewed_for_any_customer_and_sent_to_oneself(anna, leads):
    campaign = drafted(anna, leads)
    step = {
        "subject": "For {{ customer.first_name }}",
        "text": "Hello",
        "html": '<p class="mine">Hello</p>',
    }
    anna.send("campaigns_campaign_edit", campaign.pk, **form_of(campaign, step))

    found = shown(anna, "preview", campaign.pk, q="bert@example.org")
    assert "For Bert" in found
    assert 'sandbox=""' in found
    assert '<p class="mine">' not in found
    assert "No customer was found" in shown(anna, "preview", campaign.pk, q="nobody@example.org")
    bert = Customer.objects.get(customer_id="c2")
    assert "was sent to anna@shop.example" in page_after_post(
        anna, "send_test", campaign.pk, step=1, customer=bert.pk
    )
    [message] = mail.outbox
    assert (message.to, message.subject) == (["anna@shop.example"], "Test: For Bert")
    assert (
        anna.client.post(address("send_test", campaign.pk), {"step": 9, "customer": bert.pk}).status_code
        == 404
    )


def test_an_audience_is_downloaded_in_full_and_then_as_changes(anna, friends):
    def downloaded(**fields: str) -> list[str]:
        response = anna.client.post(address("audience_download", friends.pk), fields)
        return b"".join(response).decode().splitlines()

    assert "Not downloaded yet" in shown(anna, "audience", friends.pk)
    assert "Download all members first" in page_after_post(
        anna, "audience_download", friends.pk, platform="google", changes=1
    )
    assert len(downloaded(platform="google")) == 1 + 2
    gone = Customer.objects.get(customer_id="c1")
    fixed_lists.remove_customers(friends, [gone.pk], datetime.now(UTC))
    [_, *rows] = downloaded(platform="google", changes="1")
    assert len(rows) == 1
    assert rows[0].startswith("remove,")
    assert [export.exported_by_name for export in AudienceExport.objects.all()] == ["anna", "anna"]
    assert "changes after no." in shown(anna, "audience", friends.pk)
    assert anna.client.get(address("audience_download", friends.pk)).status_code == 405


def test_messages_are_paged_by_key(anna, friends):
    customers(*(f"n{number},n{number}@example.org" for number in range(60)))
    update.update_facts()
    fixed_lists.add_customers(friends, list(Customer.objects.values_list("pk", flat=True)), datetime.now(UTC))
    campaign = drafted(anna, friends)
    step = {"subject": "News", "text": "Hello"}
    anna.send("campaigns_campaign_edit", campaign.pk, **form_of(campaign, step, trigger="at"))
    anna.send("campaigns_campaign_action", campaign.pk, action="start")
    carry_out()

    first = anna.client.get(address("deliveries", campaign.pk))
    second = anna.client.get(address("deliveries", campaign.pk) + first.context["next"])

    seen = [delivery.pk for page in (first, second) for delivery, _ in page.context["deliveries"]]
    assert len(seen) == len(set(seen)) == 63
    assert second.context["next"] == ""


def test_the_segments_page_links_to_its_campaigns(anna, leads):
    overview = anna.client.get(reverse("admin:segments_segment_change", args=[leads.pk])).content.decode()

    assert overview.count(address("segment", leads.pk)) >= 2
    assert "Start a campaign" in overview
    assert "Leads has no campaigns yet" in shown(anna, "segment", leads.pk)
    response = anna.client.get(address("add"), {"segment": leads.pk})
    assert response["Location"] == address("segment", leads.pk)
    assert "no such tactic" in page_after_post(anna, "segment", leads.pk, tactic="none-such")
    assert not Step.objects.exists()
