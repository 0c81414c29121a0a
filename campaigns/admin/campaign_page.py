"""The overview of a campaign: its results, or what is missing before a draft can start."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.template.response import TemplateResponse

from campaigns import lifecycle, results
from campaigns.channels.registry import CHANNELS, sends_messages
from campaigns.messages import rendering
from campaigns.models import Campaign, Step
from campaigns.results import DayResults
from core.db import time_limits
from segments.admin import charts
from segments.admin.charts import Chart
from segments.insights import QUERY_SECONDS

from . import page_context, texts

MAX_DAYS_SHOWN = 60
# Distinguishable on white and on black, and for people with red-green colour blindness.
SENT_COLOUR, CLICKED_COLOUR, ORDERED_COLOUR = "#0284c7", "#d97706", "#16a34a"


def overview_page(model_admin: Any, request: HttpRequest, campaign: Campaign) -> TemplateResponse:
    now = datetime.now(UTC)
    context = page_context.campaign_page_context(model_admin, request, campaign, "overview")
    context |= {"currency": settings.SHOP_CURRENCY, "credit_days": settings.CAMPAIGN_CREDIT_DAYS}
    if context["is_draft"]:
        context["to_do"] = problems_of_draft(campaign, context["steps"])
        return TemplateResponse(request, "campaigns/admin/draft.html", context)
    campaign_results = results.campaign_results(campaign, now)
    shown = {channel.key for channel in CHANNELS.values() if channel.reached_at == "shown_at"}
    context |= {
        "results": campaign_results,
        "held_back": sorted(campaign_results.held_back.items(), key=lambda item: -item[1]),
        "held_back_total": sum(campaign_results.held_back.values()),
        "chart": daily_chart(campaign_results.days[-MAX_DAYS_SHOWN:])
        if len(campaign_results.days) > 1
        else None,
        "days": [
            (charts.short_date(day.day), day) for day in reversed(campaign_results.days[-MAX_DAYS_SHOWN:])
        ],
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


def daily_chart(days: Sequence[DayResults]) -> Chart:
    bars = [
        {"label": bar_label, "data": [getattr(day, name) for day in days], "backgroundColor": colour}
        for name, bar_label, colour in (
            ("sent", "Sent", SENT_COLOUR),
            ("clicked", "Clicked", CLICKED_COLOUR),
            ("ordered", "Orders", ORDERED_COLOUR),
        )
    ]
    totals = [sum(bar["data"]) for bar in bars]
    label = f"Per day: {totals[0]:,} sent, {totals[1]:,} clicked and {totals[2]:,} orders in total."
    data = json.dumps({"labels": [charts.short_date(day.day) for day in days], "datasets": bars})
    legend = (("sent", SENT_COLOUR), ("clicked", CLICKED_COLOUR), ("orders", ORDERED_COLOUR))
    return Chart("bar", label, data, charts.chart_options(stacked=False), legend)
