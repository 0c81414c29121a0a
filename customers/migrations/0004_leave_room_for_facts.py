"""On PostgreSQL, leave room in the pages of the facts: a row that an event alters then stays in its page."""

from django.db import migrations


def leave_room(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE customers_facts SET (fillfactor = 75)")


class Migration(migrations.Migration):
    dependencies = [("customers", "0003_sum_everybody_up_again")]

    operations = [migrations.RunPython(leave_room, migrations.RunPython.noop)]
