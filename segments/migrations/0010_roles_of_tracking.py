"""Let administrators make tracking sources, and see what could not be taken from them."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

WANTED = ("view_source", "add_source", "change_source", "view_refusedmessage", "change_refusedmessage", "view_claim")


def extend(apps, schema_editor):
    using = schema_editor.connection.alias
    create_permissions(installed.get_app_config("customers"), verbosity=0, using=using, apps=apps)
    group = apps.get_model("auth", "Group").objects.filter(name="Administrator").first()
    if group:
        permissions = apps.get_model("auth", "Permission").objects
        group.permissions.add(*permissions.filter(content_type__app_label="customers", codename__in=WANTED))


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0009_roles_for_imports_and_privacy"),
        ("customers", "0011_schedule_the_inbox"),
    ]

    operations = [migrations.RunPython(extend, migrations.RunPython.noop)]
