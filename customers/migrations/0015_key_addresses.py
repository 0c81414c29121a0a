"""Give each address the key by which consent and caps are counted."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('customers', '0014_schedule_forgetting_answers'),
    ]

    operations = [
        migrations.AddField(
            model_name='customer',
            name='email_folded',
            field=models.CharField(blank=True, default='', editable=False, help_text='The key of the address: consent and caps count by it.', max_length=800),
        ),
        migrations.AddIndex(
            model_name='customer',
            index=models.Index(fields=['email_folded'], name='customers_by_address'),
        ),
    ]
