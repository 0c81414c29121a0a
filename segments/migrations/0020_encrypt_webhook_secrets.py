"""Keep what webhooks are signed with encrypted: a copy of the database gives it away no more."""

import customers.encryption
from django.db import migrations, models

from customers.encryption import decrypt, encrypt

FIELDS = ['secret', 'former_secret']


def encrypt_all(apps, schema_editor):
    _rewrite(apps, encrypt)


def decrypt_all(apps, schema_editor):
    _rewrite(apps, decrypt)


def _rewrite(apps, written):
    model = apps.get_model("segments", "Endpoint")
    for row in model.objects.all():
        for name in FIELDS:
            if getattr(row, name):
                setattr(row, name, written(getattr(row, name)))
        row.save(update_fields=FIELDS)


class Migration(migrations.Migration):
    dependencies = [("segments", "0019_leavings_of_the_erased")]

    operations = [
        migrations.AlterField(
            model_name="endpoint",
            name="secret",
            field=models.TextField(editable=False, help_text="What messages are signed with."),
        ),
        migrations.AlterField(
            model_name="endpoint",
            name="former_secret",
            field=models.TextField(blank=True, default="", editable=False),
        ),
        migrations.RunPython(encrypt_all, decrypt_all),
        migrations.AlterField(
            model_name="endpoint",
            name="secret",
            field=customers.encryption.EncryptedField(editable=False, help_text="What messages are signed with."),
        ),
        migrations.AlterField(
            model_name="endpoint",
            name="former_secret",
            field=customers.encryption.EncryptedField(blank=True, default="", editable=False),
        ),
    ]
