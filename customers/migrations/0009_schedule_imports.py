"""Import what waits each minute, and delete old files each night; staff may change the schedules in the admin."""

from django.conf import settings
from django.db import migrations

NAMES = ("Import what waits", "Delete files of old imports")


def schedule(apps, schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    minute = intervals.objects.filter(every=1, period="minutes").first()
    minute = minute or intervals.objects.create(every=1, period="minutes")
    night, _ = apps.get_model("django_celery_beat", "CrontabSchedule").objects.get_or_create(
        minute="15", hour="2", day_of_week="*", day_of_month="*", month_of_year="*", timezone=settings.TIME_ZONE
    )
    tasks.get_or_create(
        name=NAMES[0],
        defaults={"task": "customers.tasks.run_imports", "interval": minute, "expire_seconds": 60},
    )
    tasks.get_or_create(
        name=NAMES[1],
        defaults={"task": "customers.tasks.forget_import_files", "crontab": night, "expire_seconds": 3600},
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=NAMES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("customers", "0008_imports"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
