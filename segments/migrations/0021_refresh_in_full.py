"""Let the next refresh look at everybody: texts are compared in another way, in rules as well."""

from django.db import migrations


def look_at_everybody(apps, schema_editor):
    apps.get_model("segments", "Segment").objects.update(is_caught_up=False)


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0020_encrypt_webhook_secrets"),
        ("customers", "0021_write_texts_in_nfc"),
    ]

    operations = [migrations.RunPython(look_at_everybody, migrations.RunPython.noop)]
