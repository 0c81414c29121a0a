"""The page of the flow: a matrix and a picture of who went from which stage to which between any two days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from core.admin.charts import SankeyChart, SankeyLink, SankeyNode, short_date
from core.admin.day_field import DayField
from core.admin.permissions import READ_METHODS, require_permissions
from core.shop import shop
from segments import stages
from segments.admin.access import VIEW_SEGMENT
from segments.lifecycle import kept_flows
from segments.lifecycle.flow import Flow
from segments.lifecycle.kept_flows import FlowUnavailable
from segments.stages import NO_STAGE, Stage

from .page_context import lifecycle_context, may_list

NEW, OUTSIDE = "New, or in no stage", "In no stage"


class FlowDaysForm(forms.Form):
    """The query string: two days. An invalid one is ignored."""

    since = DayField(label="From the end of", widget=forms.DateInput({"type": "date"}))
    until = DayField(label="to the end of", widget=forms.DateInput({"type": "date"}))


@dataclass(frozen=True)
class Days:
    """Two days, the first one not later than the second, which is yesterday at the latest."""

    since: date
    until: date

    @property
    def query(self) -> str:
        return urlencode({"since": self.since.isoformat(), "until": self.until.isoformat()})

    @property
    def words(self) -> str:
        first = self.since + timedelta(days=1)
        year = "" if first.year == self.until.year else f" {first.year}"
        return f"{short_date(first)}{year} to {short_date(self.until)} {self.until.year}"


@dataclass(frozen=True)
class MatrixCell:
    customers: int = 0
    revenue: Decimal = Decimal(0)
    url: str = ""
    stays: bool = False
    label: str = ""


@dataclass(frozen=True)
class MatrixRow:
    name: str
    cells: Sequence[MatrixCell]
    total: int


def requested_days(request: HttpRequest) -> Days:
    """Return the days of the query string, or else those of this month up to yesterday, or of the last month."""
    form = FlowDaysForm(request.GET)
    form.is_valid()
    given = form.cleaned_data
    yesterday = timezone.localdate() - timedelta(days=1)
    until = min(given.get("until") or yesterday, yesterday)
    since = given.get("since") or until.replace(day=1) - timedelta(days=1)
    return Days(min(since, until), until)


def offered_days() -> list[tuple[str, Days]]:
    """Return the periods that staff choose most."""
    yesterday = timezone.localdate() - timedelta(days=1)
    month = yesterday.replace(day=1) - timedelta(days=1)
    return [
        ("This month", Days(month, yesterday)),
        ("Last month", Days(month.replace(day=1) - timedelta(days=1), month)),
        ("7 days", Days(yesterday - timedelta(days=7), yesterday)),
        ("90 days", Days(yesterday - timedelta(days=90), yesterday)),
        ("12 months", Days(yesterday - timedelta(days=365), yesterday)),
    ]


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def flow_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the form with the days. The matrix is loaded later."""
    days = requested_days(request)
    context = lifecycle_context(model_admin, request, "flow", "Flow") | {
        "form": FlowDaysForm({"since": days.since, "until": days.until}),
        "days": days,
        "offered": [(name, one, one == days) for name, one in offered_days()],
    }
    return TemplateResponse(request, "segments/admin/lifecycle/flow.html", context)


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def flow_panel(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the matrix and the picture, or that a worker computes them: then the panel loads itself again.

    The home page shows it, too: there the matrix is closed at first.
    """
    days, asked = requested_days(request), stages.lifecycle_stages()
    context: dict[str, Any] = {"days": days, "currency": shop().currency, "is_brief": "brief" in request.GET}
    try:
        found = kept_flows.find_flow(asked, days.since, days.until)
    except FlowUnavailable as error:
        context["error"] = str(error)
    else:
        if found == "waiting":
            context["is_waiting"] = True
        else:
            links = bool(found.key) and may_list(request, asked)
            context |= _flow_context(stages.in_shown_order(asked), found.flow, days, links=links)
            context["computed_at"] = found.computed_at
    return TemplateResponse(request, "segments/admin/lifecycle/flow_panel.html", context)


def cell_url(days: Days, source: str, target: str) -> str:
    """Return the URL of the list of the customers of a cell."""
    query = {"since": days.since.isoformat(), "until": days.until.isoformat(), "source": source}
    return f"{reverse('admin:segments_segment_flow_people')}?{urlencode(query | {'target': target})}"


def stage_name(shown: Sequence[Stage], slug: str, *, before: bool) -> str:
    outside = NEW if before else OUTSIDE
    return next((stage.name for stage in shown if stage.slug == slug), outside)


def _flow_context(shown: Sequence[Stage], flow: Flow, days: Days, *, links: bool) -> dict[str, Any]:
    cells = {(cell.source, cell.target): cell for cell in flow.cells}
    slugs = [stage.slug for stage in shown]
    sources = [*slugs, NO_STAGE] if flow.before(NO_STAGE) else slugs
    targets = [*slugs, NO_STAGE] if flow.after(NO_STAGE) else slugs

    def matrix_cell(source: str, target: str) -> MatrixCell:
        cell = cells.get((source, target))
        names = (
            stage_name(shown, source, before=True),
            stage_name(shown, target, before=False),
        )
        return MatrixCell(
            cell.customers if cell else 0,
            cell.revenue if cell else Decimal(0),
            cell_url(days, source, target) if cell and links else "",
            source == target,
            f"{cell.customers if cell else 0:,} from {names[0]} to {names[1]}",
        )

    return {
        "columns": [
            (stage_name(shown, slug, before=False), flow.after(slug), flow.after(slug) - flow.before(slug))
            for slug in targets
        ],
        "matrix": [
            MatrixRow(
                stage_name(shown, source, before=True),
                [matrix_cell(source, target) for target in targets],
                flow.before(source),
            )
            for source in sources
        ],
        "total": sum(cell.customers for cell in flow.cells),
        "revenue": sum((cell.revenue for cell in flow.cells), Decimal(0)),
        "chart": _sankey(shown, flow, days, links=links),
    }


def _sankey(shown: Sequence[Stage], flow: Flow, days: Days, *, links: bool) -> SankeyChart | None:
    """Return the picture of those who moved. None if nobody did."""
    moved = [cell for cell in flow.cells if cell.source != cell.target]
    if not moved:
        return None
    order = [NO_STAGE, *(stage.slug for stage in shown)]
    sources = [slug for slug in order if any(cell.source == slug for cell in moved)]
    targets = [slug for slug in (*order[1:], NO_STAGE) if any(cell.target == slug for cell in moved)]
    moved.sort(key=lambda cell: (sources.index(cell.source), targets.index(cell.target)))
    nodes = [
        *(
            SankeyNode(f"from {slug}", stage_name(shown, slug, before=True), flow.left(slug), 0)
            for slug in sources
        ),
        *(
            SankeyNode(f"to {slug}", stage_name(shown, slug, before=False), flow.entered(slug), 1)
            for slug in targets
        ),
    ]
    told = "; ".join(
        f"{stage_name(shown, cell.source, before=True)} to {stage_name(shown, cell.target, before=False)}"
        f" {cell.customers:,}"
        for cell in sorted(moved, key=lambda cell: -cell.customers)[:5]
    )
    return SankeyChart(
        f"Who changed the stage, {days.words}. The largest: {told}. The table below has all numbers.",
        nodes,
        [
            SankeyLink(
                f"from {cell.source}",
                f"to {cell.target}",
                cell.customers,
                cell_url(days, cell.source, cell.target) if links else "",
            )
            for cell in moved
        ],
    )
