"""Schedule the refresh of all active segments; staff may change or pause the schedule in the admin."""

from django.db import migrations

NAME = "Refresh all active segments"
MINUTES = 5


def schedule(apps, schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    interval = intervals.objects.filter(every=MINUTES, period="minutes").first()
    interval = interval or intervals.objects.create(every=MINUTES, period="minutes")
    tasks.objects.get_or_create(
        name=NAME,
        defaults={
            "task": "segments.tasks.refresh_all",
            "interval": interval,
            # A run that was not taken before the next one is due is not needed any more.
            "expire_seconds": MINUTES * 60,
        },
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(schedule, unschedule)]
