"""Declared schedules are installed once; later changes by staff stay."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from celery import current_app
from celery.schedules import crontab
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from core.staff.schedules import Schedule, check_schedules, install_schedules
from segments_project.schedules import SCHEDULES, UNSCHEDULED_TASKS

OUR_APPS = ("core.", "customers.", "segments.", "campaigns.")
NIGHTLY = Schedule(
    "Count the stars", "segments.tasks.verify_segments", crontab(hour="4", minute="5"), timedelta(hours=1), "Counts."
)  # fmt: skip

pytestmark = pytest.mark.django_db


def schedules() -> list[tuple[object, ...]]:
    return sorted(
        PeriodicTask.objects.values_list(
            "name", "task", "enabled", "expire_seconds", "interval__every", "interval__period",
            "crontab__hour", "crontab__minute",
        ),
        key=str,
    )  # fmt: skip


# -- What is declared


def test_a_new_database_has_exactly_the_declared_schedules() -> None:
    expected = [
        (one.name, one.task, True, one.expires.total_seconds(), *timing(one.when)) for one in SCHEDULES
    ]

    assert schedules() == sorted(expected, key=str)
    assert {one.timezone.key for one in CrontabSchedule.objects.all()} == {settings.TIME_ZONE}


def timing(when: crontab | timedelta) -> tuple[object, ...]:
    if isinstance(when, timedelta):
        return when // timedelta(minutes=1), "minutes", None, None
    hour, minute = when._orig_hour, when._orig_minute  # type: ignore[attr-defined]
    return None, None, str(hour), str(minute)


def test_every_task_is_scheduled_or_named_as_started_by_code() -> None:
    current_app.loader.import_default_modules()
    scheduled = {one.task for one in SCHEDULES}

    assert {name for name in current_app.tasks if name.startswith(OUR_APPS)} == scheduled | {
        *UNSCHEDULED_TASKS
    }
    assert not scheduled & {*UNSCHEDULED_TASKS}


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        ("core.E004", replace(NIGHTLY, task="segments.tasks.verify_segment")),
        ("core.E004", replace(NIGHTLY, task="segments.tasks.datetime")),
        ("core.E005", replace(NIGHTLY, when=timedelta(seconds=90))),
        ("core.E005", replace(NIGHTLY, when=timedelta(0))),
        ("core.E006", replace(NIGHTLY, purpose="")),
    ],
)
def test_a_wrong_declaration_fails_the_checks_of_django(fault: str, wrong: Schedule) -> None:
    assert check_schedules([*SCHEDULES, NIGHTLY]) == []
    assert [error.id for error in check_schedules([*SCHEDULES, wrong])] == [fault]
    assert [error.id for error in check_schedules([NIGHTLY, NIGHTLY])] == ["core.E003"]


# -- What staff changed stays


def test_changes_by_staff_survive_another_migrate() -> None:
    disabled, renamed, moved, deleted = PeriodicTask.objects.order_by("pk")[:4]
    PeriodicTask.objects.filter(pk=disabled.pk).update(enabled=False)
    PeriodicTask.objects.filter(pk=renamed.pk).update(name="Nightly")
    weekly = CrontabSchedule.objects.create(hour="5", minute="0", day_of_week="0")
    PeriodicTask.objects.filter(pk=moved.pk).update(crontab=weekly, interval=None)
    deleted.delete()
    before = schedules()

    for app in ((), ("segments",)):
        call_command("migrate", *app, verbosity=0, interactive=False)

    assert schedules() == before
    assert len(before) == len(SCHEDULES) - 1


# -- What a new version adds


def test_a_new_schedule_is_created_once() -> None:
    install_schedules([*SCHEDULES, NIGHTLY])
    task = PeriodicTask.objects.get(name=NIGHTLY.name)
    assert (task.crontab.hour, task.crontab.minute, task.description) == ("4", "5", "Counts.")

    task.delete()
    install_schedules([*SCHEDULES, NIGHTLY])

    assert not PeriodicTask.objects.filter(name=NIGHTLY.name).exists()


def test_a_schedule_by_staff_with_the_name_of_a_new_one_is_kept() -> None:
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    PeriodicTask.objects.create(name=NIGHTLY.name, task="segments.tasks.refresh_all", interval=hourly)

    install_schedules([NIGHTLY])

    assert PeriodicTask.objects.get(name=NIGHTLY.name).interval == hourly


def test_installing_again_takes_one_query(django_assert_num_queries) -> None:
    with django_assert_num_queries(1):
        install_schedules(SCHEDULES)


@pytest.mark.django_db(transaction=True)
def test_two_processes_that_migrate_at_once_install_a_schedule_once() -> None:
    failures: list[BaseException] = []

    def install() -> None:
        try:
            install_schedules([NIGHTLY])
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=install) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert PeriodicTask.objects.filter(name=NIGHTLY.name).count() == 1


def test_migrating_apps_one_by_one_installs_everything(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path}/new.sqlite3",
        "DJANGO_SETTINGS_MODULE": "segments_project.settings",
    }
    script = """if True:
        import django
        django.setup()
        from django.contrib.auth.models import Group
        from django.core.management import call_command
        from django_celery_beat.models import PeriodicTask
        for app in (["customers"], ["core"], []):
            call_command("migrate", *app, verbosity=0)
        print(*(group.permissions.count() for group in Group.objects.order_by("pk")))
        print(*PeriodicTask.objects.values_list("task", "enabled", "interval__every", "interval__period"))
    """

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    roles, tasks = done.stdout.splitlines()
    assert roles.split() == ["8", "26", "78"]
    assert tasks.count("True") == len(SCHEDULES)
    assert "('segments.tasks.refresh_all', True, 1, 'minutes')" in tasks
