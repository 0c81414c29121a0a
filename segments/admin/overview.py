"""The overview of a segment: size, who entered and left and why, revenue, overlap, and the last verification."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from core.admin.charts import short_date
from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from core.durations import rough_duration_text
from core.shop import shop
from segments import health, insights, references
from segments.insights import SegmentDay
from segments.models import Change, Segment
from segments.templates import TEMPLATES

from . import charts, duplicates, filling, tabs
from .access import VIEW_CUSTOMER, VIEW_SEGMENT
from .page_context import admin_context

PERIODS = (30, 90)
MAX_OVERLAPS = 50
VERIFICATION_LABELS = {
    "right": ("Right", "success"),
    "different": ("Different", "danger"),
    "edited": ("Edited since", "warning"),
    "skipped": ("Not compared", "info"),
}


def overview_view(model_admin: Any, request: HttpRequest, segment: Segment) -> HttpResponse:
    """Show a segment. Panels that must read every member are loaded later."""
    now, period = datetime.now(UTC), _chosen_period(request)
    days = insights.segment_days(segment, now, period)
    chosen, is_filling = segment.template_parameters, filling.is_filling(segment)
    verified = health.verification_status(segment)
    context = admin_context(model_admin, request, segment.name, segment) | {
        "tab": "overview",
        "is_filling": is_filling,
        "duplicate_url": duplicates.duplicate_url(segment),
        "panels": tabs.panels(request, segment),
        **(filling.filling_context(segment) if is_filling else {}),
        "age": rough_duration_text(max(now - segment.refreshed_at, timedelta()))
        if segment.refreshed_at
        else "",
        "period": period,
        "periods": PERIODS,
        "sizes": charts.size_chart(days) if len(days) > 1 else None,
        "movements": charts.movements_chart(segment, days, sees_who=request.user.has_perm(VIEW_CUSTOMER))
        if _has_movements(days)
        else None,
        "table": [_day_row(segment, day) for day in reversed(days)],
        "verified": verified,
        "verdict": VERIFICATION_LABELS[verified.state] if verified else None,
        "referrers": references.referring_segments(segment.slug),
        "made_from": TEMPLATES.get(segment.template),
        "made_with": ", ".join(f"{name} {value}".replace("_", " ") for name, value in chosen.items()),
    }
    return TemplateResponse(request, "segments/admin/overview.html", context)


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def revenue_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show what the members have bought, or that this takes too long to compute."""
    segment = get_object_or_404(Segment, pk=pk)
    context: dict[str, Any] = {"segment": segment, "currency": shop().currency}
    try:
        context["revenue"] = insights.member_revenue(segment, insights.QUERY_SECONDS)
    except time_limits.StatementTimeout:
        context["patience"] = insights.QUERY_SECONDS
    return TemplateResponse(request, "segments/admin/revenue.html", context)


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def overlap_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show which other segments the members are in, or that this takes too long to count."""
    segment = get_object_or_404(Segment, pk=pk)
    context: dict[str, Any] = {"segment": segment}
    try:
        overlaps = insights.find_overlaps(segment, insights.QUERY_SECONDS)
        context |= {"overlaps": overlaps.overlaps[:MAX_OVERLAPS], "sample_size": overlaps.sample_size}
    except time_limits.StatementTimeout:
        context["patience"] = insights.QUERY_SECONDS
    return TemplateResponse(request, "segments/admin/overlap.html", context)


def _chosen_period(request: HttpRequest) -> int:
    given = request.GET.get("days", "")
    return next((period for period in PERIODS if str(period) == given), PERIODS[0])


def _has_movements(days: Sequence[SegmentDay]) -> bool:
    return any(day.entered or day.left for day in days)


def _day_row(segment: Segment, day: SegmentDay) -> dict[str, Any]:
    return {
        "day": short_date(day.day),
        "size": day.size,
        "entered": sum(day.entered.values()),
        "entered_url": charts.changes_url(segment, Change.Kind.ENTERED, day.day, day.day),
        "entered_because": _because(segment, day.day, Change.Kind.ENTERED, day.entered),
        "left": sum(day.left.values()),
        "left_url": charts.changes_url(segment, Change.Kind.LEFT, day.day, day.day),
        "left_because": _because(segment, day.day, Change.Kind.LEFT, day.left),
    }


def _because(
    segment: Segment, day: date, change: str, counts: Mapping[str, int]
) -> list[tuple[str, int, str]]:
    """Return the causes with how many customers, and the URL of the list of them."""
    return [
        (words, counts[cause], charts.changes_url(segment, change, day, day, cause))
        for cause, (words, _) in charts.CAUSE_STYLES.items()
        if cause in counts
    ]
