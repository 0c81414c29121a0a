"""Schedules: what runs when."""

from typing import Any, Final

from django.apps import apps
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from kombu.exceptions import OperationalError
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from core.admin import audit_log
from core.admin.display_names import DisplayNameAdmin
from core.admin.protected_deletion import ProtectedDeletionAdmin
from segments_project.schedules import SCHEDULES

DECLARED_TASKS: Final = {schedule.task for schedule in SCHEDULES}

apps.get_app_config("django_celery_beat").verbose_name = "Schedules"

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


class TaskSelectWidget(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """The choice of a task, in the admin's looks."""


class PeriodicTaskForm(beat.PeriodicTaskForm):
    """A scheduled task."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        if "task" in self.fields:
            self.fields["task"].widget = UnfoldAdminTextInputWidget()
            self.fields["regtask"].widget = TaskSelectWidget()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(DisplayNameAdmin, beat.PeriodicTaskAdmin):
    """What runs when."""

    display_names = ("schedule", "schedules")
    form = PeriodicTaskForm
    change_form_template = "admin/change_form.html"  # the package's own runs a script that stands in the page

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Keep the only schedule of work that the product does: it can be turned off, and on again."""
        doomed = list(objs)
        others = PeriodicTask.objects.exclude(pk__in=[one.pk for one in doomed])
        kept = [
            one for one in doomed if one.task in DECLARED_TASKS and not others.filter(task=one.task).exists()
        ]
        if not kept:
            return super().get_deleted_objects(objs, request)
        reasons = [
            format_html(
                '<a class="link" href="{}">{}</a> is the only schedule of this work. Turn it off instead',
                reverse("admin:django_celery_beat_periodictask_change", args=[one.pk]),
                one.name,
            )
            for one in kept
        ]
        return [str(one) for one in doomed], {}, set(), reasons

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Queue them now; where the broker is away, say so."""
        try:
            super().run_tasks(request, queryset)
            audit_log.log_changes(request, queryset, "Run now.")
        except OperationalError:
            messages.error(
                request, "Nothing was queued, because Redis does not answer. Start it and try again."
            )


class PeriodicTaskInline(beat.PeriodicTaskInline, TabularInline):
    """The tasks that follow a schedule."""


class ScheduleAdmin(ProtectedDeletionAdmin):
    """A schedule with the tasks that follow it."""

    used_by = ("periodictask",)
    inlines = [PeriodicTaskInline]


admin.site.register(IntervalSchedule, ScheduleAdmin)
admin.site.register(SolarSchedule, ScheduleAdmin)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(ProtectedDeletionAdmin, beat.CrontabScheduleAdmin):
    """A schedule by clock and calendar."""

    used_by = ("periodictask",)
    inlines = [PeriodicTaskInline]


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(ProtectedDeletionAdmin, beat.ClockedScheduleAdmin):
    """A schedule for once."""

    used_by = ("periodictask",)
    inlines = [PeriodicTaskInline]
