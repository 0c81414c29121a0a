"""Let Marketers import files, and Administrators also export and erase customers."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

IMPORTING = ("view_import", "add_import")
PRIVACY = ("view_erasure", "add_erasure", "export_customer")
ROLES = {"Marketer": IMPORTING, "Administrator": (*IMPORTING, *PRIVACY)}


def extend(apps, schema_editor):
    # They are made after all migrations; of these models there are none yet.
    create_permissions(installed.get_app_config("customers"), verbosity=0, using=schema_editor.connection.alias, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="customers")
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(*permissions.filter(codename__in=ROLES[group.name]))


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0008_schedule_forgetting"),
        ("customers", "0009_schedule_imports"),
    ]

    operations = [migrations.RunPython(extend, migrations.RunPython.noop)]
