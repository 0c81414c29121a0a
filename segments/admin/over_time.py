"""A segment over time: its size on each day of up to three years, and what other numbers in its rule would change."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from core.admin import audit_log
from core.admin.charts import Chart, Series, Style
from core.admin.permissions import READ_METHODS, WRITE_METHODS, require_permissions
from customers.admin import contact_data
from segments import disclosure, insights
from segments.history import rule_numbers, runs, segment_history
from segments.history.rule_numbers import MAX_VALUES, RuleNumber
from segments.models import HistoryDay, HistoryRun, Segment
from segments.references import with_segment_names
from segments.rules import RuleError, parse

from .access import CHANGE_SEGMENT, VIEW_SEGMENT
from .page_context import admin_context
from .texts import count_text

YEARS: Final = (1, 2, 3)
YEAR: Final = timedelta(days=365)
POLL_SECONDS: Final = 2
LABELS: Final = {
    HistoryRun.State.WAITING: "info",
    HistoryRun.State.RUNNING: "info",
    HistoryRun.State.DONE: "success",
    HistoryRun.State.FAILED: "danger",
    HistoryRun.State.CANCELLED: "warning",
}
COMPUTED: Final = Style(line="dashed")
LOGGED: Final = Style()
COMPARED: Final = (Style("#0284c7"), Style("#d97706", line="dashed"), Style("#9333ea", line="dotted"))


VALUE_WIDGET: Final = UnfoldAdminTextInputWidget(attrs={"size": 7, "maxlength": 12})


class PeriodForm(forms.Form):
    """How far back a history is computed."""

    years = forms.TypedChoiceField(
        label="How far back",
        coerce=int,
        choices=[(years, f"{years} year" if years == 1 else f"{years} years") for years in YEARS],
        widget=UnfoldAdminSelectWidget,
    )


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def over_time_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show what is computed, and forms that let a worker compute more."""
    segment = get_object_or_404(Segment, pk=pk)
    stored, numbers = runs.stored_history(segment), _numbers(segment)
    latest = runs.latest_run(segment, is_trial=False)
    trial = runs.latest_run(segment, is_trial=True)
    chosen = _chosen(request.GET, numbers)
    context = admin_context(model_admin, request, segment.name, segment) | {
        "tab": "over_time",
        "form": PeriodForm(),
        "run": latest if latest and latest != stored else None,
        "stored": stored,
        "trial": trial,
        "numbers": numbers,
        "chosen": chosen,
        "number": numbers[chosen] if numbers else None,
        "value_inputs": [VALUE_WIDGET.render("value", value) for value in numbers[chosen].suggestions]
        if numbers
        else [],
        "run_label": LABELS[HistoryRun.State(latest.state)] if latest else "",
        "trial_label": LABELS[HistoryRun.State(trial.state)] if trial else "",
        "seconds": POLL_SECONDS,
        **(_stored_context(segment, stored) if stored else {}),
        **(_trial_context(trial) if trial and trial.state == HistoryRun.State.DONE else {}),
    }
    return TemplateResponse(request, "segments/admin/over_time.html", context)


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def progress_view(model_admin: Any, request: HttpRequest, pk: int, run: int) -> HttpResponse:
    """Return how far a run is, or tell htmx to show the page with its result."""
    found = get_object_or_404(HistoryRun, pk=run, segment=pk)
    if not found.is_open:
        return HttpResponse(headers={"HX-Refresh": "true"})
    context = {"run": found, "label": LABELS[HistoryRun.State(found.state)], "seconds": POLL_SECONDS}
    return TemplateResponse(request, "segments/admin/history_progress.html", context)


@require_permissions(VIEW_SEGMENT, CHANGE_SEGMENT, methods=WRITE_METHODS)
def compute_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Let a worker compute the history of a segment."""
    segment = get_object_or_404(Segment, pk=pk)
    form = PeriodForm(request.POST)
    if form.is_valid():
        years = form.cleaned_data["years"]
        first, last = _days(years)
        try:
            if segment.is_dynamic and not contact_data.may_see(request):
                disclosure.check_changes(parse(segment.rule))
            runs.request_history(segment, first, last, timezone.now())
            audit_log.log_changes(
                request, [segment], f"Requested the history of {count_text(years, 'year')}."
            )
        except RuleError as error:
            messages.error(request, str(error))
    return redirect("admin:segments_segment_over_time", segment.pk)


@require_permissions(VIEW_SEGMENT, CHANGE_SEGMENT, methods=WRITE_METHODS)
def compare_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Let a worker compute the last year with other numbers in the rule."""
    segment = get_object_or_404(Segment, pk=pk)
    numbers = _numbers(segment)
    if not numbers:
        messages.error(request, "The rule has no number to compare.")
        return redirect("admin:segments_segment_over_time", segment.pk)
    chosen = _chosen(request.POST, numbers)
    number = numbers[chosen]
    try:
        values = _entered_values(request.POST, number)
        labels = rule_numbers.labels(values, number.value)
        compared = [
            runs.LabelledRule(label, rule_numbers.with_number(segment.rule, number.path, value))
            for label, value in zip(labels, values, strict=True)
        ]
        if not contact_data.may_see(request):
            for one in compared:
                disclosure.check_exposure(parse(one.rule), asks_rules=True)
        runs.request_history(segment, *_days(1), timezone.now(), compared)
    except (ValueError, RuleError) as error:
        messages.error(request, f"These numbers cannot be compared: {error}.")
    else:
        audit_log.log_changes(request, [segment], f"Compared {', '.join(labels)} in the rule.")
    url = redirect("admin:segments_segment_over_time", segment.pk)
    url["Location"] += f"?number={chosen}#compare"
    return url


