"""The page *Campaigns* of a segment: its campaigns, and the tactics from which staff create drafts."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminSelectWidget

from campaigns import lifecycle
from campaigns.channels import registry
from campaigns.models import Campaign, Step
from campaigns.playbook import catalogue
from core.admin import audit_log
from core.admin.permissions import require_permissions, staff_user
from core.durations import duration_text, span_text
from segments import future_segments
from segments.admin.access import ADD_SEGMENT, VIEW_SEGMENT
from segments.admin.page_context import admin_context
from segments.admin.texts import segment_sentence
from segments.future_segments import ENTERED, LEFT, USUAL_SPAN, ComingChange
from segments.models import Segment

from . import access, early_start, notices, page_context, texts

MAX_CAMPAIGNS_SHOWN = 50


class SegmentForm(forms.Form):
    segment = forms.ModelChoiceField(
        Segment.objects.order_by("name"),
        widget=UnfoldAdminSelectWidget({"autofocus": True}),  # the only field of its page
        empty_label="Choose one",
    )


@require_permissions(access.VIEW_CAMPAIGN, VIEW_SEGMENT)
def segment_campaigns_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the campaigns and tactics of a segment; a POST creates a draft."""
    segment = get_object_or_404(Segment, pk=pk)
    given = request.POST if request.method == "POST" else request.GET
    change = early_start.parse_change(segment, given.get("change", ""), given.get("before", ""))
    tactics = (
        catalogue.tactics_before(segment, change.kind) if change else catalogue.tactics_for_segment(segment)
    )
    if request.method == "POST":
        if not request.user.has_perm(access.ADD_CAMPAIGN):
            raise PermissionDenied
        if campaign := _create_draft(request, segment, tactics, change):
            # Nothing is to be checked in an empty one: its message is to be written.
            page = "change" if campaign.tactic else "edit"
            then = "start" if request.POST.get("then") == "start" else page
            return redirect(f"admin:campaigns_campaign_{then}", campaign.pk)
    own = [tactic for tactic in tactics if tactic.segments]
    campaigns = Campaign.objects.filter(segment__in=[segment, *future_segments.segments_about(segment)])
    context = (
        admin_context(model_admin, request, "Campaigns", segment)
        | {
            "tab": "campaigns",
            "notices": notices.sending_notices(request),
            "opts": Segment._meta,  # the page belongs to the segment
            "campaigns": [
                (campaign, texts.STATE_LABELS[campaign.state], texts.start_text(campaign))
                for campaign in campaigns.select_related("segment")[:MAX_CAMPAIGNS_SHOWN]
            ],
            "change": change,
            "usual": span_text(USUAL_SPAN),
            "usual_text": duration_text(USUAL_SPAN),
            "span": duration_text(change.span) if change else "",
            "before": span_text(change.span) if change else "",
            "starts": _start_choices(request, segment, change),
            "groups": [
                (title, [_tactic_card(tactic) for tactic in chosen])
                for title, chosen in (
                    ("Tactics that win customers back", tactics if change else []),
                    ("Made for this segment", [] if change else own),
                    (
                        "For any segment" if own else "Tactics for any segment",
                        [] if change else tactics[len(own) :],
                    ),
                )
                if chosen
            ],
            "may_add_campaign": request.user.has_perm(access.ADD_CAMPAIGN),
            "may_see_exports": request.user.has_perm(access.VIEW_AUDIENCE_EXPORT),
        }
    )
    return TemplateResponse(request, "campaigns/admin/segment_campaigns.html", context)


@require_permissions(access.VIEW_CAMPAIGN, access.ADD_CAMPAIGN, VIEW_SEGMENT)
def choose_segment_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    form = SegmentForm(request.GET if "segment" in request.GET else None)
    if form.is_valid():
        return redirect("admin:campaigns_campaign_segment", form.cleaned_data["segment"].pk)
    context = page_context.admin_page_context(model_admin, request, "New campaign")
    context |= {"form": form, "has_segments": Segment.objects.exists()}
    return TemplateResponse(request, "campaigns/admin/choose.html", context)


@dataclass(frozen=True)
class StartChoice:
    """A start that the page offers: when a customer enters the segment, or before a change."""

    text: str
    url: str
    is_chosen: bool


def _start_choices(request: HttpRequest, segment: Segment, change: ComingChange | None) -> list[StartChoice]:
    """Return the starts to choose from, for staff who may add the segment that an early start needs."""
    if not (early_start.has_future(segment) and request.user.has_perm(ADD_SEGMENT)):
        return []
    address = reverse("admin:campaigns_campaign_segment", args=[segment.pk])
    span = change.span if change else USUAL_SPAN
    choices = [StartChoice(f"For members of {segment.name}", address, change is None)]
    for kind, verb in ((ENTERED, "enter"), (LEFT, "leave")):
        query = urlencode({"change": kind, "before": span_text(span)})
        text = f"{duration_text(span)} before they would {verb}"
        choices.append(StartChoice(text, f"{address}?{query}", change is not None and change.kind == kind))
    return choices


def _create_draft(
    request: HttpRequest, segment: Segment, tactics: list[catalogue.Tactic], change: ComingChange | None
) -> Campaign | None:
    chosen = request.POST.get("tactic", "")
    try:
        if not chosen:
            with transaction.atomic():
                campaign_segment = early_start.segment_of_change(request, change) if change else segment
                draft = Campaign(
                    segment=campaign_segment,
                    name=f"New campaign for {campaign_segment.name}"[:200],
                    include_current_members=change is not None,
                )
                campaign = lifecycle.save_campaign(draft, [Step(number=1)], staff_user(request))
            audit_text = "Created an empty draft."
        else:
            tactic = next((tactic for tactic in tactics if tactic.slug == chosen), None)
            if tactic is None:
                messages.error(request, "This segment has no such tactic. Choose one of the tactics below.")
                return None
            with transaction.atomic():
                campaign_segment = (
                    early_start.segment_of_change(request, change)
                    if change
                    else _get_or_create_segment(request, segment, tactic)
                )
                campaign = lifecycle.create_from_tactic(campaign_segment, tactic, staff_user(request))
            audit_text = f"Created from the tactic “{tactic.name}”."
    except lifecycle.CampaignError as reason:
        messages.error(request, str(reason))
        return None
    audit_log.log_additions(request, [campaign], audit_text)
    messages.success(request, "The draft is ready. Nothing is sent until you start it.")
    return campaign


def _get_or_create_segment(request: HttpRequest, segment: Segment, tactic: catalogue.Tactic) -> Segment:
    """Return the campaign's segment. A tactic can need a narrower one, which is created."""
    if tactic.narrowed_by and not request.user.has_perm(ADD_SEGMENT):
        raise PermissionDenied
    newest = Segment.objects.aggregate(newest=Max("pk"))["newest"]
    tactic_segment = catalogue.segment_for_tactic(tactic, segment, staff_user(request))
    if tactic_segment.pk > newest:
        audit_log.log_additions(
            request,
            [tactic_segment],
            f"Created for the tactic “{tactic.name}”: {segment_sentence(tactic_segment)}.",
        )
        messages.info(request, f"The campaign uses {tactic_segment.name}, a segment that was created for it.")
    return tactic_segment


def _tactic_card(tactic: catalogue.Tactic) -> dict[str, Any]:
    messages_sent = [step for step in tactic.steps if registry.sends_messages(step.channel)]
    return {
        "tactic": tactic,
        "channel": registry.channel_label(tactic.channel),
        "messages": len(messages_sent),
        "is_audience": not messages_sent,
    }
