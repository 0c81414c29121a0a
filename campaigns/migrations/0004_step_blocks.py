"""A message can consist of blocks."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0003_messages_in_liquid")]

    operations = [
        migrations.AddField(
            model_name="step",
            name="blocks",
            field=models.JSONField(
                blank=True,
                default=list,
                help_text="The blocks of the message, from which text and HTML are made; empty if they are written.",
            ),
        ),
    ]
