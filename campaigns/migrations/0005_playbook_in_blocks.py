"""Messages of the playbook that nobody has edited become blocks, with the words of this version.

A subject that was edited stays. ``migrate`` then makes the text and HTML of the blocks.
"""

import json
from hashlib import sha256
from pathlib import Path

from django.db import migrations

MESSAGES = Path(__file__).with_name("_playbook_messages.json")
"""For each message, the fingerprints of the texts and the subjects that it had, and what it consists of now."""


def use_blocks(apps, schema_editor):
    steps = apps.get_model("campaigns", "Step").objects
    messages = json.loads(MESSAGES.read_text(encoding="utf-8")).values()
    message_of = {text: message for message in messages for text in message["texts"]}
    unedited = steps.filter(blocks=[], not_converted="", channel__in=("email", "on_site"))
    for step in unedited.order_by("pk").iterator():
        if message := message_of.get(fingerprint(step.text, step.html)):
            if step.subject in message["subjects"]:
                step.subject = message["subject"]
            step.blocks = message["blocks"]
            step.save(update_fields=["subject", "blocks"])


def fingerprint(text, html):
    """Return what a text and its HTML have in common with those that differ from them in spaces only."""
    return sha256("\n".join(" ".join(part.split()) for part in (text, html)).encode()).hexdigest()


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0004_step_blocks")]

    operations = [migrations.RunPython(use_blocks, migrations.RunPython.noop)]
