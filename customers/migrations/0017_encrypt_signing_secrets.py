"""Keep what the shop's server signs ids with encrypted: a copy of the database gives it away no more."""

import customers.encryption
from django.db import migrations, models

from customers.encryption import decrypt, encrypt

FIELDS = ['signing_secret']


def encrypt_all(apps, schema_editor):
    _rewrite(apps, encrypt)


def decrypt_all(apps, schema_editor):
    _rewrite(apps, decrypt)


def _rewrite(apps, written):
    model = apps.get_model("customers", "Source")
    for row in model.objects.all():
        for name in FIELDS:
            if getattr(row, name):
                setattr(row, name, written(getattr(row, name)))
        row.save(update_fields=FIELDS)


class Migration(migrations.Migration):
    dependencies = [("customers", "0016_normalize_addresses")]

    operations = [
        migrations.AlterField(
            model_name="source",
            name="signing_secret",
            field=models.TextField(editable=False, help_text="What the shop's server signs the userId of a browser with."),
        ),
        migrations.RunPython(encrypt_all, decrypt_all),
        migrations.AlterField(
            model_name="source",
            name="signing_secret",
            field=customers.encryption.EncryptedField(editable=False, help_text="What the shop's server signs the userId of a browser with."),
        ),
    ]
