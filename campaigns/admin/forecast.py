"""The page *Who gets what*: messages of the next days, and a dry run of the first message."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from campaigns.delivery.sending_policy import Decision
from campaigns.journeys import forecasts
from campaigns.models import Campaign
from core.admin.charts import short_date
from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from customers.admin import contact_data
from segments.admin.access import VIEW_CUSTOMER
from segments.insights import QUERY_SECONDS

from . import access, page_context, texts

FORECAST_DAYS: Final = 7


@require_permissions(access.VIEW_CAMPAIGN, methods=READ_METHODS)
def forecast_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    campaign = get_object_or_404(Campaign.objects.select_related("segment").prefetch_related("steps"), pk=pk)
    now = datetime.now(UTC)
    context = page_context.campaign_page_context(model_admin, request, campaign, "forecast") | {
        "days": FORECAST_DAYS,
        "time_limit": QUERY_SECONDS,
    }
    if context["steps"]:
        context |= dry_run_context(request, campaign, now) | {"upcoming": _upcoming_rows(campaign, now)}
    return TemplateResponse(request, "campaigns/admin/forecast.html", context)


def dry_run_context(request: HttpRequest, campaign: Campaign, at: datetime) -> dict[str, Any]:
    """Return the template context of a dry run; empty if it takes too long to compute."""
    try:
        with time_limits.time_limit(QUERY_SECONDS):
            dry_run = forecasts.dry_run(campaign, at, seconds=QUERY_SECONDS)
    except time_limits.StatementTimeout:
        return {}
    may_see = request.user.has_perm(VIEW_CUSTOMER)
    return {
        "dry_run": dry_run,
        "held_back_total": sum(dry_run.held_back.values()),
        "sample": [
            (contact_data.visible_customer(request, row.customer), _decision_text(row.decision))
            for row in dry_run.sample
            if may_see
        ],
    }


def _decision_text(decision: Decision) -> str:
    if decision.reason:
        return decision.reason
    return f"Gets it on {texts.moment_text(decision.not_before)}." if decision.not_before else "Gets it now."


def _upcoming_rows(campaign: Campaign, at: datetime) -> list[tuple[str, str, int]] | None:
    """Return the day, step and number of messages to come; None if that takes too long to compute."""
    try:
        with time_limits.time_limit(QUERY_SECONDS):
            upcoming = forecasts.upcoming_messages(
                campaign, at, at + timedelta(days=FORECAST_DAYS), seconds=QUERY_SECONDS
            )
    except time_limits.StatementTimeout:
        return None
    return [
        (short_date(row.day), f"{row.step.number}. {texts.step_title(row.step)}", row.messages)
        for row in upcoming
    ]
