"""Let administrators make API keys in the admin."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations


def extend(apps, schema_editor):
    using = schema_editor.connection.alias
    create_permissions(installed.get_app_config("customers"), verbosity=0, using=using, apps=apps)
    group = apps.get_model("auth", "Group").objects.filter(name="Administrator").first()
    if group:
        permissions = apps.get_model("auth", "Permission").objects
        group.permissions.add(permissions.get(content_type__app_label="customers", codename="add_apikey"))


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0014_public_segments"),
        ("customers", "0012_limit_keys"),
    ]

    operations = [migrations.RunPython(extend, migrations.RunPython.noop)]
