"""The home page: what is shown at once. Panels that read many rows are loaded later."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.http import HttpRequest
from django.utils import timezone

from campaigns.admin import access, notices
from core.admin.charts import Chart, Series, Style
from customers.models import Customer
from segments import insights, stages
from segments.admin import charts, texts
from segments.admin.access import ADD_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from segments.insights import MONTH, Trend
from segments.models import Change, Segment
from segments.stages import Stage
from segments.templates import TEMPLATES

from . import first_day, status, waiting

MAX_SEGMENTS: Final = 100
"""The most ready-to-use segments shown, and the most other segments."""
MOVEMENT_STYLES: Final = (("entered", Style("#0284c7")), ("left", Style("#d97706", 1)))


@dataclass(frozen=True)
class SegmentRow:
    """A segment on the home page."""

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


@dataclass(frozen=True)
class MovementRow:
    """Who entered and left a segment in the last month, with the URLs of the lists."""

    segment: Segment
    entered: int
    left: int
    entered_url: str
    left_url: str


def home_context(request: HttpRequest, context: dict[str, Any]) -> Mapping[str, Any]:
    """Return the context of the home page; ``DASHBOARD_CALLBACK`` of the admin's theme."""
    steps = first_day.first_day(request)
    context |= {
        "first_day": steps,
        "notices": notices.sending_notices(request, is_set_up=not (steps and steps.is_open)),
    }
    if not request.user.has_perm(VIEW_SEGMENT):
        return context
    now = datetime.now(UTC)
    segments = list(Segment.objects.all())
    shown_stages = stages.in_shown_order(stages.stored_stages())
    in_stages = {stage.slug for stage in shown_stages}
    rows = _segment_rows(segments, now)
    has_customers = Customer.objects.exists()
    movements = _movement_rows(rows, shown_stages, timezone.localdate(now))
    sees_who = request.user.has_perm(VIEW_CUSTOMER)
    return context | {
        "shows_segments": True,
        "status": status.system_status(request, segments, now),
        "waiting": waiting.waiting_items(request, segments, now),
        "stages": [stage for stage in shown_stages if stage.is_refreshed],
        "offers_lifecycle": bool(segments) and not shown_stages and request.user.has_perm(ADD_SEGMENT),
        "movements": movements,
        "movements_chart": _movements_chart(movements, sees_who=sees_who) if movements else None,
        "groups": [row for row in rows if row.segment.template and row.segment.slug not in in_stages],
        "others": [row for row in rows if not row.segment.template and row.segment.slug not in in_stages],
        "has_more": len(segments) > len(rows),
        "shows_suggestions": request.user.has_perm(access.VIEW_CAMPAIGN),
        "sees_who": sees_who,
        "has_customers": has_customers,
        "has_segments": bool(segments),
    }


def _segment_rows(segments: Iterable[Segment], now: datetime) -> list[SegmentRow]:
    """Return the ready-to-use segments in the order of their templates, and the other segments by name."""
    places = {slug: place for place, slug in enumerate(TEMPLATES)}
    ready = [segment for segment in segments if segment.template in places]
    ready.sort(key=lambda segment: places[segment.template])
    others = [segment for segment in segments if segment.template not in places]
    shown = [*ready[:MAX_SEGMENTS], *others[:MAX_SEGMENTS]]
    trends = insights.segment_trends(shown, now)
    return [
        SegmentRow(segment, texts.status_text(segment), texts.status_label(segment), trends.get(segment.pk))
        for segment in shown
    ]


def _movement_rows(rows: Sequence[SegmentRow], shown: Sequence[Stage], today: date) -> list[MovementRow]:
    """Return the segments of the stages with who entered and left, in the order of a life."""
    since = today - timedelta(days=MONTH - 1)
    by_slug = {row.segment.slug: row for row in rows}
    return [
        MovementRow(
            row.segment,
            row.trend.month.entered,
            row.trend.month.left,
            *(
                charts.changes_url(row.segment, change, since, today, with_initial=False)
                for change in (Change.Kind.ENTERED, Change.Kind.LEFT)
            ),
        )
        for stage in shown
        if (row := by_slug.get(stage.slug)) and row.trend
    ]


def _movements_chart(rows: Sequence[MovementRow], *, sees_who: bool) -> Chart:
    """Return bars: entered to the right, left to the left."""
    (entered, entered_style), (left, left_style) = MOVEMENT_STYLES
    described = ", ".join(f"{row.segment.name} {row.entered:,} and {row.left:,}" for row in rows)
    return Chart(
        "bars",
        f"Entered and left in the last {MONTH} days: {described}.",
        [row.segment.name for row in rows],
        [
            Series(
                left.capitalize(),
                [-row.left for row in rows],
                left_style,
                [row.left_url if row.left and sees_who else "" for row in rows],
            ),
            Series(
                entered.capitalize(),
                [row.entered for row in rows],
                entered_style,
                [row.entered_url if row.entered and sees_who else "" for row in rows],
            ),
        ],
        ((left, left_style), (entered, entered_style)),
        is_stacked=True,
    )
