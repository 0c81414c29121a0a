"""Who entered or left a segment in some days, and why: what a bar of a chart stands for."""

from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone

from core.admin.charts import short_date
from core.admin.day_field import DayField
from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from customers.admin import contact_data
from customers.models import Customer
from segments import insights
from segments.evaluation.context import shop_zone
from segments.models import Change, DailyChangeCount, Segment

from . import charts
from .access import VIEW_CUSTOMER, VIEW_SEGMENT
from .page_context import admin_context

PAGE_SIZE = 50
MAX_KEY = 2**63 - 1
DEFAULT_DAYS = timedelta(days=29)


class ChangesQueryForm(forms.Form):
    """The query string: which changes of which days, and the id before which the page starts."""

    change = forms.ChoiceField(required=False, choices=Change.Kind.choices)
    cause = forms.ChoiceField(required=False, choices=Change.Cause.choices)
    since = DayField()
    until = DayField()
    without = forms.ChoiceField(required=False, choices=[(Change.Cause.INITIAL.value, "the first refresh")])
    before = forms.IntegerField(required=False, min_value=1, max_value=MAX_KEY)


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER, methods=READ_METHODS)
def changes_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show one page of the changes, the newest first."""
    segment = get_object_or_404(Segment, pk=pk)
    form = ChangesQueryForm(request.GET)
    form.is_valid()  # an invalid value is ignored
    given = form.cleaned_data
    change = given.get("change") or Change.Kind.ENTERED.value
    cause = given.get("cause", "")
    until = min(given.get("until") or timezone.localdate(), timezone.localdate())
    since = min(given.get("since") or until - DEFAULT_DAYS, until)
    counts = DailyChangeCount.objects.filter(segment=segment, change=change, day__range=(since, until))
    with_initial = not given.get("without")
    counts = _of_causes(counts, cause, with_initial=with_initial)
    total = counts.aggregate(total=Sum("customers", default=0))["total"]
    context = admin_context(model_admin, request, "Entered and left", segment) | {
        "tab": "overview",
        "total": total,
        "has_entered": change == Change.Kind.ENTERED,
        "cause": charts.CAUSE_STYLES[cause][0] if cause else "",
        "days": _days_text(since, until),
        "other_kind": charts.changes_url(
            segment,
            Change.Kind.LEFT if change == Change.Kind.ENTERED else Change.Kind.ENTERED,
            since,
            until,
            cause,
            with_initial=with_initial,
        ),
        "all_causes": charts.changes_url(segment, change, since, until) if cause or not with_initial else "",
        "is_first": not given.get("before"),
    }
    # As many as were counted: a search for more would read the whole log.
    count = min(PAGE_SIZE + 1, total)
    changes = _of_causes(_changes(segment, change, since, until), cause, with_initial=with_initial)
    if given.get("before"):
        changes = changes.filter(pk__lt=given["before"])
    try:
        with time_limits.time_limit(insights.QUERY_SECONDS):
            rows = list(changes.order_by("-pk")[:count])
    except time_limits.StatementTimeout:
        context["patience"] = insights.QUERY_SECONDS
    else:
        query = request.GET.copy()
        if len(rows) > PAGE_SIZE:
            query["before"] = str(rows[PAGE_SIZE - 1].pk)
            context["next"] = f"?{query.urlencode()}"
        context["rows"] = _rows(request, rows[:PAGE_SIZE])
    return TemplateResponse(request, "segments/admin/changes.html", context)


def _changes(segment: Segment, change: str, since: date, until: date) -> QuerySet[Change]:
    zone = shop_zone()
    return Change.objects.filter(
        segment=segment,
        change=change,
        at__gte=datetime.combine(since, time(), zone),
        at__lt=datetime.combine(until + timedelta(days=1), time(), zone),
    )


def _of_causes(changes: Any, cause: str, *, with_initial: bool) -> Any:
    """Return the changes, or the counts of changes, of one cause or of all."""
    if cause:
        return changes.filter(cause=cause)
    return changes if with_initial else changes.exclude(cause=Change.Cause.INITIAL)


def _rows(request: HttpRequest, changes: list[Change]) -> list[tuple[Change, Customer | None, str]]:
    """Return each change with its customer, None if the customer is erased, and the cause in words."""
    customers = contact_data.customers_by_key(request, {change.customer_id for change in changes})
    return [
        (change, customers.get(change.customer_id), charts.CAUSE_STYLES[change.cause][0])
        for change in changes
    ]


def _days_text(since: date, until: date) -> str:
    if since == until:
        return f"on {short_date(since)} {since.year}"
    first_year = "" if since.year == until.year else f" {since.year}"
    return f"from {short_date(since)}{first_year} to {short_date(until)} {until.year}"