@require_permissions(VIEW_SEGMENT, CHANGE_SEGMENT, methods=WRITE_METHODS)
def cancel_view(model_admin: Any, request: HttpRequest, pk: int, run: int) -> HttpResponse:
    """Cancel a run."""
    found = get_object_or_404(HistoryRun, pk=run, segment=pk)
    runs.cancel_run(found, timezone.now())
    audit_log.log_changes(request, [found.segment], "Cancelled the computation of the history.")
    return redirect("admin:segments_segment_over_time", pk)


def _days(years: int) -> tuple[date, date]:
    last = segment_history.last_day(timezone.now())
    return last - years * YEAR + timedelta(days=1), last


def _numbers(segment: Segment) -> list[RuleNumber]:
    try:
        return rule_numbers.rule_numbers(segment.rule) if segment.is_dynamic else []
    except RuleError:
        return []


def _chosen(query: QueryDict, numbers: Sequence[RuleNumber]) -> int:
    """Return the place of the chosen number, by default of the first span, else of the first number."""
    given = query.get("number", "")
    if given.isascii() and given.isdigit() and len(given) < 4 and int(given) < len(numbers):
        return int(given)
    return next((place for place, one in enumerate(numbers) if isinstance(one.value, str)), 0)


def _entered_values(posted: QueryDict, number: RuleNumber) -> list[Any]:
    """Return the different values that were entered. Raises ValueError."""
    entered = [text for text in posted.getlist("value") if text.strip()][:MAX_VALUES]
    if not entered:
        raise ValueError("enter at least one value")
    return list(dict.fromkeys(rule_numbers.read_value(number, text) for text in entered))


# -- What is shown


def long_date(day: date) -> str:
    """Return a day as “3 Nov 2026”."""
    return f"{day.day} {day:%b %Y}"


def _stored_context(segment: Segment, run: HistoryRun) -> dict[str, Any]:
    """Return the chart and the table of a stored history, up to today with the days of the log."""
    computed = {one.day: one for one in HistoryDay.objects.filter(series__run=run)}
    now = timezone.now()
    logged = {
        one.day: one.size
        for one in insights.segment_days(segment, now, (now.date() - run.first_day).days + 2)
        if one.day >= run.first_day
    }
    days = sorted(computed.keys() | logged.keys())
    # The last computed day is that before the first one of the log, so that the line goes on.
    first_logged = min(logged, default=date.max)
    before = [day for day in computed if day < first_logged]
    return {
        "chart": _history_chart(days, computed, logged, first_logged),
        "rows": [
            {"day": long_date(day), "computed": computed.get(day), "logged": logged.get(day)}
            for day in reversed(days)
        ],
        "exists_since": long_date(first_logged) if logged else "",
        "is_before": bool(before),
        "without_past": _joined(segment_history.without_past(segment)),
    }


def _history_chart(
    days: Sequence[date],
    computed: Mapping[date, HistoryDay],
    logged: Mapping[date, int],
    first_logged: date,
) -> Chart:
    # The dashed line ends at the first day of the solid one, so that there is no gap.
    dashed = [computed[day].size if day < first_logged and day in computed else None for day in days]
    if first_logged in days and any(size is not None for size in dashed):
        dashed[days.index(first_logged)] = logged[first_logged]
    series = [
        Series("Computed", dashed, COMPUTED),
        Series("Members", [logged.get(day) for day in days], LOGGED),
    ]
    legend = [("computed by the present rule from today's records", COMPUTED), ("members, as stored", LOGGED)]
    shown = [
        (one, words)
        for one, words in zip(series, legend, strict=True)
        if any(v is not None for v in one.values)
    ]
    sizes = [logged.get(day) or (computed[day].size if day in computed else 0) for day in days]
    label = (
        f"Members per day: {sizes[0]:,} on {long_date(days[0])}, {sizes[-1]:,} on {long_date(days[-1])}."
        " Days before the segment existed are computed."
    )
    return Chart(
        "line",
        label,
        [long_date(day) for day in days],
        [one for one, _ in shown],
        [words for _, words in shown],
    )


def _trial_context(run: HistoryRun) -> dict[str, Any]:
    """Return the chart and the table of compared rules."""
    compared = list(run.series.all())
    sizes = {one.pk: dict(one.days.values_list("day", "size")) for one in compared}
    days = sorted(set().union(*sizes.values()))
    lines = [
        Series(one.label, [sizes[one.pk].get(day) for day in days], style)
        for one, style in zip(compared, COMPARED, strict=False)
    ]
    last = ", ".join(f"{line.name}: {line.values[-1] or 0:,}" for line in lines if line.values)
    return {
        "trial_chart": Chart(
            "line",
            f"Members per day of the last year with other numbers. On the last day, {last}.",
            [long_date(day) for day in days],
            lines,
            [(line.name, line.style or LOGGED) for line in lines],
        ),
        "trial_sentences": [(one.label, with_segment_names(parse(one.rule)).sentence()) for one in compared],
        "trial_labels": [one.label for one in compared],
        "trial_rows": [
            (long_date(day), [(one.label, sizes[one.pk].get(day)) for one in compared])
            for day in reversed(days)
        ],
    }


def _joined(names: Sequence[str]) -> str:
    """Return names as “a, b and c”."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
