"""Tell from which occasion the codes were given that customers have: the latest journey of the campaign."""

from typing import Any

from django.db import migrations
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.db.models import Value


def tell_occasions(apps: Any, schema_editor: Any) -> None:
    """Keep the code of a journey that goes on: its next message gives the same."""
    coupon, journey = apps.get_model("campaigns", "Coupon"), apps.get_model("campaigns", "Journey")
    theirs = journey.objects.filter(campaign=OuterRef("campaign"), customer=OuterRef("customer"))
    latest = theirs.order_by("-began_at", "-pk").values("occasion")[:1]
    coupon.objects.exclude(customer=None).update(occasion=Coalesce(Subquery(latest), Value("")))


class Migration(migrations.Migration):
    """Fill in a new column."""

    dependencies = [("campaigns", "0010_codes_end_and_answers")]

    operations = [migrations.RunPython(tell_occasions, migrations.RunPython.noop)]
