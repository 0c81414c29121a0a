"""Start, pause, resume, stop, copy and discard campaigns. Every change is a POST."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse

from campaigns import lifecycle
from campaigns.models import Campaign, Journey, Step
from core.admin import audit_log
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions, staff_user
from segments.admin.filling import is_filling

from . import access, forecast, page_context
from .early_start import EarlyStartForm
from .start_form import StartForm

Action = Callable[[Campaign, datetime, User | None], None]

ACTIONS: Final[Mapping[str, tuple[Action, str, str]]] = {
    "start": (lifecycle.start, "Started.", "{} is running."),
    "pause": (lifecycle.pause, "Paused.", "{} is paused. Nothing is sent until you choose “Resume”."),
    "resume": (lifecycle.resume, "Resumed.", "{} is running again."),
    "stop": (lifecycle.stop, "Stopped.", "{} is stopped. It cannot be started again."),
}


@require_permissions(access.VIEW_CAMPAIGN, access.CHANGE_CAMPAIGN, methods=WRITE_METHODS)
def run_action(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Start, pause, resume or stop a campaign: the POST parameter ``action`` says which."""
    campaign = get_object_or_404(Campaign, pk=pk)
    action = ACTIONS.get(request.POST.get("action", ""))
    if action is None:
        messages.error(request, "Choose an action with the buttons on this page.")
        return redirect("admin:campaigns_campaign_change", pk)
    change_state, audit_text, success_text = action
    form = StartForm(campaign, request.POST) if change_state is lifecycle.start else None
    if form and not form.is_valid():
        return _render_start_page(model_admin, request, campaign, form)
    try:
        if form:
            form.save(staff_user(request))
        change_state(campaign, datetime.now(UTC), staff_user(request))
    except lifecycle.CampaignError as reason:
        messages.error(request, str(reason))
    else:
        audit_log.log_changes(request, [campaign], audit_text)
        messages.success(request, success_text.format(campaign.name))
    return redirect("admin:campaigns_campaign_change", pk)


@require_permissions(access.VIEW_CAMPAIGN, access.CHANGE_CAMPAIGN, methods=READ_METHODS)
def start_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show how many people would get a message, and ask for what is missing before the start."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    return _render_start_page(model_admin, request, campaign, StartForm(campaign))


def _render_start_page(
    model_admin: Any, request: HttpRequest, campaign: Campaign, form: StartForm
) -> TemplateResponse:
    context = page_context.campaign_page_context(
        model_admin, request, campaign, "overview", f"Start {campaign.name}?"
    )
    context["form"] = form
    context["is_filling"] = is_filling(campaign.segment)
    if EarlyStartForm.suits(campaign):
        context["early_start"] = EarlyStartForm(campaign)
    context["has_questions"] = any(name != "pool" for name in form.fields)
    if context["steps"] and context["starts_for_members"]:
        context |= forecast.dry_run_context(request, campaign, datetime.now(UTC))
    return TemplateResponse(request, "campaigns/admin/start.html", context)


@require_permissions(access.VIEW_CAMPAIGN, access.CHANGE_CAMPAIGN, methods=READ_METHODS)
def stop_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for confirmation before a campaign ends permanently."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    context = page_context.campaign_page_context(
        model_admin, request, campaign, "overview", f"Stop {campaign.name}?"
    )
    context["active_journey_count"] = campaign.journeys.filter(state=Journey.State.ACTIVE).count()
    return TemplateResponse(request, "campaigns/admin/stop.html", context)


@require_permissions(access.VIEW_CAMPAIGN, access.ADD_CAMPAIGN, methods=WRITE_METHODS)
def copy_campaign(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Create a draft with the same settings and steps."""
    campaign = get_object_or_404(Campaign, pk=pk)
    values = {
        name: getattr(campaign, name)
        for name in (*lifecycle.EDITABLE_FIELDS, "segment", "include_current_members", "tactic", "answers")
    }
    values |= {"name": f"Copy of {campaign.name}"[:200], "starts_at": None}
    steps = [
        Step(**{name: getattr(step, name) for name in (*lifecycle.STEP_FIELDS, "not_converted")})
        for step in campaign.steps.all()
    ]
    try:
        draft = lifecycle.save_campaign(Campaign(**values), steps, staff_user(request))
    except lifecycle.CampaignError as reason:
        messages.error(request, str(reason))
        return redirect("admin:campaigns_campaign_change", pk)
    audit_log.log_additions(request, [draft], f"Copied from “{campaign.name}”.")
    messages.success(request, "The draft is ready. Nothing is sent until you start it.")
    return redirect("admin:campaigns_campaign_change", draft.pk)


@require_permissions(access.VIEW_CAMPAIGN, access.DELETE_CAMPAIGN)
def discard_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a draft after a confirmation."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    if request.method != "POST":
        context = page_context.campaign_page_context(
            model_admin, request, campaign, "overview", f"Discard {campaign.name}?"
        )
        return TemplateResponse(request, "campaigns/admin/discard.html", context)
    key, name = campaign.pk, campaign.name
    try:
        lifecycle.delete_draft(campaign, staff_user(request))
    except lifecycle.CampaignError as reason:
        messages.error(request, str(reason))
        return redirect("admin:campaigns_campaign_change", pk)
    audit_log.log_deletions(request, [Campaign(pk=key, name=name)], "Discarded the draft.")
    messages.success(request, f"The draft {name} was discarded.")
    return redirect("admin:campaigns_campaign_segment", campaign.segment_id)
