"""Convert the messages of all steps from Django's template language to Liquid.

A message that cannot be converted keeps its text, and its step says why: it is not sent until somebody has edited it.
"""

from django.db import migrations

from ._django_to_liquid import NotConvertible, convert_template

MAX_LENGTHS = {"subject": 200, "text": 50_000, "html": 50_000, "url": 500}


def convert_steps(apps, schema_editor):
    for step in apps.get_model("campaigns", "Step").objects.order_by("pk").iterator():
        try:
            converted = {name: convert_part(getattr(step, name), length) for name, length in MAX_LENGTHS.items()}
        except NotConvertible as problem:
            converted = {"not_converted": str(problem)[:500]}
        for name, value in converted.items():
            setattr(step, name, value)
        step.save(update_fields=list(converted))


def convert_part(source, max_length):
    converted = convert_template(source)
    if len(converted) > max(max_length, len(source)):
        raise NotConvertible(f"a text of more than {max_length:,} characters")
    return converted


class Migration(migrations.Migration):
    dependencies = [("campaigns", "0002_step_not_converted")]

    operations = [migrations.RunPython(convert_steps, migrations.RunPython.noop)]
