"""Install the roles of staff as groups: Viewer, Marketer, Administrator. Whoever has such a group keeps it as it is."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations


def every(*models):
    return {f"{app}.{may}_{name}" for app, name in (model.split(".") for model in models)
            for may in ("view", "add", "change", "delete")}  # fmt: skip


VIEWER = {
    "customers.view_customer",
    "segments.view_segment",
    "segments.view_refresh",
    "segments.view_verification",
}
MARKETER = VIEWER | every("segments.segment") | {"customers.view_contact_data", "segments.view_membership"}
ADMINISTRATOR = (
    MARKETER
    | every("auth.user", "auth.group")
    | every(*(f"django_celery_beat.{name}" for name in (
        "periodictask", "intervalschedule", "crontabschedule", "solarschedule", "clockedschedule")))
    | {"customers.view_apikey", "customers.change_apikey"}
    | {"admin.view_logentry", "axes.view_accessattempt", "axes.delete_accessattempt"}
)  # fmt: skip
ROLES = {"Viewer": VIEWER, "Marketer": MARKETER, "Administrator": ADMINISTRATOR}


def install(apps, schema_editor):
    permissions = _permissions(apps, schema_editor.connection.alias)
    for name, wanted in ROLES.items():
        group, is_new = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        if is_new:
            group.permissions.set([permissions[permission] for permission in wanted])


def _permissions(apps, using):
    # They are made after all migrations; on a new database there are none yet.
    for label in sorted({permission.split(".")[0] for permission in ADMINISTRATOR}):
        create_permissions(installed.get_app_config(label), verbosity=0, using=using, apps=apps)
    found = apps.get_model("auth", "Permission").objects.select_related("content_type")
    return {f"{one.content_type.app_label}.{one.codename}": one for one in found}


class Migration(migrations.Migration):
    dependencies = [
        ("segments", "0005_keep_versions_and_tallies"),
        ("customers", "0005_view_contact_data"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("axes", "0010_accessattemptexpiration"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(install, migrations.RunPython.noop)]
