"""Carry campaigns out every minute, should nobody have been sent for it; find due messages in their order."""

from django.db import migrations, models

NAME = "Carry out campaigns"


def schedule(apps, schema_editor):
    intervals = apps.get_model("django_celery_beat", "IntervalSchedule")
    tasks = apps.get_model("django_celery_beat", "PeriodicTask")
    minute = intervals.objects.filter(every=1, period="minutes").first()
    minute = minute or intervals.objects.create(every=1, period="minutes")
    tasks.objects.get_or_create(
        name=NAME,
        defaults={"task": "campaigns.tasks.carry_out", "interval": minute, "expire_seconds": 60},
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0001_campaigns_and_their_messages"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(schedule, unschedule),
        migrations.RemoveIndex("delivery", "due_deliveries"),
        migrations.AddIndex(
            "delivery",
            models.Index(
                fields=("not_before", "campaign", "id"),
                name="due_deliveries",
                condition=models.Q(state__in=("planned", "sending")),
            ),
        ),
    ]
