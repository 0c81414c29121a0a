"""Schedules of Celery beat."""

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
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from core.admin import audit_log
from core.admin.display_names import DisplayNameAdmin
from core.admin.protected_deletion import ProtectedDeletionAdmin
from core.shop import shop
from core.staff.schedule_words import crontab_words, task_words
from core.templatetags.display import moment
from segments_project.schedules import SCHEDULES

DECLARED_TASKS: Final = {schedule.task for schedule in SCHEDULES}

apps.get_app_config("django_celery_beat").verbose_name = "Schedules"

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


class TaskSelectWidget(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    """Celery beat's choice of tasks with Unfold's style."""


class PeriodicTaskForm(beat.PeriodicTaskForm):
    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        if "crontab" in self.fields:
            self.fields["crontab"].label_from_instance = lambda crontab: crontab_words(crontab, shop().zone)
        if "task" in self.fields:
            self.fields["task"].widget = UnfoldAdminTextInputWidget()
            self.fields["regtask"].widget = TaskSelectWidget()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(DisplayNameAdmin, beat.PeriodicTaskAdmin):
    display_names = ("schedule", "schedules")
    form = PeriodicTaskForm
    change_form_template = "admin/change_form.html"  # the package's own template has an inline script
    date_hierarchy = None
    list_display = ("name", "when", "description", "enabled", "last_run")
    list_filter = ("enabled",)

    def render_change_form(self, request: HttpRequest, context: dict, *args: Any, **kwargs: Any):
        """Call the schedule by its name: its text repeats when it runs, in cron's notation."""
        if task := kwargs.get("obj"):
            context["subtitle"] = task.name
        return super().render_change_form(request, context, *args, **kwargs)

    @display(description="When")
    def when(self, task: PeriodicTask) -> str:
        return task_words(task, shop().zone)

    @display(description="Last run", ordering="last_run_at")
    def last_run(self, task: PeriodicTask) -> str:
        return moment(task.last_run_at)

    @display(description="In words")
    def crontab_translation(self, task: PeriodicTask) -> str:
        return task_words(task, shop().zone) if task.pk else ""

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Refuse to delete the only schedule of a declared task. Staff can turn it off."""
        objects = list(objs)
        others = PeriodicTask.objects.exclude(pk__in=[item.pk for item in objects])
        kept = [
            item
            for item in objects
            if item.task in DECLARED_TASKS and not others.filter(task=item.task).exists()
        ]
        if not kept:
            return super().get_deleted_objects(objs, request)
        reasons = [
            format_html(
                '<a class="link" href="{}">{}</a> is the only schedule of its task. Turn it off instead',
                reverse("admin:django_celery_beat_periodictask_change", args=[item.pk]),
                item.name,
            )
            for item in kept
        ]
        return [str(item) for item in objects], {}, set(), reasons

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        try:
            super().run_tasks(request, queryset)
            audit_log.log_changes(request, queryset, "Run now.")
        except OperationalError:
            messages.error(
                request, "No task was started, because Redis is unavailable. Start Redis and try again."
            )


class PeriodicTaskInline(beat.PeriodicTaskInline, TabularInline):
    """The tasks of a schedule."""


class ScheduleAdmin(ProtectedDeletionAdmin):
    used_by = ("periodictask",)
    inlines = [PeriodicTaskInline]


admin.site.register(IntervalSchedule, ScheduleAdmin)
admin.site.register(SolarSchedule, ScheduleAdmin)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(ProtectedDeletionAdmin, beat.CrontabScheduleAdmin):
    used_by = ("periodictask",)
    inlines = [PeriodicTaskInline]
    list_display = ("in_words", "timezone")
    list_filter = ()

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Suggest the shop's time zone. The package would suggest the environment's."""
        return {"timezone": shop().zone.key} | super().get_changeform_initial_data(request)

    @display(description="When")
    def in_words(self, crontab: CrontabSchedule) -> str:
        return crontab_words(crontab, shop().zone)


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(ProtectedDeletionAdmin, beat.ClockedScheduleAdmin):
    used_by = ("periodictask",)
    inlines = [PeriodicTaskInline]
