"""Let the right to see contact data be given apart from the right to see customers."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("customers", "0004_leave_room_for_facts")]

    operations = [
        migrations.AlterModelOptions(
            name="customer",
            options={"permissions": (("view_contact_data", "Can see contact data"),)},
        )
    ]
