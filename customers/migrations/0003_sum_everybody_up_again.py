"""Empty the facts and queue every customer: rows now stand for an instant, and totals are kept of them."""

from django.db import migrations

from customers.ingestion import keep_dated_attributes


def queue_everybody(apps, schema_editor):
    apps.get_model("customers", "Facts").objects.all().delete()
    schema_editor.execute(
        "INSERT INTO customers_stalefacts (customer_id) SELECT id FROM customers_customer"
    )
    keep_dated_attributes("SELECT id FROM customers_customer")


class Migration(migrations.Migration):
    dependencies = [("customers", "0002_keep_facts_at_an_instant")]

    operations = [migrations.RunPython(queue_everybody, migrations.RunPython.noop)]
