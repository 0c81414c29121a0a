"""Let viewers see campaigns, marketers run them and export audiences, and administrators do all of it."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

SEEING = ("view_campaign", "view_step", "view_journey", "view_delivery", "view_audienceexport")
RUNNING = (*SEEING, "add_campaign", "change_campaign", "delete_campaign", "add_audienceexport")
ROLES = {"Viewer": SEEING, "Marketer": RUNNING, "Administrator": RUNNING}


def extend(apps, schema_editor):
    # They are made after all migrations; of these models there are none yet.
    using = schema_editor.connection.alias
    create_permissions(installed.get_app_config("campaigns"), verbosity=0, using=using, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="campaigns")
    for group in apps.get_model("auth", "Group").objects.filter(name__in=ROLES):
        group.permissions.add(*permissions.filter(codename__in=ROLES[group.name]))


class Migration(migrations.Migration):
    dependencies = [
        ("campaigns", "0004_audiences_and_dismissals"),
        ("segments", "0006_roles"),
    ]

    operations = [migrations.RunPython(extend, migrations.RunPython.noop)]
