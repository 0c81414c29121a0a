"""The admin of what others' apps bring, in the admin's own looks: staff, their groups, and the schedules."""

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from kombu.exceptions import OperationalError
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

admin.site.index_title = "Overview"
admin.site.index_template = "segments/admin/index.html"

for model in (User, Group, PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


@admin.register(User)
class UserAdmin(BaseUserAdmin, ModelAdmin):
    """Who may come in."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(BaseGroupAdmin, ModelAdmin):
    """What several may do alike."""


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
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin, ModelAdmin):
    """What runs when."""

    form = PeriodicTaskForm

    @admin.action(description="Run selected tasks")
    def run_tasks(self, request: HttpRequest, queryset: QuerySet[PeriodicTask]) -> None:
        """Queue them now; where the broker is away, say so."""
        try:
            super().run_tasks(request, queryset)
        except OperationalError:
            messages.error(
                request, "Nothing was queued, because Redis does not answer. Start it and try again."
            )


class PeriodicTaskInline(beat.PeriodicTaskInline, TabularInline):
    """The tasks that follow a schedule."""


class ScheduleAdmin(ModelAdmin):
    """A schedule with the tasks that follow it."""

    inlines = [PeriodicTaskInline]


admin.site.register(IntervalSchedule, ScheduleAdmin)
admin.site.register(SolarSchedule, ScheduleAdmin)


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat.CrontabScheduleAdmin, ModelAdmin):
    """A schedule by clock and calendar."""

    inlines = [PeriodicTaskInline]


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(beat.ClockedScheduleAdmin, ModelAdmin):
    """A schedule for once."""

    inlines = [PeriodicTaskInline]
