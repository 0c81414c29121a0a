"""Let keys end by themselves, and open nothing to clients elsewhere."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('customers', '0011_schedule_the_inbox'),
    ]

    operations = [
        migrations.AddField(
            model_name='apikey',
            name='expires_at',
            field=models.DateTimeField(blank=True, help_text='From then on it opens nothing; empty for never.', null=True, verbose_name='expires'),
        ),
        migrations.AddField(
            model_name='apikey',
            name='networks',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AlterField(
            model_name='apikey',
            name='name',
            field=models.CharField(help_text='Whose it is, such as the program or the web shop that uses it.', max_length=100),
        ),
    ]
