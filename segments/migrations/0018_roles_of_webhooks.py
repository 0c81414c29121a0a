"""Let everybody see which webhooks there are and how they fare, and administrators manage them."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

SEEING = ("view_endpoint", "view_message")
MANAGING = (*SEEING, "add_endpoint", "change_endpoint", "delete_endpoint")
ROLES = {"Viewer": SEEING, "Marketer": SEEING, "Administrator": MANAGING}


def extend(apps, schema_editor):
    # They are made after all migrations; of these models there are none yet.
    using = schema_editor.connection.alias
    create_permissions(installed.get_app_config("segments"), verbosity=0, using=using, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="segments")
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(*permissions.filter(codename__in=ROLES[group.name]))


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0017_schedule_webhooks"),
    ]

    operations = [migrations.RunPython(extend, migrations.RunPython.noop)]
