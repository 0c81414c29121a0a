"""The admin's dashboard: the lifecycle segments and their trends, problems, and first steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from core.durations import rough_duration_text
from customers.facts.totals import read_totals
from customers.models import Customer
from segments import health, insights
from segments.insights import Trend
from segments.models import Segment, Verification
from segments.templates import TEMPLATES

from . import charts, texts
from .access import ADD_SEGMENT, VIEW_SEGMENT

VIEW_ENDPOINT = "segments.view_endpoint"
MAX_SEGMENTS = 100
"""The most ready-to-use segments shown, and the most other segments."""


@dataclass(frozen=True)
class SegmentRow:
    """A segment on the dashboard."""

    segment: Segment
    status: str
    label: str
    trend: Trend | None

    @property
    def sparkline(self) -> str:
        """Return the points of a line of the sizes of the last month."""
        return charts.sparkline_points(self.trend.sizes) if self.trend else ""

    @property
    def grew(self) -> str:
        """Return by how much the segment grew in a week, in words."""
        since = self.trend.since_a_week if self.trend else None
        if since is None:
            return "new this week" if self.trend else ""
        if not since:
            return "same size as 7 days ago"
        return f"{'▲' if since > 0 else '▼'} {abs(since):,} in 7 days"


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the data of the dashboard, for staff who may see segments."""
    if not request.user.has_perm(VIEW_SEGMENT):
        return context
    now = datetime.now(UTC)
    segments = list(Segment.objects.all())
    lifecycle, others = _segment_rows(segments, now)
    totals = read_totals()
    has_customers = Customer.objects.exists()
    beat = health.refresh_health(now)
    return context | {
        "shows_segments": True,
        "lifecycle": lifecycle,
        "others": others,
        "has_more": len(segments) > len(lifecycle) + len(others),
        "webhooks": health.troubled_endpoints(now) if request.user.has_perm(VIEW_ENDPOINT) else [],
        "failing": [segment for segment in segments if segment.status == "failing"][:MAX_SEGMENTS],
        "customers": totals.customers if totals else 0,
        "pulse": beat,
        "age": rough_duration_text(beat.age) if beat.age is not None else "",
        "verified": Verification.objects.exclude(finished_at=None).first(),
        "has_customers": has_customers,
        "has_segments": bool(segments),
        "is_set_up": has_customers and segments and beat.latest,
        "may_add": request.user.has_perm(ADD_SEGMENT),
    }


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def customer_counts_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show how many customers are known and anonymous, or that counting takes too long."""
    context: dict[str, Any] = {}
    try:
        context["counts"] = insights.count_customers(insights.QUERY_SECONDS)
    except time_limits.StatementTimeout:
        context["patience"] = insights.QUERY_SECONDS
    return TemplateResponse(request, "segments/admin/customer_counts.html", context)


def _segment_rows(segments: Iterable[Segment], now: datetime) -> tuple[list[SegmentRow], list[SegmentRow]]:
    """Return the ready-to-use segments in the order of the lifecycle, and the other segments by name."""
    places = {slug: place for place, slug in enumerate(TEMPLATES)}
    ready = [segment for segment in segments if segment.template in places]
    ready.sort(key=lambda segment: places[segment.template])
    others = [segment for segment in segments if segment.template not in places]
    shown = ready[:MAX_SEGMENTS], others[:MAX_SEGMENTS]
    trends = insights.segment_trends([segment for some in shown for segment in some], now)
    lifecycle, rest = (
        [
            SegmentRow(
                segment,
                texts.status_text(segment),
                texts.status_label(segment),
                trends.get(segment.pk),
            )
            for segment in some
        ]
        for some in shown
    )
    return lifecycle, rest
