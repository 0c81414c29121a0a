"""On PostgreSQL events are stored by month. Where a month has no partition, its events are found all the same."""

import re
import threading
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction
from structlog.testing import capture_logs

from core.db import execution, partitions
from customers.facts import update
from customers.ingestion import event_partitions, writer
from customers.ingestion.results import Origin
from customers.models import Event
from customers.rows.kinds import EVENTS
from customers.rows.settings import shop_settings
from tests.support import shop

pytestmark = [pytest.mark.django_db(transaction=True)]

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_partitions():
    """Start with the default partition alone."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no partitions")

    def drop() -> None:
        partitions.forget_checks()
        for name in partitions.partitions_of("customers_event") - {"customers_event_default"}:
            execution.execute(f"DROP TABLE {name}")

    drop()
    yield
    drop()


def ingest(message_id: str, at: str, origin: Origin = Origin.RECORDS) -> None:
    row = {"message_id": message_id, "customer_id": "c1", "event": "View", "occurred_at": at}
    writer.ingest(EVENTS, [(1, EVENTS.read(row, shop_settings()))], NOW, origin=origin)


def events_by_partition() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, message_id in execution.fetch_all(
        "SELECT tableoid::regclass::text, message_id FROM customers_event ORDER BY message_id"
    ):
        # On a cluster, the name ends with the number of the shard.
        month = re.sub(r"_\d{6,}$", "", table.removeprefix("customers_event_"))
        found.setdefault(month, []).append(message_id)
    return found


def test_each_month_of_a_file_gets_a_partition() -> None:
    ingest("m1", "2026-03-01T00:00:00Z")
    ingest("m2", "2026-02-28T23:59:59Z")
    ingest("m3", "2024-12-31T23:59:59Z")

    assert events_by_partition() == {"2026_03": ["m1"], "2026_02": ["m2"], "2024_12": ["m3"]}


def test_a_browser_creates_partitions_for_the_present_only() -> None:
    ingest("m1", "2026-03-01T00:00:00Z", Origin.BROWSER)
    ingest("m2", "2019-03-01T00:00:00Z", Origin.BROWSER)

    assert events_by_partition() == {"2026_03": ["m1"], "default": ["m2"]}


def test_times_long_ago_and_far_ahead_get_no_partition() -> None:
    ingest("m1", "1999-01-01T00:00:00Z")
    ingest("m2", "2100-01-01T00:00:00Z")

    assert events_by_partition() == {"default": ["m1", "m2"]}
    event_partitions.maintain(NOW)
    assert events_by_partition() == {"default": ["m1", "m2"]}


def ingest_into_default(message_id: str, at: str) -> None:
    """Ingest an event of a file whose partition was created and rolled back before."""
    with transaction.atomic():
        ingest(message_id, at)
        transaction.set_rollback(True)
    ingest(message_id, at)


def test_the_nightly_task_creates_the_coming_months_and_empties_the_default_partition() -> None:
    ingest_into_default("m1", "2020-02-29T12:00:00Z")
    ingest("m2", "2020-02-01T00:00:00Z", Origin.BROWSER)
    ingest_into_default("m3", "2020-03-01T00:00:00Z")
    before = list(Event.objects.order_by("pk").values())

    event_partitions.maintain(NOW)

    assert events_by_partition() == {"2020_02": ["m1", "m2"], "2020_03": ["m3"]}
    assert list(Event.objects.order_by("pk").values()) == before
    assert {"customers_event_2026_03", "customers_event_2026_04", "customers_event_2026_05"} <= (
        partitions.partitions_of("customers_event")
    )
    update.update_facts()
    shop.assert_facts_are_those_of_the_records()


def test_browsers_alone_never_create_partitions_of_the_past() -> None:
    for number, year in enumerate(range(2017, 2026)):
        ingest(f"m{number}", f"{year}-06-01T00:00:00Z", Origin.BROWSER)

    event_partitions.maintain(NOW)

    assert events_by_partition().keys() == {"default"}


def test_an_event_that_is_sent_again_moves_to_the_partition_of_its_new_time() -> None:
    ingest("m1", "2026-01-05T00:00:00Z")
    ingest("m1", "2026-02-05T00:00:00Z")

    assert events_by_partition() == {"2026_02": ["m1"]}


def test_a_month_waits_while_another_transaction_reads_the_default_partition() -> None:
    ingest_into_default("m1", "2019-03-01T00:00:00Z")
    reader = connection.copy()
    try:
        with reader.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT count(*) FROM customers_event")
            with capture_logs() as logged:
                ingest("m2", "2026-03-01T00:00:00Z")
            cursor.execute("ROLLBACK")
    finally:
        reader.close()

    assert not logged  # it is part of the plan
    assert events_by_partition() == {"default": ["m1", "m2"]}
    partitions.forget_checks()
    event_partitions.maintain(NOW)
    assert events_by_partition() == {"2019_03": ["m1"], "2026_03": ["m2"]}


def test_writers_who_create_a_month_at_once_do_not_report_each_other() -> None:
    start = threading.Barrier(4)

    def write(number: int) -> None:
        start.wait()
        ingest(f"m{number}", "2026-03-01T00:00:00Z")
        connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    with capture_logs() as logged:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert not [one for one in logged if one["event"] == "partition_not_created"]
    assert Event.objects.count() == 4


def test_a_partition_that_was_rolled_back_is_created_later() -> None:
    ingest_into_default("m2", "2026-03-01T00:00:00Z")

    assert events_by_partition() == {"default": ["m2"]}
    partitions.forget_checks()
    event_partitions.maintain(NOW)
    assert events_by_partition() == {"2026_03": ["m2"]}
