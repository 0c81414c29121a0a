"""Look each minute for messages that are due, should nobody have been sent for them, and delete old ones each night."""

from django.conf import settings
from django.db import migrations

DELIVER, FORGET = "Tell webhooks what is due", "Forget old webhook messages"


def schedule(apps, schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    minute = intervals.objects.filter(every=1, period="minutes").first()
    minute = minute or intervals.objects.create(every=1, period="minutes")
    tasks.objects.get_or_create(
        name=DELIVER,
        defaults={"task": "segments.tasks.deliver_webhooks", "interval": minute, "expire_seconds": 60},
    )
    night, _ = apps.get_model("django_celery_beat", "CrontabSchedule").objects.get_or_create(
        minute="15", hour="3", day_of_week="*", day_of_month="*", month_of_year="*", timezone=settings.TIME_ZONE
    )
    tasks.objects.get_or_create(
        name=FORGET,
        defaults={"task": "segments.tasks.forget_webhook_messages", "crontab": night, "expire_seconds": 3600},
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=(DELIVER, FORGET)).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0016_webhooks"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
