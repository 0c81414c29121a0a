"""Stored orders and events that staged rows name again: gathered into a temporary table, and written anew.

A stored record is never updated in place. It is deleted and inserted again under the same primary key, maybe with
another time or for another customer, so that its table can be distributed by customer and partitioned by time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from core.db import execution, temporary_tables
from core.db.sql import Sql
from core.db.transactions import ConcurrentWrite
from customers.facts import queue
from customers.identity import merging
from customers.models import Event, EventProduct, Order, OrderLine, RecordKey

from . import record_keys


@dataclass(frozen=True)
class RecordTable:
    """A table of records whose ids are unique: the columns of the id and the time, and the table of its parts.

    ``stored`` is the temporary table of stored records that the staged rows name.
    """

    table: str
    staged: str
    stored: str
    id_column: str
    at_column: str
    part_table: str
    part_column: str

    @property
    def primary_key(self) -> str:
        """The columns of the primary key on PostgreSQL."""
        return f"customer_id, {self.at_column}, id"


ORDERS: Final = RecordTable(
    table=Order._meta.db_table,
    staged="staged_orders",
    stored="stored_orders",
    id_column="order_id",
    at_column="placed_at",
    part_table=OrderLine._meta.db_table,
    part_column="order_id",
)
EVENTS: Final = RecordTable(
    table=Event._meta.db_table,
    staged="staged_events",
    stored="stored_events",
    id_column="message_id",
    at_column="occurred_at",
    part_table=EventProduct._meta.db_table,
    part_column="event_id",
)


def gather(records: RecordTable, kind: RecordKey.Kind, staged: str = "") -> int:
    """Fill ``record`` of staged rows whose id is stored, and copy these records. Return how many there are.

    Their ids are locked until the transaction ends.
    """
    staged = staged or records.staged
    found = lock_and_copy(records, kind, f"SELECT {records.id_column} FROM {staged}")
    if found:
        stored = f"(SELECT r.id FROM {records.stored} r WHERE r.{records.id_column} = {staged}.{records.id_column})"
        execution.execute(f"UPDATE {staged} SET record = {stored} WHERE {stored} IS NOT NULL")
    return found


def lock_and_copy(records: RecordTable, kind: RecordKey.Kind, ids: str) -> int:
    """Lock those of the ids that are stored, and copy their records. Return how many there are.

    ``ids`` is a query.
    """
    known = record_keys.lock_stored(ids, kind)
    found = copy_stored(records)
    if known != found:  # their customers were deleted without the keys
        record_keys.delete_keys(
            kind,
            f"SELECT value FROM {record_keys.STORED_KEYS} WHERE record NOT IN (SELECT id FROM {records.stored})",
        )
    return found


def copy_stored(records: RecordTable) -> int:
    """Copy the records of the locked ids, wherever they are now. Return how many there are."""
    return temporary_tables.copy_rows(
        records.stored,
        records.table,
        f"({records.at_column}, id) IN (SELECT at, record FROM {record_keys.STORED_KEYS})",
    )


def fill_owners(records: RecordTable, staged: str) -> None:
    """Fill ``customer`` of staged rows that name none with the owner of the stored record."""
    execution.execute(
        f"""UPDATE {staged} SET customer = (SELECT r.customer_id FROM {records.stored} r WHERE r.id = {staged}.record)
            WHERE customer IS NULL AND record IS NOT NULL"""
    )


def delete_gathered(records: RecordTable, which: str) -> int:
    """Delete gathered records, of which ``which`` selects the primary keys.

    Raises ConcurrentWrite if another transaction has moved one of them meanwhile.
    """
    gathered = f"FROM {records.stored} WHERE id IN ({which})"
    [(expected,)] = execution.fetch_all(f"SELECT count(*) {gathered}")
    deleted = execution.execute(
        f"DELETE FROM {records.table} WHERE ({records.primary_key}) IN (SELECT {records.primary_key} {gathered})"
    )
    if deleted != expected:
        raise ConcurrentWrite(f"another transaction has moved {expected - deleted} rows of {records.table}")
    return deleted


def write(
    records: RecordTable, kind: RecordKey.Kind, columns: Mapping[str, str], *, created: int, replaced: int
) -> None:
    """Insert the staged rows: those of new records, and those of stored ones, which they replace.

    ``columns`` are SQL expressions of the staged row ``s`` and the stored record ``r``.
    """
    if created:
        record_keys.create_for_new(records.staged, records.id_column, kind, records.at_column, created)
    if replaced:
        _reassign_parts(records)
        delete_gathered(records, f"SELECT record FROM {records.staged}")
        record_keys.update_times(records.staged, records.id_column, kind, records.at_column)
    execution.execute(
        f"""INSERT INTO {records.table} (id, {", ".join(columns)})
            SELECT COALESCE(s.record, s.id), {", ".join(columns.values())} {joined(records)} ORDER BY s.line"""
    )


def joined(records: RecordTable) -> str:
    """Return the FROM clause of staged rows ``s`` with their stored records ``r``."""
    return f"FROM {records.staged} s LEFT JOIN {records.stored} r ON r.id = s.record"


def _reassign_parts(records: RecordTable) -> None:
    """Let the parts of records follow that were sent again under another customer."""
    temporary_tables.create_temporary_table(
        "moved_parents", "item bigint PRIMARY KEY, moved_from bigint, moved_to bigint"
    )
    moved = execution.execute(
        f"""INSERT INTO moved_parents SELECT r.id, r.customer_id, s.customer
            FROM {records.staged} s JOIN {records.stored} r ON r.id = s.record
            WHERE s.customer IS NOT NULL AND s.customer <> r.customer_id"""
    )
    if moved:
        queue.mark_facts_stale(Sql("SELECT moved_from FROM moved_parents"))
        merging.reassign(records.part_table, "moved_parents", column=records.part_column)
