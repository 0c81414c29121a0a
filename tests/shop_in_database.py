"""An oracle's shop in the database: its customers, orders, lines and events come through the import."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import time_machine
from django.db import transaction

from customers import csv_files, facts
from customers.models import Customer
from customers.records import KINDS
from customers.records import Shop as ShopSettings
from segments import definition
from tests.oracle import Shop
from tests.pools import RECORDED_AT
from tests.shops_as_csv import write_csv

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@contextmanager
def brought_in(shop: Shop, zone: ZoneInfo, *, settle: bool = True) -> Iterator[None]:
    """Have the shop in the database for a while."""
    with transaction.atomic():
        bring_in(shop, zone, settle=settle)
        yield
        transaction.set_rollback(True)


def bring_in(shop: Shop, zone: ZoneInfo, *, settle: bool = True) -> None:
    """Import the shop and make its fixed lists; facts wait in the queue unless they are settled."""
    with tempfile.TemporaryDirectory() as folder, time_machine.travel(RECORDED_AT, tick=False):
        for kind, path in write_csv(shop, Path(folder)).items():
            with path.open("rb") as stream:
                csv_files.import_file(
                    KINDS[kind], stream, ShopSettings(zone, "EUR"), refuse=_complain, settle=False
                )
        if settle:
            facts.settle()
    for slug, members in shop.members.items():
        make_list(slug, members)


def _complain(refusal: object) -> None:
    raise AssertionError(f"the import refused what the strategies hold for good: {refusal}")


def make_list(slug: str, members: dict[str, datetime]) -> None:
    keys = dict(Customer.objects.filter(customer_id__in=members).values_list("customer_id", "pk"))
    segment = definition.create_static(slug, slug, keys.values(), LONG_AGO)
    for printed, entered_at in members.items():
        # The one thing a list cannot be told: when a customer came in.
        segment.memberships.filter(customer_id=keys[printed]).update(entered_at=entered_at)
