"""Who is about to enter or leave a segment by time alone: a page, a file, and the panel of the overview."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from core.admin.charts import Chart, Series, Style, short_date
from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from core.values.csv_injection import csv_text
from customers.admin import contact_data
from segments import disclosure, insights
from segments.evaluation import counting
from segments.evaluation.context import shop_zone
from segments.evaluation.upcoming import UpcomingChange, find_upcoming
from segments.models import Segment
from segments.rules import RuleError, parse

from . import charts
from .access import VIEW_CUSTOMER, VIEW_SEGMENT
from .page_context import admin_context

DAYS = (7, 30, 90)
WEEK = DAYS[0]
PAGE_SIZE = 50
MAX_PAGE = 100_000
HIDDEN = "When customers enter and leave would reveal contact data, which you may not see."
ENTER_STYLE, LEAVE_STYLE = Style("#0284c7"), Style("#d97706", 1)


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER, methods=READ_METHODS)
def upcoming_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show who enters and leaves within some days: by day, and as a list in order of time."""
    segment = get_object_or_404(Segment, pk=pk)
    within = _chosen_days(request)
    context = admin_context(model_admin, request, "About to enter or leave", segment)
    found = _found(segment, within) if _may_list(request, segment) else {"problem": HIDDEN}
    context |= {"tab": "upcoming", "within": within, "choices": DAYS, **found}
    changes = context.get("changes")
    if changes:
        days = _days_ahead(within)
        by_day = _counts_by_day(changes)
        number = _page_number(request.GET.get("page", ""))
        shown = changes[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
        query = request.GET.copy()
        query["page"] = str(number + 1)
        context |= {
            "chart": _chart_by_day(days, by_day),
            "days": [
                (short_date(day), by_day["entered", day], by_day["left", day])
                for day in days
                if by_day["entered", day] or by_day["left", day]
            ],
            "rows": _rows(request, shown),
            "next": f"?{query.urlencode()}" if len(changes) > number * PAGE_SIZE else "",
        }
    return TemplateResponse(request, "segments/admin/upcoming.html", context)


@require_permissions(VIEW_SEGMENT, VIEW_CUSTOMER, methods=READ_METHODS)
def upcoming_csv_view(
    model_admin: Any, request: HttpRequest, pk: int
) -> HttpResponse | StreamingHttpResponse:
    """Stream who enters and leaves within some days as CSV."""
    segment, within = get_object_or_404(Segment, pk=pk), _chosen_days(request)
    if not _may_list(request, segment):
        return HttpResponse(HIDDEN, status=403, content_type="text/plain; charset=utf-8")
    found = _found(segment, within)
    if "changes" not in found:
        message = found.get("problem") or "This took too long. Try again at a quieter time."
        return HttpResponse(message, status=503, content_type="text/plain; charset=utf-8")
    response = StreamingHttpResponse(
        _csv_rows(request, found["changes"]), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{segment.slug}-upcoming.csv"'
    return response


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def ahead_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show how many enter and leave within a week, and continue the chart of the size by that week."""
    segment = get_object_or_404(Segment, pk=pk)
    context: dict[str, Any] = {"segment": segment, "within": WEEK, **_found(segment, WEEK)}
    given = request.GET.get("days", "")
    days = insights.segment_days(segment, datetime.now(UTC), 90 if given == "90" else 30)
    if days and context.get("changes"):
        by_day = _counts_by_day(context["changes"])
        context["sizes"] = charts.size_chart(days, _sizes_ahead(segment.size, _days_ahead(WEEK)[1:], by_day))
    return TemplateResponse(request, "segments/admin/ahead.html", context)


def _may_list(request: HttpRequest, segment: Segment) -> bool:
    """Return whether the instants reveal no contact data to staff who may not see it."""
    if contact_data.may_see(request) or not segment.is_dynamic:
        return True
    try:
        return not disclosure.changes_reveal_contact_data(parse(segment.rule))
    except RuleError:
        return True  # the page shows the error


def _found(segment: Segment, within: int) -> dict[str, Any]:
    """Return the changes with their numbers, or why there are none."""
    if not segment.is_dynamic:
        return {"problem": "Only staff change a fixed list."}
    try:
        rule = parse(segment.rule)
        with time_limits.time_limit(insights.QUERY_SECONDS):
            changes = find_upcoming(rule, counting.stored_context(), timedelta(days=within))
    except RuleError as error:
        return {"problem": f"The rule is invalid: {error}"}
    except time_limits.StatementTimeout:
        return {"patience": insights.QUERY_SECONDS}
    counts = Counter(one.change for one in changes)
    return {"changes": changes, "entering": counts["entered"], "leaving": counts["left"]}


def _chosen_days(request: HttpRequest) -> int:
    given = request.GET.get("within", "")
    return next((days for days in DAYS if str(days) == given), WEEK)


def _page_number(given: str) -> int:
    return max(1, min(int(given), MAX_PAGE)) if given.isascii() and given.isdigit() and len(given) < 9 else 1


def _days_ahead(within: int) -> list[date]:
    """Return today and the following days, in the shop's time zone."""
    today = datetime.now(UTC).astimezone(shop_zone()).date()
    return [today + timedelta(days=n) for n in range(within + 1)]


def _counts_by_day(changes: Sequence[UpcomingChange]) -> Counter[tuple[str, date]]:
    zone = shop_zone()
    return Counter((one.change, one.at.astimezone(zone).date()) for one in changes)


def _sizes_ahead(size: int, days: Sequence[date], by_day: Counter[tuple[str, date]]) -> dict[date, int]:
    """Return the size at the end of each day ahead. What happens later today is in the first one."""
    sizes: dict[date, int] = {}
    today = days[0] - timedelta(days=1)
    for day in (today, *days):
        size += by_day["entered", day] - by_day["left", day]
        sizes[day] = size
    del sizes[today]
    return sizes


def _chart_by_day(days: Sequence[date], by_day: Counter[tuple[str, date]]) -> Chart:
    entering = [by_day["entered", day] for day in days]
    leaving = [by_day["left", day] for day in days]
    series, legend = [], []
    for words, values, style, sign in (
        ("Enter", entering, ENTER_STYLE, 1),
        ("Leave", leaving, LEAVE_STYLE, -1),
    ):
        if any(values):
            series.append(Series(words, [sign * value for value in values], style))
            legend.append((words.lower(), style))
    return Chart(
        "columns",
        f"Who enters and leaves by day: {sum(entering):,} enter and {sum(leaving):,} leave in total.",
        [short_date(day) for day in days],
        series,
        tuple(legend),
        is_stacked=True,
    )


def _rows(request: HttpRequest, changes: Sequence[UpcomingChange]) -> list[tuple[UpcomingChange, Any]]:
    customers = contact_data.customers_by_key(request, {one.key for one in changes})
    return [(one, customers[one.key]) for one in changes if one.key in customers]


def _csv_rows(request: HttpRequest, changes: Sequence[UpcomingChange]) -> Iterator[str]:
    yield csv_text([("customer_id", "change", "at")])
    for one in changes:
        at = one.at.astimezone(UTC).isoformat(timespec="microseconds")
        yield csv_text([(contact_data.visible_id(request, one.customer_id), one.change, at)])
