"""Starting, pausing, resuming, stopping, copying and discarding a campaign: each asked for by a POST."""

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
from core.admin.access import READ, WRITE, needs, person

from . import access, forecast, page_context
from .start_form import StartForm

Action = Callable[[Campaign, datetime, User | None], None]

ACTIONS: Final[Mapping[str, tuple[Action, str, str]]] = {
    "start": (lifecycle.start, "Started.", "{} runs."),
    "pause": (lifecycle.pause, "Paused.", "{} rests: nothing is sent until you let it go on."),
    "resume": (lifecycle.resume, "Went on.", "{} goes on."),
    "stop": (lifecycle.stop, "Stopped.", "{} is stopped for good."),
}


@needs(access.SEE, access.WRITE, methods=WRITE)
def run_action(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Start, pause, resume or stop it, as the button says."""
    campaign = get_object_or_404(Campaign, pk=pk)
    found = ACTIONS.get(request.POST.get("to", ""))
    if found is None:
        messages.error(request, "Choose what to do with the campaign by its buttons.")
        return redirect("admin:campaigns_campaign_change", pk)
    make, noted, told = found
    form = StartForm(campaign, request.POST) if make is lifecycle.start else None
    if form and not form.is_valid():
        return _render_start_page(model_admin, request, campaign, form)
    try:
        if form:
            form.save(person(request))
        make(campaign, datetime.now(UTC), person(request))
    except lifecycle.NotPossible as reason:
        messages.error(request, str(reason))
    else:
        audit_log.note_changed(request, [campaign], noted)
        messages.success(request, told.format(campaign.name))
    return redirect("admin:campaigns_campaign_change", pk)


@needs(access.SEE, access.WRITE, methods=READ)
def start_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Say how many people it will write to, ask what only the shop knows, and whether it is to start."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    return _render_start_page(model_admin, request, campaign, StartForm(campaign))


def _render_start_page(
    model_admin: Any, request: HttpRequest, campaign: Campaign, form: StartForm
) -> TemplateResponse:
    context = page_context.campaign_page_context(
        model_admin, request, campaign, "overview", f"Start {campaign.name}?"
    )
    context["form"] = form
    context["asks_for_words"] = any(name != "pool" for name in form.fields)
    if context["steps"] and context["meets_members"]:
        context |= forecast.dry_run_context(request, campaign, datetime.now(UTC))
    return TemplateResponse(request, "campaigns/admin/start.html", context)


@needs(access.SEE, access.WRITE, methods=READ)
def stop_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether it is to end for good."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    context = page_context.campaign_page_context(
        model_admin, request, campaign, "overview", f"Stop {campaign.name}?"
    )
    context["on_their_way"] = campaign.journeys.filter(state=Journey.State.ACTIVE).count()
    return TemplateResponse(request, "campaigns/admin/stop.html", context)


@needs(access.SEE, access.ADD, methods=WRITE)
def copy_campaign(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Make a draft with the same words and waits."""
    campaign = get_object_or_404(Campaign, pk=pk)
    values = {
        name: getattr(campaign, name)
        for name in (*lifecycle.EDITED, "segment", "takes_members", "tactic", "answers")
    }
    values |= {"name": f"Copy of {campaign.name}"[:200], "starts_at": None}
    steps = [Step(**{name: getattr(step, name) for name in lifecycle.STEP}) for step in campaign.steps.all()]
    try:
        made = lifecycle.save(Campaign(**values), steps, person(request))
    except lifecycle.NotPossible as reason:
        messages.error(request, str(reason))
        return redirect("admin:campaigns_campaign_change", pk)
    audit_log.note_added(request, [made], f"As a copy of “{campaign.name}”.")
    messages.success(request, "A draft is made: nothing is sent before you start it.")
    return redirect("admin:campaigns_campaign_change", made.pk)


@needs(access.SEE, access.DISCARD)
def discard_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Delete a draft, once the person has said yes."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    if request.method != "POST":
        context = page_context.campaign_page_context(
            model_admin, request, campaign, "overview", f"Discard {campaign.name}?"
        )
        return TemplateResponse(request, "campaigns/admin/discard.html", context)
    key, name = campaign.pk, campaign.name
    try:
        lifecycle.discard(campaign, person(request))
    except lifecycle.NotPossible as reason:
        messages.error(request, str(reason))
        return redirect("admin:campaigns_campaign_change", pk)
    audit_log.note_deleted(request, [Campaign(pk=key, name=name)], "Discarded the draft.")
    messages.success(request, f"The draft {name} was discarded.")
    return redirect("admin:campaigns_campaign_of_segment", campaign.segment_id)
