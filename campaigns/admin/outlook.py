"""What a campaign is about to do: what comes in the next days, and a dry run of whom it would reach right now."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from campaigns import forecasts
from campaigns.models import Campaign
from campaigns.restraint import Verdict
from customers import engine
from customers.admin import contact
from segments.admin import charts
from segments.admin.access import READ, SEE_CUSTOMERS, needs
from segments.insights import PATIENCE

from . import access, pages, wording

DAYS: Final = 7


@needs(access.SEE, methods=READ)
def page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the next days by step, and who would get the first message now."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    now = datetime.now(UTC)
    context = pages.of(model_admin, request, campaign, "outlook") | {"days": DAYS, "patience": PATIENCE}
    if context["steps"]:
        context |= reach(request, campaign, now) | {"coming": _coming(campaign, now)}
    return TemplateResponse(request, "campaigns/admin/outlook.html", context)


def reach(request: HttpRequest, campaign: Campaign, at: datetime) -> dict[str, Any]:
    """Ask whom the campaign would reach at an instant; nothing where that takes longer than somebody waits."""
    try:
        with engine.within(PATIENCE):
            found = forecasts.dry_run(campaign, at)
    except engine.TookTooLong:
        return {}
    may_see = request.user.has_perm(SEE_CUSTOMERS)
    return {
        "reach": found,
        "held_back_in_all": sum(found.held_back.values()),
        "sample": [
            (contact.seen_by(request, one.customer), _told(one.verdict)) for one in found.sample if may_see
        ],
    }


def _told(verdict: Verdict) -> str:
    if verdict.reason:
        return verdict.reason
    return f"Gets it {wording.moment(verdict.not_before)}." if verdict.not_before else "Gets it now."


def _coming(campaign: Campaign, now: datetime) -> list[tuple[str, str, int]] | None:
    """Count what comes by day and step; None where that takes longer than somebody waits."""
    try:
        with engine.within(PATIENCE):
            upcoming = forecasts.upcoming(campaign, now, now + timedelta(days=DAYS))
    except engine.TookTooLong:
        return None
    return [
        (charts.on(one.day), f"{one.step.number}. {wording.label(one.step)}", one.messages)
        for one in upcoming
    ]
