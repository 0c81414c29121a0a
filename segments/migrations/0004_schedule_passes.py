"""Refresh every minute, verify and tidy up each night; staff may change or pause the schedules in the admin."""

from django.conf import settings
from django.db import migrations

REFRESH = "Refresh all active segments"
NIGHTLY = {
    "Verify all segments": ("segments.tasks.verify_segments", "3"),
    "Forget old refreshes": ("segments.tasks.forget_refreshes", "2"),
}


def schedule(apps, schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    crontabs = apps.get_model("django_celery_beat", "CrontabSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    minute = intervals.objects.filter(every=1, period="minutes").first()
    minute = minute or intervals.objects.create(every=1, period="minutes")
    # A pass costs what happened: every minute is as cheap as every five. Whoever chose otherwise keeps it.
    tasks.objects.filter(name=REFRESH, interval__every=5, interval__period="minutes").update(
        interval=minute, expire_seconds=60
    )
    for name, (task, hour) in NIGHTLY.items():
        crontab, _ = crontabs.objects.get_or_create(
            minute="30", hour=hour, day_of_week="*", day_of_month="*", month_of_year="*", timezone=settings.TIME_ZONE
        )
        tasks.objects.get_or_create(name=name, defaults={"task": task, "crontab": crontab, "expire_seconds": 3600})


def unschedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=NIGHTLY).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0003_refresh_by_passes"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
