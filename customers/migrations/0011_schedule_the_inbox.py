"""Take what waits in the inbox every minute, should nobody have been sent for it."""

from django.db import migrations

NAME = "Take messages that wait"


def schedule(apps, schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    minute = intervals.objects.filter(every=1, period="minutes").first()
    minute = minute or intervals.objects.create(every=1, period="minutes")
    tasks.objects.get_or_create(
        name=NAME,
        defaults={"task": "customers.tasks.drain_inbox", "interval": minute, "expire_seconds": 60},
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("customers", "0010_take_in_messages"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
