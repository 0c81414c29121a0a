"""On PostgreSQL, leave room in the pages of the facts, so that an updated row stays in its page."""

from django.db import migrations


def set_fillfactor(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        table = schema_editor.quote_name(apps.get_model("customers", "Facts")._meta.db_table)
        schema_editor.execute(f"ALTER TABLE {table} SET (fillfactor = 75)")


class Migration(migrations.Migration):
    dependencies = [("customers", "0001_initial")]

    operations = [migrations.RunPython(set_fillfactor, migrations.RunPython.noop)]
