"""Installs declared schedules for Celery beat; the only writer of ``InstalledSchedule``."""

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

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Schedule:
    """When beat sends a task, by the shop's clock (``crontab``) or every so many minutes (``timedelta``).

    ``expires`` is how long a worker may begin it: what beat sends while no worker runs does not pile up.
    """

    name: str
    task: str
    when: crontab | timedelta
    expires: timedelta
    purpose: str


def check_schedules(schedules: Iterable[Schedule]) -> list[CheckMessage]:
    """Return an error for each schedule whose task, interval or purpose is wrong, or whose name is used twice."""
    schedules = tuple(schedules)
    names = Counter(one.name for one in schedules)
    return [
        *(Error(f"Two schedules are named {name}.", id="core.E003") for name in names if names[name] > 1),
        *(
            Error(
                f"The schedule {one.name} names {one.task}, which is not a registered task.", id="core.E004"
            )
            for one in schedules
            if not _is_task(one.task)
        ),
        *(
            Error(f"The interval of the schedule {one.name} is not a number of minutes.", id="core.E005")
            for one in schedules
            if isinstance(one.when, timedelta) and (one.when < MINUTE or one.when % MINUTE)
        ),
        *(
            Error(f"The schedule {one.name} does not say what it is for.", id="core.E006")
            for one in schedules
            if not one.purpose.strip()
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
    """Create each new schedule once; one that staff changed, renamed, disabled or deleted stays so."""
    try:
        installed: Any = registry.get_model("core", "InstalledSchedule")
        tasks: Any = registry.get_model("django_celery_beat", "PeriodicTask")
    except LookupError:  # only other apps are migrated
        return
    known = {*installed.objects.using(using).values_list("name", flat=True)}
    new = [one for one in schedules if one.name not in known]
    if not new:
        return
    with transaction.atomic(using=using):
        # Where two processes migrate at once, the second one waits here, and then finds the tasks of the first.
        rows = [installed(name=one.name) for one in new]
        installed.objects.using(using).bulk_create(rows, ignore_conflicts=True)
        present = {*tasks.objects.using(using).values_list("name", flat=True)}
        tasks.objects.using(using).bulk_create(
            tasks(
                name=one.name,
                task=one.task,
                description=one.purpose,
                expire_seconds=int(one.expires.total_seconds()),
                **_timing(one.when, using, registry),
            )
            for one in new
            if one.name not in present
        )


def _timing(when: crontab | timedelta, using: str, registry: Apps) -> dict[str, Any]:
    """Return the row of beat's that says when, which tasks share, under the name of its column."""
    if isinstance(when, timedelta):
        intervals = registry.get_model("django_celery_beat", "IntervalSchedule").objects.using(using)
        interval = {"every": when // MINUTE, "period": "minutes"}
        return {"interval": intervals.filter(**interval).first() or intervals.create(**interval)}
    crontabs = registry.get_model("django_celery_beat", "CrontabSchedule").objects.using(using)
    fields = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
    clock = {name: str(getattr(when, f"_orig_{name}")) for name in fields} | {"timezone": settings.TIME_ZONE}
    return {"crontab": crontabs.filter(**clock).first() or crontabs.create(**clock)}
