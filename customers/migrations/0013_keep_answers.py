"""Keep answers, for whoever sends the same request again."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('customers', '0012_limit_keys'),
    ]

    operations = [
        migrations.CreateModel(
            name='KeptAnswer',
            fields=[
                ('name', models.CharField(help_text='A digest of who sent it, to where, under which key.', max_length=64, primary_key=True, serialize=False)),
                ('request', models.CharField(help_text='A digest of what was sent.', max_length=64)),
                ('began_at', models.DateTimeField(db_index=True)),
                ('status', models.PositiveSmallIntegerField(null=True)),
                ('headers', models.JSONField(default=dict)),
                ('body', models.TextField(blank=True, default='', help_text='JSON; empty for no body.')),
            ],
        ),
    ]
