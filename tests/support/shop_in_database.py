"""Shops in the database: the oracle's, whose records come through the import, and the sample shop."""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import time_machine
from django.db import transaction

from core.db import temporary_tables
from customers.facts import update
from customers.imports import csv_files
from customers.ingestion import line_writer, writer
from customers.models import Customer
from customers.rows.kinds import KINDS
from customers.rows.settings import ShopSettings as ShopSettings
from customers.rows.settings import shop_settings
from segments import segment_store
from segments.models import Segment
from segments.refresh.engine import refresh_segments
from segments_project.demo.history import SampleShop

from .oracle import Order, Person, Shop
from .oracle_arrivals import Delivery
from .shop_csv_files import Row, as_csv, cell, customer_row, event_row, line_row, order_row, write_csv
from .value_pools import RECORDED_AT

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@contextmanager
def imported_shop(shop: Shop, zone: ZoneInfo, *, update_facts: bool = True) -> Iterator[None]:
    """Have the shop in the database for a while."""
    with transaction.atomic():
        import_shop(shop, zone, update_facts=update_facts)
        yield
        transaction.set_rollback(True)


def import_shop(shop: Shop, zone: ZoneInfo, *, update_facts: bool = True) -> None:
    """Import the shop and make its fixed lists; facts stay queued unless they are updated."""
    with tempfile.TemporaryDirectory() as folder, time_machine.travel(RECORDED_AT, tick=False):
        for kind, path in write_csv(shop, Path(folder)).items():
            with path.open("rb") as stream:
                csv_files.import_file(
                    csv_files.FORMATS[kind],
                    stream,
                    ShopSettings(zone, "EUR"),
                    on_rejected=_complain,
                    update_facts=False,
                )
        if update_facts:
            update.update_facts()
    for slug, members in shop.members.items():
        make_list(slug, members)


def import_sample_shop(customers: int, until: datetime) -> None:
    """Take the records of a sample shop, and refresh its ready-to-use segments."""
    sample = SampleShop(customers=customers, until=until)
    line_writer.start_line_numbering()
    rows = {
        "customers": sample.customer_rows(),
        "orders": sample.order_rows(),
        "order_lines": sample.line_rows(),
        "events": sample.event_rows(),
    }
    for name, given in rows.items():
        read = KINDS[name].read
        writer.ingest(KINDS[name], ((line, read(row, shop_settings())) for line, row in enumerate(given, 2)))
    for table in ("customer", "identity", "order", "orderline", "event"):
        temporary_tables.analyze_table(f"customers_{table}")
    update.update_facts(until)
    segment_store.install_templates()
    refresh_segments(Segment.objects.all(), until)


def deliver(delivery: Delivery) -> None:
    """Import what comes in at once; facts wait in the queue."""
    with time_machine.travel(delivery.clock, tick=False):
        for kind, rows in _rows_of(delivery).items():
            if rows:
                csv_files.import_file(
                    csv_files.FORMATS[kind],
                    io.BytesIO(as_csv(rows).encode()),
                    shop_settings(),
                    on_rejected=_complain,
                    update_facts=False,
                )


def _rows_of(delivery: Delivery) -> dict[str, list[Row]]:
    attributes = sorted({name for person in delivery.people for name in person.attributes})
    return {
        "customers": [customer_row(person, attributes) for person in delivery.people],
        "orders": [
            order_row(Person(delivery.clock, customer_id), order) for customer_id, order in delivery.orders
        ],
        "order_lines": [
            line_row(Order(order_id, delivery.clock), line)
            for order_id, lines in delivery.lines
            for line in lines
        ],
        "events": [
            event_row(Person(delivery.clock, sent.customer_id), sent.event)
            | {"anonymous_id": cell(sent.anonymous_id)}
            for sent in delivery.events
        ],
    }


def _complain(refusal: object) -> None:
    raise AssertionError(f"the import refused what the strategies hold for good: {refusal}")


def make_list(slug: str, members: dict[str, datetime]) -> None:
    keys = dict(Customer.objects.filter(customer_id__in=members).values_list("customer_id", "pk"))
    segment = segment_store.create_fixed_list(slug, slug, keys.values(), LONG_AGO)
    for printed, entered_at in members.items():
        # The one thing a list cannot be told: when a customer came in.
        segment.memberships.filter(customer_id=keys[printed]).update(entered_at=entered_at)
