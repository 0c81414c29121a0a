"""Keep the versions of rules, from the present ones on, and add the changes up by day, those of the past too."""

from zoneinfo import ZoneInfo

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import TruncDate


def keep_present_versions(apps, schema_editor):
    segments = apps.get_model("segments", "Segment").objects.filter(kind="dynamic")
    versions = apps.get_model("segments", "Version").objects
    versions.bulk_create(
        versions.model(
            segment_id=segment.pk, number=segment.version, rule=segment.rule, saved_at=segment.updated_at
        )
        for segment in segments
    )


def tally(apps, schema_editor):
    changes = apps.get_model("segments", "Change").objects.order_by()
    tallies = apps.get_model("segments", "Tally").objects
    days = changes.values("segment_id", "change", "cause", day=TruncDate("at", tzinfo=ZoneInfo(settings.TIME_ZONE)))
    tallies.bulk_create(tallies.model(**row) for row in days.annotate(customers=models.Count("id")))


class Migration(migrations.Migration):

    dependencies = [
        ('segments', '0004_schedule_passes'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField(help_text="In the shop's time zone.")),
                ('change', models.CharField(choices=[('entered', 'Entered'), ('left', 'Left')], max_length=7)),
                ('cause', models.CharField(choices=[('activity', 'something was recorded about the customer'), ('time', 'time went by'), ('definition', 'the segment was edited'), ('population', 'a figure of the population moved'), ('merge', 'two histories were joined'), ('erasure', 'the customer was erased'), ('initial', 'the segment was filled for the first time')], max_length=10)),
                ('customers', models.PositiveBigIntegerField()),
                ('segment', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='tallies', to='segments.segment')),
            ],
            options={
                'verbose_name_plural': 'tallies',
                'constraints': [models.UniqueConstraint(fields=('segment', 'day', 'change', 'cause'), name='tallied_once', violation_error_message='This is tallied already.')],
            },
        ),
        migrations.CreateModel(
            name='Version',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('rule', models.JSONField()),
                ('saved_at', models.DateTimeField()),
                ('saved_by_name', models.CharField(blank=True, default='', help_text='As the person was called then.', max_length=150)),
                ('saved_by', models.ForeignKey(db_constraint=False, help_text='Nobody where a command has saved it.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('segment', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='versions', to='segments.segment')),
            ],
            options={
                'ordering': ('-number',),
                'constraints': [models.UniqueConstraint(fields=('segment', 'number'), name='version_once', violation_error_message='Somebody else has saved a version meanwhile.')],
            },
        ),
        migrations.RunPython(keep_present_versions, migrations.RunPython.noop),
        migrations.RunPython(tally, migrations.RunPython.noop),
    ]
