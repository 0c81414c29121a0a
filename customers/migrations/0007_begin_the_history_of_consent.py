"""Begin the history of consent with what is known: how it stands, since when the shop said or we first heard."""

from django.db import migrations


def begin(apps, schema_editor):
    schema_editor.execute(
        """INSERT INTO customers_consentchange (customer_id, state, at, source)
            SELECT id, newsletter,
                COALESCE(CASE newsletter WHEN 'subscribed' THEN subscribed_at END, recorded_at), 'before this history'
            FROM customers_customer WHERE newsletter <> 'never'"""
    )


class Migration(migrations.Migration):
    dependencies = [("customers", "0006_privacy")]

    operations = [migrations.RunPython(begin, migrations.RunPython.noop)]
