"""Acknowledged messages wait while the schema of the database does not fit, and are processed afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from django.db import DatabaseError, connection, models

from core.db import backends, execution
from customers import tasks
from customers.models import Batch, Customer, Event, Order, RefusedMessage
from tests.support.tracking_messages import identify, send, source, track

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def run_around(there: str, back: str) -> Iterator[None]:
    execution.execute(there)
    try:
        yield
    finally:
        execution.execute(back)


def column_renamed() -> AbstractContextManager[None]:
    return run_around(
        "ALTER TABLE customers_event RENAME COLUMN name TO named",
        "ALTER TABLE customers_event RENAME COLUMN named TO name",
    )


def table_renamed() -> AbstractContextManager[None]:
    return run_around(
        "ALTER TABLE customers_order RENAME TO customers_purchase",
        "ALTER TABLE customers_purchase RENAME TO customers_order",
    )


@contextmanager
def column_of_the_next_version() -> Iterator[None]:
    """A column that must be filled, and of which this version does not know."""
    field = models.TextField(default="")
    field.set_attributes_from_name("channel")
    with connection.schema_editor() as editor:
        editor.add_field(Customer, field)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.remove_field(Customer, field)


def read_only() -> AbstractContextManager[None]:
    """As after a failover to a standby."""
    if backends.is_postgresql():
        return run_around("SET default_transaction_read_only = on", "SET default_transaction_read_only = off")
    return run_around("PRAGMA query_only = on", "PRAGMA query_only = off")


@pytest.mark.parametrize("broken", [column_renamed, table_renamed, column_of_the_next_version, read_only])
def test_messages_wait_during_a_transient_database_error(
    broken: Callable[[], AbstractContextManager[None]],
) -> None:
    _, key = source()
    ordered = track("Order Completed", user="u1", order_id="o1", total=10, currency="EUR")
    send(key, identify("u1", email="ann@example.org"), track("View", user="u2"), ordered, drain=False)

    with broken():
        for _ in range(2):
            with pytest.raises(DatabaseError):
                tasks.drain_inbox()

    assert Batch.objects.count() == 1
    assert not RefusedMessage.objects.exists()
    assert not Customer.objects.exists()
    tasks.drain_inbox()
    assert not Batch.objects.exists()
    assert not RefusedMessage.objects.exists()
    assert sorted(Event.objects.values_list("name", flat=True)) == ["Order Completed", "View"]
    assert Order.objects.get().customer.email == "ann@example.org"
