"""On PostgreSQL, check the customer of a member with each statement, not at the end of the transaction."""

from django.db import migrations


def check_immediately(apps, schema_editor):
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        constraints = schema_editor.connection.introspection.get_constraints(cursor, "segments_membership")
    for name, one in constraints.items():
        if one["foreign_key"]:
            schema_editor.execute(f'ALTER TABLE segments_membership ALTER CONSTRAINT "{name}" NOT DEFERRABLE')


class Migration(migrations.Migration):
    dependencies = [("segments", "0001_initial")]

    operations = [migrations.RunPython(check_immediately, migrations.RunPython.noop)]
