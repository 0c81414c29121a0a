"""Totals get one row for each part of the customers, so that several processes update facts side by side.

The table has a new name: processes that still run the former version would write the rows as if there were one.
"""

from django.db import migrations

PARTS = range(2, 33)  # besides the first one, which is the former row


def create_parts(apps, schema_editor):
    totals = apps.get_model("customers", "PartialTotals")
    for former in totals.objects.all():
        totals.objects.bulk_create(totals(pk=part, updated_until=former.updated_until) for part in PARTS)


def delete_parts(apps, schema_editor):
    totals = apps.get_model("customers", "PartialTotals")
    rows = list(totals.objects.order_by("pk"))
    for first in rows[:1]:
        for name in ("customers", "buyers", "total_spent", "average_order_value", "buyers_version"):
            setattr(first, name, sum(getattr(row, name) for row in rows))
        first.updated_until = max(row.updated_until for row in rows)
        first.save()
        totals.objects.exclude(pk=first.pk).delete()


class Migration(migrations.Migration):
    dependencies = [("customers", "0004_several_drains")]

    operations = [
        migrations.RenameModel("Totals", "PartialTotals"),
        migrations.AlterModelOptions("PartialTotals", {"verbose_name_plural": "partial totals"}),
        migrations.RunPython(create_parts, delete_parts),
    ]
