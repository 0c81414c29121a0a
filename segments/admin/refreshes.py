"""The admin of refreshes: when they ran, how they ended, and what changed in each segment."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from unfold.decorators import display

from core.admin.capped_lists import ReadOnlyAdmin
from core.durations import run_time_text
from core.templatetags.display import moment, number
from segments.models import Refresh, RefreshResult

MAX_RESULTS = 1_000
STATE_LABELS = {"done": "success", "failed": "danger", "running": "info", "queued": "info"}


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(value, label.capitalize()) for value, label in Refresh.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Refresh]) -> QuerySet[Refresh]:
        return queryset.filter(state=self.value()) if self.value() in Refresh.State.values else queryset


@admin.register(Refresh)
class RefreshAdmin(ReadOnlyAdmin):
    """The list of refreshes and the page of one."""

    list_display = ("as_of", "ended", "started", "duration", "segment_count", "entered", "left", "error")
    list_filter = (StateFilter,)
    list_before_template = "segments/admin/no_refreshes.html"
    fields = ("at",)
    change_form_template = "segments/admin/refresh.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Refresh]:
        """Add the totals of each refresh. The sub-selects run only for the rows of the page."""
        runs = super().get_queryset(request)
        return runs.annotate(
            segment_count=_aggregate_results(Count("pk")),
            entered=_aggregate_results(Sum("entered")),
            left=_aggregate_results(Sum("left")),
        )

    def render_change_form(
        self, request: HttpRequest, context: dict, obj: Refresh | None = None, **kwargs: Any
    ):
        """Add what the refresh changed in each segment."""
        assert obj is not None
        results = obj.results.select_related("segment").order_by("segment__name", "pk")[:MAX_RESULTS]
        context |= {
            "refresh": obj,
            "results": results,
            "took": duration_text(obj),
            "label": STATE_LABELS[obj.state],
        }
        return super().render_change_form(request, context, obj=obj, **kwargs)

    @display(description="Members as of")
    def as_of(self, refresh: Refresh) -> str:
        """Show the instant as of which the members are right."""
        return moment(refresh.at)

    @display(description="State", label=STATE_LABELS)
    def ended(self, refresh: Refresh) -> str:
        return refresh.state

    @display(description="Started")
    def started(self, refresh: Refresh) -> str:
        return moment(refresh.started_at)

    @display(description="Took")
    def duration(self, refresh: Refresh) -> str:
        return duration_text(refresh)

    @display(description="Segments")
    def segment_count(self, refresh: Any) -> str:
        return number(refresh.segment_count)

    @display(description="Entered")
    def entered(self, refresh: Any) -> str:
        return number(refresh.entered)

    @display(description="Left")
    def left(self, refresh: Any) -> str:
        return number(refresh.left)


def duration_text(refresh: Refresh) -> str:
    if refresh.finished_at is None:
        return "–"
    return run_time_text(refresh.finished_at - refresh.started_at)


def _aggregate_results(total: Any) -> Any:
    results = RefreshResult.objects.filter(refresh=OuterRef("pk")).order_by().values("refresh")
    return Coalesce(Subquery(results.annotate(total=total).values("total"), output_field=IntegerField()), 0)
