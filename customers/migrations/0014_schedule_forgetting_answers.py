"""Delete kept answers each hour; staff may change the schedule in the admin."""

from django.conf import settings
from django.db import migrations

NAME = "Delete old answers of the API"


def schedule(apps, schema_editor):
    hour, _ = apps.get_model("django_celery_beat", "CrontabSchedule").objects.get_or_create(
        minute="5", hour="*", day_of_week="*", day_of_month="*", month_of_year="*", timezone=settings.TIME_ZONE
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name=NAME,
        defaults={"task": "customers.tasks.forget_answers", "crontab": hour, "expire_seconds": 1800},
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("customers", "0013_keep_answers"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
