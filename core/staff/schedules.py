"""Installs declared schedules for Celery beat. The only writer of ``InstalledSchedule``."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery import Task
from celery.schedules import crontab
from django.apps import apps
from django.apps.registry import Apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils.module_loading import import_string
from django_celery_beat.models import CrontabSchedule, PeriodicTasks

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Schedule:
    """When beat sends a task: at a time in the shop's time zone (``crontab``) or at an interval (``timedelta``).

    A task that no worker starts within ``expires`` is dropped, so tasks do not pile up while no worker runs.
    """

    name: str
    task: str
    when: crontab | timedelta
    expires: timedelta
    purpose: str


def check_schedules(schedules: Iterable[Schedule]) -> list[CheckMessage]:
    """Return an error for each schedule whose task, interval or purpose is wrong, or whose name is used twice."""
    schedules = tuple(schedules)
    names = Counter(schedule.name for schedule in schedules)
    return [
        *(Error(f"Two schedules are named {name}.", id="core.E003") for name in names if names[name] > 1),
        *(
            Error(
                f"The schedule {schedule.name} names {schedule.task}, which is not a registered task.",
                id="core.E004",
            )
            for schedule in schedules
            if not _is_task(schedule.task)
        ),
        *(
            Error(f"The interval of the schedule {schedule.name} is not a number of minutes.", id="core.E005")
            for schedule in schedules
            if isinstance(schedule.when, timedelta) and (schedule.when < MINUTE or schedule.when % MINUTE)
        ),
        *(
            Error(f"The schedule {schedule.name} does not say what it is for.", id="core.E006")
            for schedule in schedules
            if not schedule.purpose.strip()
        ),
    ]


def _is_task(name: str) -> bool:
    try:
        found = import_string(name)
    except ImportError:
        return False
    return isinstance(found, Task) and found.name == name


def install_schedules(
    schedules: Iterable[Schedule], *, using: str = DEFAULT_DB_ALIAS, registry: Apps = apps
) -> None:
    """Create each new schedule once. Changes by staff stay, including renamed, disabled and deleted schedules."""
    try:
        installed: Any = registry.get_model("core", "InstalledSchedule")
        tasks: Any = registry.get_model("django_celery_beat", "PeriodicTask")
    except LookupError:  # this app is not migrated
        return
    known = {*installed.objects.using(using).values_list("name", flat=True)}
    new = [schedule for schedule in schedules if schedule.name not in known]
    if not new:
        return
    with transaction.atomic(using=using):
        # If two processes migrate at once, the second one waits here, and then finds the tasks of the first.
        rows = [installed(name=schedule.name) for schedule in new]
        installed.objects.using(using).bulk_create(rows, ignore_conflicts=True)
        present = {*tasks.objects.using(using).values_list("name", flat=True)}
        tasks.objects.using(using).bulk_create(
            tasks(
                name=schedule.name,
                task=schedule.task,
                description=schedule.purpose,
                expire_seconds=int(schedule.expires.total_seconds()),
                **_timing(schedule.when, using, registry),
            )
            for schedule in new
            if schedule.name not in present
        )


def change_time_zone(former: str, current: str) -> None:
    """Move the crontabs in the shop's former time zone to its current one. Beat notices it."""
    CrontabSchedule.objects.filter(timezone=former).update(timezone=current)
    PeriodicTasks.update_changed()


def _timing(when: crontab | timedelta, using: str, registry: Apps) -> dict[str, Any]:
    """Return beat's interval or crontab, which tasks share, under the name of its field."""
    if isinstance(when, timedelta):
        intervals = registry.get_model("django_celery_beat", "IntervalSchedule").objects.using(using)
        interval = {"every": when // MINUTE, "period": "minutes"}
        return {"interval": intervals.filter(**interval).first() or intervals.create(**interval)}
    crontabs = registry.get_model("django_celery_beat", "CrontabSchedule").objects.using(using)
    fields = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
    clock = {name: str(getattr(when, f"_orig_{name}")) for name in fields}
    clock["timezone"] = _time_zone(using, registry)
    return {"crontab": crontabs.filter(**clock).first() or crontabs.create(**clock)}


def _time_zone(using: str, registry: Apps) -> str:
    try:
        profiles: Any = registry.get_model("core", "ShopProfile")
    except LookupError:  # migrated partially, to before there was this table
        return str(settings.TIME_ZONE)
    stored = profiles.objects.using(using).values_list("time_zone", flat=True).first()
    return str(stored or settings.TIME_ZONE)
