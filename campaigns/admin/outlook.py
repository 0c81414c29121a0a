"""What a campaign is about to do: what comes in the next days, and a dry run of whom it would reach right now."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from campaigns import journeys
from campaigns.models import Campaign
from customers import engine
from customers.admin import contact
from customers.models import Customer
from segments.admin import charts
from segments.admin.access import READ, SEE_CUSTOMERS, needs
from segments.insights import PATIENCE

from . import access, pages, wording

DAYS: Final = 7


@dataclass(frozen=True)
class Reach:
    """Whom a campaign would reach now: how many, how many later, who is held back why, and some of them."""

    reached: int
    later: int
    held_back: Mapping[str, int]
    sample: list[tuple[Customer, str]]

    @property
    def held_back_in_all(self) -> int:
        """Give how many are held back, whatever the reason."""
        return sum(self.held_back.values())

    @property
    def in_all(self) -> int:
        """Give how many were looked at."""
        return self.reached + self.later + self.held_back_in_all


@needs(access.SEE, methods=READ)
def page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the next days by step, and who would get the first message now."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    now = datetime.now(UTC)
    context = pages.of(model_admin, request, campaign, "outlook") | {"days": DAYS, "patience": PATIENCE}
    if context["steps"]:
        context |= {"reach": reach(request, campaign, now), "coming": _coming(campaign, context, now)}
    return TemplateResponse(request, "campaigns/admin/outlook.html", context)


def reach(request: HttpRequest, campaign: Campaign, at: datetime) -> Reach | None:
    """Ask whom the campaign would reach at an instant; None where that takes longer than somebody waits."""
    try:
        with engine.within(PATIENCE):
            found = journeys.dry_run(campaign, at)
    except engine.TookTooLong:
        return None
    may_see = request.user.has_perm(SEE_CUSTOMERS)
    sample = (
        [(contact.seen_by(request, customer), told) for customer, told in found.sample] if may_see else []
    )
    return Reach(found.reached, found.later, found.held_back, sample)


def _coming(campaign: Campaign, context: Mapping[str, Any], now: datetime) -> list[tuple[str, str, int]]:
    labels = {step.number: wording.label(step) for step in context["steps"]}
    return [
        (charts.on(one.day), f"{one.step}. {labels.get(one.step, '')}", one.messages)
        for one in journeys.upcoming(campaign, now, now + timedelta(days=DAYS))
    ]
