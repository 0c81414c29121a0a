"""The page of the retention: triangles by month of the first order, or of entering a segment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget

from core.admin.charts import HeatMap
from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from core.shop import shop
from segments.admin.access import ADD_SEGMENT, VIEW_CUSTOMER, VIEW_SEGMENT
from segments.lifecycle import retention
from segments.lifecycle.retention import Cohort, Question
from segments.models import Segment

from .customer_rows import NameForm, create_from_form, rows_page
from .page_context import lifecycle_context

MONTHS: Final = 12
SECONDS: Final = 10.0
"""The time limit of a statement."""


class RetentionForm(forms.Form):
    """The query string: what the cohorts are, and what counts as coming back."""

    segment = forms.ModelChoiceField(
        Segment.objects.order_by("name"),
        label="Month of",
        required=False,
        empty_label="the first order",
        to_field_name="slug",
        widget=UnfoldAdminSelectWidget(),
    )
    measure = forms.ChoiceField(
        label="Counted are those who",
        required=False,
        choices=[("orders", "ordered in the month"), ("members", "were members at its end")],
        widget=UnfoldAdminSelectWidget(),
    )


class CellForm(forms.Form):
    """The query string of a cell: the first day of the cohort's month, and how many months later."""

    cohort = forms.DateField(input_formats=["%Y-%m-%d"])
    later = forms.IntegerField(required=False, min_value=0, max_value=MONTHS)


@dataclass(frozen=True)
class TriangleCell:
    count: int
    share: int
    url: str
    label: str


@dataclass(frozen=True)
class TriangleRow:
    cohort: Cohort
    name: str
    url: str
    cells: Sequence[TriangleCell]


def requested_question(request: HttpRequest) -> tuple[RetentionForm, Question]:
    """Read the query string; an invalid field is ignored."""
    form = RetentionForm(request.GET)
    form.is_valid()
    segment = form.cleaned_data.get("segment")
    is_of_members = bool(segment) and form.cleaned_data.get("measure") == "members"
    return form, Question(segment, "members" if is_of_members else "orders")


def months() -> list[date]:
    return retention.months_until(timezone.localdate(), MONTHS)


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def retention_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the form. The triangle is loaded later."""
    form, question = requested_question(request)
    context = lifecycle_context(model_admin, request, "retention", "Retention") | {
        "form": form,
        "query": urlencode(_query(question)),
        "question_text": _question_text(question),
    }
    return TemplateResponse(request, "segments/admin/lifecycle/retention.html", context)


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def retention_panel(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Show the triangle as a heat map and as a table, or that it takes too long."""
    _, question = requested_question(request)
    sees_who = request.user.has_perm(VIEW_CUSTOMER)
    context: dict[str, Any] = {"question": question}
    try:
        cohorts = retention.read_cohorts(question, months(), SECONDS)
    except time_limits.StatementTimeout:
        context["patience"] = SECONDS
    else:
        rows = [_row(question, cohort, sees_who=sees_who) for cohort in cohorts if cohort.size]
        context |= {
            "rows": rows,
            "later": range(MONTHS),
            "chart": _heat_map(rows, question) if rows else None,
        }
    return TemplateResponse(request, "segments/admin/lifecycle/retention_panel.html", context)


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER)
def retention_people_view(model_admin: Any, request: HttpRequest) -> HttpResponseBase:
    """Show one page of the customers of a cell. A POST makes a list or a campaign of them."""
    may_make = request.user.has_perm(ADD_SEGMENT)
    if request.method not in READ_METHODS and not may_make:
        raise PermissionDenied
    _, question = requested_question(request)
    cell, asked = CellForm(request.GET), months()
    if not cell.is_valid() or cell.cleaned_data["cohort"] not in asked:
        raise Http404
    place, later = asked.index(cell.cleaned_data["cohort"]), cell.cleaned_data["later"]
    title = _cell_title(question, asked[place], later)
    context = lifecycle_context(model_admin, request, "retention", title)
    context["back"] = f"{reverse('admin:segments_segment_retention')}?{urlencode(_query(question))}"
    try:
        keys = retention.customers_of_cell(question, asked, place, later, SECONDS)
    except time_limits.StatementTimeout:
        context["patience"] = SECONDS
        return TemplateResponse(request, "segments/admin/lifecycle/cell_people.html", context)
    form = NameForm(request.POST if request.method == "POST" else None, initial={"name": title[:180]})
    present_rule = {"in_segment": {"is": question.segment.slug}} if question.segment else None
    if form.is_valid():
        created = create_from_form(request, form, keys, title, present_rule)
        if created is not None:
            return created
    context |= rows_page(request, keys)
    context |= {
        "form": form,
        "may_make": may_make,
        "present_rule": present_rule,
        "currency": shop().currency,
    }
    return TemplateResponse(request, "segments/admin/lifecycle/cell_people.html", context)


def _query(question: Question) -> dict[str, str]:
    return {"segment": question.segment.slug, "measure": question.measure} if question.segment else {}


def _question_text(question: Question) -> str:
    if question.segment is None:
        return "Who ordered again, by month of the first order"
    what = "ordered" if question.measure == "orders" else "are members"
    return f"Who {what}, by month of entering {question.segment.name}"


def _cell_title(question: Question, month: date, later: int | None) -> str:
    entered = f"entered {question.segment.name}" if question.segment else "First order"
    title = f"{entered} in {month:%B %Y}"
    title = title[0].upper() + title[1:]
    if later is None:
        return title
    returned = "ordered" if question.measure == "orders" else "were members"
    return f"{title}, {returned} {f'{later} months later' if later != 1 else 'a month later'}"


def _cell_url(question: Question, cohort: Cohort, later: int | None) -> str:
    query = _query(question) | {"cohort": cohort.month.isoformat()}
    if later is not None:
        query["later"] = str(later)
    return f"{reverse('admin:segments_segment_retention_people')}?{urlencode(query)}"


def _row(question: Question, cohort: Cohort, *, sees_who: bool) -> TriangleRow:
    name = f"{cohort.month:%b %Y}"
    return TriangleRow(
        cohort,
        name,
        _cell_url(question, cohort, None) if sees_who else "",
        [
            TriangleCell(
                count,
                round(100 * count / cohort.size),
                _cell_url(question, cohort, later) if count and sees_who else "",
                f"{name}, {later} months later: {count:,} of {cohort.size:,}",
            )
            for later, count in enumerate(cohort.returned)
        ],
    )


def _heat_map(rows: Sequence[TriangleRow], question: Question) -> HeatMap:
    width = max(len(row.cells) for row in rows)

    def padded(values: list[Any], empty: Any) -> list[Any]:
        return values + [empty] * (width - len(values))

    return HeatMap(
        f"{_question_text(question)}: a share for each month of the {len(rows)} cohorts. The table below has all"
        " numbers.",
        [row.name for row in rows],
        [str(later) for later in range(width)],
        [padded([cell.share for cell in row.cells], None) for row in rows],
        [padded([cell.url for cell in row.cells], "") for row in rows],
    )
