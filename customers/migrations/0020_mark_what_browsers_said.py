"""Mark the drafts there are, and the messages of browsers; what was confirmed with their help stays as it is."""

from django.db import migrations
from django.db.models import Exists, OuterRef

SALES = ("completed", "updated")


def mark(apps, schema_editor):
    Order, Event, Note = (apps.get_model("customers", name) for name in ("Order", "Event", "OrderNote"))
    told = Note.objects.filter(is_trusted=False)
    told.update(is_from_browser=True)
    Event.objects.filter(message_id__in=told.values("message_id")).update(is_from_browser=True)

    notes = Note.objects.filter(order_id=OuterRef("order_id"))
    is_confirmed = Exists(notes.filter(is_trusted=True, action__in=SALES)) | Exists(notes.filter(is_late=True))
    drafts = Order.objects.filter(Exists(notes.filter(is_trusted=False, action__in=SALES)), ~is_confirmed)
    drafts.filter(status="pending").update(is_draft=True)

    # What a server left open was taken from browsers: from now on it is the order's own, which later notes alter.
    mixed = Exists(notes.filter(is_trusted=False, action__in=SALES)) & Exists(
        notes.filter(is_trusted=True, action__in=SALES)
    )
    mixed_ids = list(Note.objects.filter(mixed).values_list("order_id", flat=True).distinct())
    for start in range(0, len(mixed_ids), 5_000):
        Note.objects.filter(order_id__in=mixed_ids[start : start + 5_000], is_trusted=True).update(is_late=True)
    confirmed = Exists(Order.objects.filter(order_id=OuterRef("order_id"), is_draft=False))
    told.filter(confirmed).delete()
    told.exclude(action__in=SALES).delete()


class Migration(migrations.Migration):
    dependencies = [("customers", "0019_orders_of_browsers_are_drafts")]

    operations = [migrations.RunPython(mark, migrations.RunPython.noop)]
