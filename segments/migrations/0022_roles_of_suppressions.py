"""Let marketers and administrators see, add and lift suppressions."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

MANAGING = ("view_suppression", "add_suppression", "delete_suppression")
ROLES = ("Marketer", "Administrator")


def extend(apps, schema_editor):
    # They are made after all migrations; of this model there are none yet.
    using = schema_editor.connection.alias
    create_permissions(installed.get_app_config("customers"), verbosity=0, using=using, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="customers")
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(*permissions.filter(codename__in=MANAGING))


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0021_refresh_in_full"),
        ("customers", "0023_begin_statements_of_consent"),
    ]

    operations = [migrations.RunPython(extend, migrations.RunPython.noop)]
