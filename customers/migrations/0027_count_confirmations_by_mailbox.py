"""Count messages that ask for confirmation by the mailbox that they lead to."""

from typing import Any

from django.db import migrations, models

from customers.email_addresses import mailbox


def fill(apps: Any, schema_editor: Any) -> None:
    requests = apps.get_model("customers", "ConfirmationRequest")
    for one in requests.objects.only("address").iterator():
        requests.objects.filter(pk=one.pk).update(mailbox=mailbox(one.address))


class Migration(migrations.Migration):
    dependencies = [("customers", "0026_complain_of_attributes_once")]

    operations = [
        migrations.AddField(
            model_name="confirmationrequest",
            name="mailbox",
            field=models.CharField(
                default="", help_text="The key of the mailbox that the address leads to.", max_length=800
            ),
            preserve_default=False,
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
        migrations.RemoveIndex(model_name="confirmationrequest", name="confirmations_of_address"),
        migrations.AddIndex(
            model_name="confirmationrequest",
            index=models.Index(fields=["mailbox", "sent_at"], name="confirmations_of_mailbox"),
        ),
    ]
