"""The overview of a campaign: its results, or what is missing before a draft can start."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from campaigns import lifecycle, results
from campaigns.channels.registry import CHANNELS, sends_messages
from campaigns.messages import rendering
from campaigns.models import Campaign, Step
from campaigns.results import DayResults
from core.admin.charts import Chart, Series, Style, short_date
from core.db import time_limits
from core.shop import shop
from segments.admin.access import VIEW_CUSTOMER
from segments.insights import QUERY_SECONDS

from . import access, page_context, texts

MAX_DAYS_SHOWN = 60
# Distinguishable on white and on black, and for people with red-green colour blindness.
RESULT_STYLES: Final = {
    "sent": ("sent", Style("#0284c7")),
    "clicked": ("clicked", Style("#d97706", 1)),
    "ordered": ("orders", Style("#16a34a", 2)),
}


def overview_page(model_admin: Any, request: HttpRequest, campaign: Campaign) -> TemplateResponse:
    now = datetime.now(UTC)
    context = page_context.campaign_page_context(model_admin, request, campaign, "overview")
    context |= {"currency": shop().currency, "credit_days": settings.CAMPAIGN_CREDIT_DAYS}
    if context["is_draft"]:
        context["to_do"] = problems_of_draft(campaign, context["steps"])
        return TemplateResponse(request, "campaigns/admin/draft.html", context)
    campaign_results = results.campaign_results(campaign, now)
    shown = {channel.key for channel in CHANNELS.values() if channel.reached_at == "shown_at"}
    sees_who = request.user.has_perms([access.VIEW_DELIVERY, VIEW_CUSTOMER])
    context |= {
        "results": campaign_results,
        "sees_who": sees_who,
        "held_back": sorted(campaign_results.held_back.items(), key=lambda item: -item[1]),
        "held_back_total": sum(campaign_results.held_back.values()),
        "chart": daily_chart(
            campaign,
            campaign_results.days[-MAX_DAYS_SHOWN:],
            sees_who=sees_who,
        )
        if len(campaign_results.days) > 1
        else None,
        "days": [(short_date(day.day), day) for day in reversed(campaign_results.days[-MAX_DAYS_SHOWN:])],
        "step_results": [
            (step, texts.message_title(step.subject, step.channel), step.channel in shown)
            for step in campaign_results.steps
        ],
        "active_journey_count": campaign.journeys.filter(state="active").count(),
    }
    return TemplateResponse(request, "campaigns/admin/campaign.html", context)


def problems_of_draft(campaign: Campaign, steps: Sequence[Step]) -> list[str]:
    """Return what prevents the start of a draft or the sending of its messages, a sentence each."""
    problems = []
    if not steps:
        problems.append("Add a step.")
    for step in steps:
        empty = not (step.text or step.html or step.subject or step.url)
        if empty and sends_messages(step.channel):
            problems.append(f"Step {step.number} is empty. Write its message.")
        problems += [f"Step {step.number}: {problem}" for problem in rendering.problem_texts(step)]
    return problems + lifecycle.start_problems(campaign, steps, datetime.now(UTC))


def revenue_by_campaign(campaigns: Iterable[Campaign], at: datetime) -> Mapping[int, Decimal]:
    """Return the revenue of each campaign by its key, with one query; raises ``time_limits.StatementTimeout``."""
    keys = [campaign.pk for campaign in campaigns]
    with time_limits.time_limit(QUERY_SECONDS):
        return dict.fromkeys(keys, Decimal()) | results.revenue_by_campaign(keys, at)


def daily_chart(campaign: Campaign, days: Sequence[DayResults], *, sees_who: bool) -> Chart:
    """Return columns: messages sent and clicked, and orders of each day. Messages lead to who got them."""
    address = reverse("admin:campaigns_campaign_deliveries", args=[campaign.pk])
    series = [
        Series(
            name.capitalize(),
            [getattr(day, attribute) for day in days],
            style,
            [
                f"{address}?{attribute}={day.day.isoformat()}" if getattr(day, attribute) else ""
                for day in days
            ]
            if sees_who and attribute in ("sent", "clicked")
            else (),
        )
        for attribute, (name, style) in RESULT_STYLES.items()
    ]
    sent, clicked, ordered = (sum(value or 0 for value in one.values) for one in series)
    label = f"Per day: {sent:,} sent, {clicked:,} clicked and {ordered:,} orders in total."
    return Chart(
        "columns", label, [short_date(day.day) for day in days], series, tuple(RESULT_STYLES.values())
    )
