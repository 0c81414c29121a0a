"""Campaigns that start so long before a customer would enter or leave a segment: the choice, and what it changes."""

from datetime import timedelta
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from unfold.widgets import UnfoldAdminSelectWidget

from campaigns import lifecycle
from campaigns.models import Campaign
from core.admin import audit_log
from core.admin.permissions import WRITE_METHODS, require_permissions, staff_user
from core.durations import duration_text, parse_duration, span_text
from segments import future_segments
from segments.admin.access import ADD_SEGMENT, VIEW_SEGMENT
from segments.admin.refresh_requests import queue_after_saving
from segments.admin.texts import segment_sentence
from segments.future_segments import ENTERED, LEFT, MAX_SPAN, MIN_SPAN, ComingChange
from segments.models import Segment
from segments.rules import RuleError

from . import access, texts

SPANS: Final = tuple(timedelta(days=count) for count in (1, 3, 7, 14, 30, 60))
"""What the start form offers."""
WHEN_IT_HAPPENS: Final = ""


def has_future(segment: Segment) -> bool:
    """Return whether campaigns can start before a change of the segment, which its rule foresees."""
    return segment.is_dynamic and future_segments.coming_change(segment) is None


def parse_change(segment: Segment, kind: str, span: str) -> ComingChange | None:
    """Return the change of a segment that a request names; None if it names none or the segment has no future."""
    try:
        change = ComingChange(segment.slug, kind, parse_duration(span))
    except ValueError:
        return None
    is_valid = has_future(segment) and kind in (ENTERED, LEFT) and MIN_SPAN <= change.span <= MAX_SPAN
    return change if is_valid else None


def segment_of_change(request: HttpRequest, change: ComingChange) -> Segment:
    """Return the segment of a coming change, which is created if it is missing. Raises CampaignError."""
    found = future_segments.find_segment(change)
    if found:
        return found
    if not request.user.has_perm(ADD_SEGMENT):
        raise PermissionDenied
    try:
        made = future_segments.get_or_create_segment(change, staff_user(request))
    except RuleError as error:
        raise lifecycle.CampaignError(str(error)) from error
    audit_log.log_additions(request, [made], f"Created for a campaign: {segment_sentence(made)}.")
    messages.info(request, f"The campaign uses {made.name}, a segment that was created for it.")
    transaction.on_commit(lambda: queue_after_saving(request, made))
    return made


def segment_that_changes(campaign: Campaign) -> Segment:
    """Return the segment whose change a campaign waits for: its own, or the one that its own asks ahead."""
    change = texts.early_change(campaign)
    subject = Segment.objects.filter(slug=change.slug).first() if change else None
    return subject or campaign.segment


def move_start(request: HttpRequest, campaign: Campaign, span: timedelta | None, subject: Segment) -> None:
    """Let a campaign for customers who enter or leave ``subject`` start so long before; None is when it happens.

    The campaign is not saved. Raises CampaignError.
    """
    before = campaign.segment
    if span is None:
        campaign.segment = subject
    else:
        kind = LEFT if campaign.trigger == Campaign.Trigger.LEAVES else ENTERED
        campaign.segment = segment_of_change(request, ComingChange(subject.slug, kind, span))
        campaign.trigger = Campaign.Trigger.ENTERS
    if campaign.name.endswith(before.name):  # as drafts are called
        campaign.name = f"{campaign.name.removesuffix(before.name)}{campaign.segment.name}"[:200]


class EarlyStartForm(forms.Form):
    """Asks in the start form of a draft whether it starts before the change."""

    starts = forms.ChoiceField(label="Starts", required=False, widget=UnfoldAdminSelectWidget)

    def __init__(self, campaign: Campaign, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.campaign, self.change = campaign, texts.early_change(campaign)
        self.subject = segment_that_changes(campaign)
        self.leaves = self.change.kind == LEFT if self.change else campaign.trigger == Campaign.Trigger.LEAVES
        spans = sorted({*SPANS, *([self.change.span] if self.change else [])})
        verb = "leave" if self.leaves else "enter"
        self.fields["starts"].choices = [  # type: ignore[attr-defined]
            (WHEN_IT_HAPPENS, f"When a customer {verb}s {self.subject.name}"),
            *(
                (span_text(span), f"{duration_text(span)} before a customer would {verb} {self.subject.name}")
                for span in spans
            ),
        ]
        self.fields["starts"].initial = span_text(self.change.span) if self.change else WHEN_IT_HAPPENS

    @classmethod
    def suits(cls, campaign: Campaign) -> bool:
        """Return whether a campaign can start before a change: a draft for customers who enter or leave by a rule."""
        triggers = (Campaign.Trigger.ENTERS, Campaign.Trigger.LEAVES)
        return (
            campaign.state == Campaign.State.DRAFT
            and campaign.trigger in triggers
            and has_future(segment_that_changes(campaign))
        )

    def save(self, request: HttpRequest) -> None:
        """Save the draft. Raises CampaignError."""
        campaign, chosen = self.campaign, self.cleaned_data["starts"]
        steps = list(campaign.steps.all())
        if self.leaves:
            campaign.trigger = Campaign.Trigger.LEAVES
        move_start(request, campaign, parse_duration(chosen) if chosen else None, self.subject)
        if chosen:
            campaign.include_current_members = campaign.exit_when_not_member = True
        if steps and lifecycle.late_step(campaign, steps):
            steps[0].wait = timedelta()
        lifecycle.save_campaign(campaign, steps, staff_user(request))


@require_permissions(access.VIEW_CAMPAIGN, access.CHANGE_CAMPAIGN, VIEW_SEGMENT, methods=WRITE_METHODS)
def early_start_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Change when a draft starts, and return to its start form."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    if EarlyStartForm.suits(campaign):
        form = EarlyStartForm(campaign, request.POST)
        if form.is_valid():
            try:
                with transaction.atomic():
                    form.save(request)
            except lifecycle.CampaignError as reason:
                messages.error(request, str(reason))
            else:
                sentence = texts.campaign_sentence(campaign, list(campaign.steps.all()))
                audit_log.log_changes(request, [campaign], f"Now: {sentence}")
        else:
            messages.error(request, "Choose one of the starts on this page.")
    return redirect("admin:campaigns_campaign_start", pk)
