"""A step says what of its message could not be converted to Liquid."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="step",
            name="not_converted",
            field=models.CharField(
                blank=True,
                default="",
                editable=False,
                help_text="What of a message in Django's template language could not be converted to Liquid.",
                max_length=500,
            ),
        ),
        migrations.AlterField(
            model_name="step",
            name="text",
            field=models.TextField(blank=True, default="", help_text="The plain text, in Liquid."),
        ),
    ]
