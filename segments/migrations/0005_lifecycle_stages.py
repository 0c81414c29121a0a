
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('segments', '0004_asked_digest'),
    ]

    operations = [
        migrations.CreateModel(
            name='LifecycleStage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('asked_place', models.PositiveSmallIntegerField(help_text='The place in the order in which the stages are asked.', unique=True)),
                ('shown_place', models.PositiveSmallIntegerField(help_text='The place in the order in which the stages are shown, that of a life.')),
                ('band', models.ForeignKey(blank=True, db_constraint=False, help_text='A segment that is shown beside the stage: how many of the stage are also in it.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='segments.segment')),
                ('segment', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.PROTECT, related_name='lifecycle_stage', to='segments.segment')),
            ],
            options={
                'ordering': ('asked_place',),
            },
        ),
    ]
