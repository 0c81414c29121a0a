"""The ids by which senders name orders and events: which record has an id, and who may write it.

The only writer of ``RecordKey``. A transaction that writes a stored record holds the lock of its key, so two of them
never write the same record at once.
"""

import json
from collections.abc import Iterable
from typing import Final

from core.db import backends, dialect, execution, temporary_tables
from core.db.execution import batches
from core.db.transactions import ConcurrentWrite
from customers.models import Event, Order, RecordKey

STORED_KEYS: Final = "stored_keys"
"""A temporary table of ``value``, ``record`` and ``at``: the keys of staged rows that existed before."""

_KEYS: Final = RecordKey._meta.db_table
_ORDERS, _EVENTS = Order._meta.db_table, Event._meta.db_table


def lock_stored(ids: str, kind: RecordKey.Kind) -> int:
    """Lock the keys of those of the ids that are stored, until the transaction ends. Return how many there are.

    ``ids`` is a query.
    """
    temporary_tables.create_temporary_table(
        STORED_KEYS, f"value text PRIMARY KEY, record bigint, at {dialect.datetime_type_sql()}"
    )
    lock = "ORDER BY value FOR UPDATE" if backends.is_postgresql() else ""
    return execution.execute(
        f"""INSERT INTO {STORED_KEYS} SELECT value, record, at FROM {_KEYS}
            WHERE kind = {kind} AND value IN ({ids}) {lock}"""
    )


def create_for_new(staged: str, column: str, kind: RecordKey.Kind, at_column: str, count: int) -> None:
    """Write the keys of the ``count`` staged rows without a stored record.

    Raises ConcurrentWrite if another transaction was faster. Its record is found when this one is tried again.
    """
    created = execution.execute(
        f"""INSERT INTO {_KEYS} (kind, value, record, at)
            SELECT {kind}, {column}, id, {at_column} FROM {staged} WHERE record IS NULL ORDER BY {column}
            ON CONFLICT (kind, value) DO NOTHING"""
    )
    if created != count:
        raise ConcurrentWrite(f"{count - created} {kind.label} ids were written by another transaction")


def update_times(staged: str, column: str, kind: RecordKey.Kind, at_column: str) -> None:
    """Store the times of staged records, where they differ from those of the gathered keys."""
    changed = f"""SELECT s.{column} FROM {staged} s JOIN {STORED_KEYS} k ON k.value = s.{column}
        WHERE s.record IS NOT NULL AND s.{at_column} <> k.at"""
    execution.execute(
        f"""UPDATE {_KEYS} SET at = (SELECT s.{at_column} FROM {staged} s WHERE s.{column} = {_KEYS}.value)
            WHERE kind = {kind} AND value IN ({changed})"""
    )


def delete_keys(kind: RecordKey.Kind, values: str) -> None:
    """Delete the keys whose values a query selects."""
    execution.execute(f"DELETE FROM {_KEYS} WHERE kind = {kind} AND value IN ({values})")


def delete_of_customers(which: str) -> None:
    """Delete the keys of the orders and events of customers. ``which`` is a condition on ``customer_id``."""
    for kind, ids in (
        (RecordKey.Kind.ORDER, f"SELECT order_id FROM {_ORDERS} WHERE {which}"),
        (RecordKey.Kind.MESSAGE, f"SELECT message_id FROM {_EVENTS} WHERE {which} AND NOT is_from_browser"),
        (
            RecordKey.Kind.BROWSER_MESSAGE,
            f"SELECT message_id FROM {_EVENTS} WHERE {which} AND is_from_browser",
        ),
    ):
        temporary_tables.create_temporary_table("deleted_ids", "value text")
        if execution.execute(f"INSERT INTO deleted_ids {ids}"):
            delete_keys(kind, "SELECT value FROM deleted_ids")


def existing_messages(message_ids: Iterable[str], kind: RecordKey.Kind) -> set[str]:
    """Return those of the message ids that events have."""
    listed = json.dumps(sorted(set(message_ids)))  # as one parameter: there may be ten thousand of them
    found = execution.fetch_all(
        f"SELECT value FROM {_KEYS} WHERE kind = {kind} AND value IN ({dialect.json_texts_sql('%s')})",
        [listed],
    )
    return {value for (value,) in found}


def find_orders(order_ids: Iterable[str]) -> dict[str, Order]:
    """Return stored orders by their ids."""
    found: dict[str, Order] = {}
    for part in batches([*order_ids]):
        keys = RecordKey.objects.filter(kind=RecordKey.Kind.ORDER, value__in=part).values_list("at", "record")
        times, records = {at for at, _ in keys}, {record for _, record in keys}
        for order in Order.objects.filter(placed_at__in=times, pk__in=records):
            found[order.order_id] = order
    return found
