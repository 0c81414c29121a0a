"""Let segments be public: pages of the shop may name them to their visitor."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('segments', "0013_schedule_forgetting_changes"),
    ]

    operations = [
        migrations.AddField(
            model_name='segment',
            name='is_public',
            field=models.BooleanField(default=False, help_text="The shop's pages may ask whether their visitor is in it, and so may the visitor.", verbose_name='public'),
        ),
    ]
