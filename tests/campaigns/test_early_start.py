"""Campaigns that start so long before a customer would enter or leave a segment."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

from campaigns import lifecycle
from campaigns.models import Campaign, Journey, Step
from customers.models import Customer
from segments import future_segments, segment_store
from segments.future_segments import ENTERED, LEFT, ComingChange
from segments.models import Segment
from segments.refresh.engine import refresh_all
from segments.templates import TEMPLATES
from tests.support import shop
from tests.support.campaign_runs import Move, campaign, order, sent_messages, step
from tests.support.html_forms import Form, forms_of
from tests.support.shop import NOON, days
from tests.test_audit_log import Staff

pytestmark = pytest.mark.django_db

WEEK = {"change": ENTERED, "before": "7d"}
LAST_ACTIVE = {"anna": 100, "ben": 85, "cleo": 80, "dora": 79}
"""How many days before noon each of the customers ordered last; they are lost after 90 days."""


@pytest.fixture
def anna() -> Staff:
    return Staff("anna")


@pytest.fixture
def lost(move: Move) -> Segment:
    header = "customer_id,email,newsletter,first_seen"
    shop.customers(*(f"{who},{who}@example.org,subscribed,2025-01-01" for who in LAST_ACTIVE), header=header)
    for who, ago in LAST_ACTIVE.items():
        order(who, NOON - days(ago))
    made = segment_store.create_from_template(TEMPLATES["lost"])
    refresh_all(NOON)
    return made


def draft_from(anna: Staff, segment: Segment, **sent: str) -> Campaign:
    anna.send("campaigns_campaign_segment", segment.pk, **sent)
    return Campaign.objects.latest("pk")


def page(anna: Staff, view: str, key: int, **query: str) -> str:
    response = anna.client.get(reverse(f"admin:campaigns_campaign_{view}", args=[key]), query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def edit_form(anna: Staff, draft: Campaign) -> Form:
    [form] = [
        one
        for one in forms_of(page(anna, "edit", draft.pk))
        if any(name == "trigger" for name, _ in one.values)
    ]
    return form


def save(anna: Staff, draft: Campaign, **changed: Any) -> str:
    """Submit the form of a campaign as a browser does; return the errors of the page, if it is shown again."""
    sent = edit_form(anna, draft).as_it_stands(**changed)
    response = anna.client.post(reverse("admin:campaigns_campaign_edit", args=[draft.pk]), sent)
    draft.refresh_from_db()
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def reasons() -> dict[str, str]:
    rows = Journey.objects.select_related("customer").order_by("pk")
    return {one.customer.customer_id: one.state for one in rows}


# -- What is sent


def test_customers_get_the_message_seven_days_before_they_would_be_lost(
    anna: Staff, lost: Segment, move: Move
):
    draft = draft_from(anna, lost, **WEEK, tactic="what-is-new-since", then="start")
    assert draft.segment.name == "Becomes Lost within 7 days"
    assert "The members of Becomes Lost within 7 days are being found" in page(anna, "start", draft.pk)

    anna.send("campaigns_campaign_action", draft.pk, action="start")
    sent = {}
    for day in range(8):
        move(NOON + days(day))
        sent[day] = [who for who, _ in sent_messages()]

    # Ben would be lost in five days, and was found after the start. Anna is lost already.
    assert sent == {0: ["ben"], 3: ["cleo"], 4: ["dora"], 1: [], 2: [], 5: [], 6: [], 7: []}


def test_the_campaign_is_called_off_for_customers_who_order_or_are_lost(lost: Segment, move: Move):
    change = ComingChange(lost.slug, ENTERED, days(7))
    soon = future_segments.get_or_create_segment(change)
    move(NOON)
    campaign(soon, days(0), days(3), name="early", include_current_members=True)

    sent = {}
    for day in range(12):
        move(NOON + days(day), refresh=False)
        if day == 5:
            order("dora", NOON + days(5))
        refresh_all(NOON + days(day))
        move(NOON + days(day))
        sent[day] = sent_messages()

    assert {day: told for day, told in sent.items() if told} == {
        0: [("ben", "early 1")],
        3: [("ben", "early 2"), ("cleo", "early 1")],
        4: [("dora", "early 1")],
        6: [("cleo", "early 2")],
    }
    assert reasons()["dora"] == Journey.State.STOPPED
    assert "anna" not in reasons()


def test_customers_get_a_message_before_they_would_leave_a_segment(anna: Staff, lost: Segment, move: Move):
    active = shop.segment("active", {"last_activity": {"within_last": "90d"}})
    refresh_all(NOON)
    cards = page(anna, "segment", active.pk, change=LEFT, before="5d")
    assert "5 days before they would leave" in cards
    assert "Use this: Reminder" in cards
    assert "Use this: Announcement" not in cards

    draft = draft_from(anna, active, change=LEFT, before="5d", tactic="we-miss-you")
    assert draft.segment.rule == {
        "all": [{"in_segment": {"is": "active"}}, {"none": [{"in_segment": {"is": "active", "in": "5d"}}]}]
    }
    assert "For customers who would leave “Active” within 5 days" in page(anna, "change", draft.pk)
    assert "5 days before a customer would leave" in page(anna, "segment", active.pk)
    assert "before they would" not in page(anna, "segment", draft.segment_id)
    anna.send("campaigns_campaign_action", draft.pk, action="start")

    move(NOON)
    assert [who for who, _ in sent_messages()] == ["ben"]
    move(NOON + days(5))
    assert [who for who, _ in sent_messages()] == ["cleo"]


def test_two_campaigns_share_the_segment(anna: Staff, lost: Segment):
    drafts = [draft_from(anna, lost, **WEEK, tactic="what-is-new-since"), draft_from(anna, lost, **WEEK)]

    assert drafts[0].segment == drafts[1].segment
    assert not drafts[1].tactic
    other = draft_from(anna, lost, change=ENTERED, before="14d")
    assert other.segment.name == "Becomes Lost within 14 days"


def test_an_edited_or_paused_segment_is_not_taken_for_another_campaign(anna: Staff, lost: Segment):
    first = draft_from(anna, lost, **WEEK).segment
    first.is_active = False
    segment_store.save_segment(first)
    second = draft_from(anna, lost, **WEEK).segment
    second.rule = {"known": {"is": True}}
    segment_store.save_segment(second)

    third = draft_from(anna, lost, **WEEK).segment

    assert len({first.pk, second.pk, third.pk}) == 3
    assert third.slug == "lost-becoming-within-7d-3"


# -- The forms


def test_the_form_of_a_campaign_changes_when_it_starts(anna: Staff, lost: Segment):
    draft = draft_from(anna, lost, tactic="what-is-new-since")
    assert dict(edit_form(anna, draft).values).get("before_number", "") == ""

    save(anna, draft, before_number="3", before_unit="day")
    assert draft.segment.name == "Becomes Lost within 3 days"
    assert draft.name == "News of the categories and brands they bought: Becomes Lost within 3 days"
    form = dict(edit_form(anna, draft).values)
    assert (form["before_number"], form["before_unit"], form["trigger"]) == ("3", "day", "enters")

    save(anna, draft, trigger="leaves")
    assert draft.segment.name == "Leaves Lost within 3 days"
    assert draft.trigger == "enters"
    assert dict(edit_form(anna, draft).values)["trigger"] == "leaves"

    save(anna, draft, before_number="")
    assert (draft.segment, draft.trigger) == (lost, "leaves")
    assert draft.name == "News of the categories and brands they bought: Lost"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"before_number": "91"}, "Enter at most 90 days."),
        ({"before_number": "12", "before_unit": "hour"}, "Enter at least one day."),
        ({"before_number": "7", "trigger": "at"}, "Leave this empty for a date"),
    ],
)
def test_a_start_that_is_not_possible_is_refused(anna: Staff, lost: Segment, changed: Any, error: str):
    draft = draft_from(anna, lost, tactic="what-is-new-since")

    assert error in save(anna, draft, **changed)

    assert draft.segment == lost


def test_there_is_no_early_start_for_a_fixed_list_or_after_the_start(anna: Staff, lost: Segment):
    listed = segment_store.create_fixed_list(
        "chosen", "Chosen", Customer.objects.values_list("pk", flat=True), NOON
    )
    assert "before they would" not in page(anna, "segment", listed.pk)
    draft = draft_from(anna, listed, **WEEK)
    assert draft.segment == listed
    assert "before_number" not in dict(edit_form(anna, draft).values)

    early = draft_from(anna, lost, **WEEK, tactic="what-is-new-since")
    anna.send("campaigns_campaign_action", early.pk, action="start")
    assert "before_number" not in dict(edit_form(anna, early).values)
    save(anna, early, name="Another name")
    assert (early.name, early.segment.name) == ("Another name", "Becomes Lost within 7 days")


def test_the_start_form_offers_to_start_before_the_change(anna: Staff, lost: Segment):
    draft = draft_from(anna, lost, tactic="one-time-promotion")
    assert "7 days before a customer would enter Lost" in page(anna, "start", draft.pk)

    anna.send("campaigns_campaign_early_start", draft.pk, starts="7d")
    draft.refresh_from_db()

    # Its first message waits for 30 days, when nobody would be about to be lost any more.
    assert draft.segment.name == "Becomes Lost within 7 days"
    assert [one.wait for one in draft.steps.all()] == [timedelta()]
    assert draft.include_current_members
    anna.send("campaigns_campaign_early_start", draft.pk, starts="")
    draft.refresh_from_db()
    assert draft.segment == lost
    anna.send("campaigns_campaign_early_start", draft.pk, starts="8000d")
    draft.refresh_from_db()
    assert draft.segment == lost


def test_a_campaign_whose_message_would_come_too_late_does_not_start(anna: Staff, lost: Segment):
    soon = draft_from(anna, lost, **WEEK).segment
    draft = lifecycle.save_campaign(
        Campaign(segment=soon, name="late"), [step("one"), step("two", days(4)), step("three", days(3))]
    )

    with pytest.raises(lifecycle.CampaignError, match="Message 3 would not be sent"):
        lifecycle.start(draft, NOON)

    steps: list[Step] = list(draft.steps.all())
    steps[2].wait = days(2)
    lifecycle.save_campaign(draft, steps)
    lifecycle.start(draft, NOON)


def test_who_may_not_add_segments_starts_with_those_that_exist(
    anna: Staff, lost: Segment, django_user_model: Any
):
    anna.user = django_user_model.objects.create_user("bert", is_staff=True)
    names = ("view_campaign", "add_campaign", "change_campaign", "view_segment")
    anna.user.user_permissions.set(Permission.objects.filter(codename__in=names))
    anna.client.force_login(anna.user)
    address = reverse("admin:campaigns_campaign_segment", args=[lost.pk])

    assert anna.client.post(address, WEEK).status_code == 403
    future_segments.get_or_create_segment(ComingChange(lost.slug, ENTERED, days(7)))
    assert draft_from(anna, lost, **WEEK).segment.name == "Becomes Lost within 7 days"


# -- The list of those who are about to change, and Home


def test_the_list_of_coming_changes_leads_to_the_tactics_that_start_before_them(anna: Staff, lost: Segment):
    response = anna.client.get(reverse("admin:segments_segment_upcoming", args=[lost.pk]), {"within": 7})

    [link] = re.findall(r'href="([^"]*)"[^>]*>Start a campaign before they enter<', response.content.decode())
    tactics = anna.client.get(unescape(link))
    assert tactics.context["change"] == ComingChange("lost", ENTERED, days(7))


def test_home_suggests_to_win_back_customers_who_would_be_lost_within_a_week(
    anna: Staff, lost: Segment, move: Move
):
    def suggestions() -> str:
        response = anna.client.get(reverse("admin:campaigns_campaign_home_suggestions"))
        return " ".join(response.content.decode().split())

    order("ben", NOON - days(86))
    before = suggestions()
    list_of_them = f"{reverse('admin:segments_segment_upcoming', args=[lost.pk])}?within=7"
    assert re.search(
        rf'href="{re.escape(list_of_them)}" ?>1 customer</a>.*? will become lost within 7 days', before
    )
    assert re.search(r"They have spent <strong ?>20 EUR</strong>", before)

    [form] = [one for one in forms_of(before) if ("before", "7d") in one.values]
    anna.client.post(form.action, form.as_it_stands(tactic="what-is-new-since"))
    move(NOON)
    draft = Campaign.objects.get()
    shown = suggestions()
    assert f'href="{reverse("admin:campaigns_campaign_start", args=[draft.pk])}"' in shown
    assert f'href="{reverse("admin:segments_segment_members", args=[draft.segment_id])}"' in shown
    assert "1 customer</a>" in shown

    anna.send("campaigns_campaign_action", draft.pk, action="start")
    assert "will become lost" not in suggestions()
