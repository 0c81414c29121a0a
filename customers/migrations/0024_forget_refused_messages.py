"""Delete old refused messages each hour, and shorten what is kept; staff may change the schedule in the admin."""

from django.conf import settings
from django.db import migrations
from django.db.models.functions import Substr

NAME = "Delete old refused messages"


def schedule(apps, schema_editor):
    hour, _ = apps.get_model("django_celery_beat", "CrontabSchedule").objects.get_or_create(
        minute="20", hour="*", day_of_week="*", day_of_month="*", month_of_year="*", timezone=settings.TIME_ZONE
    )
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name=NAME,
        defaults={"task": "customers.tasks.forget_refused_messages", "crontab": hour, "expire_seconds": 1800},
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


def shorten(apps, schema_editor):
    refused = apps.get_model("customers", "RefusedMessage").objects
    refused.update(message=Substr("message", 1, 2_000))


class Migration(migrations.Migration):
    dependencies = [
        ("customers", "0023_begin_statements_of_consent"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, unschedule),
        migrations.RunPython(shorten, migrations.RunPython.noop),
    ]
