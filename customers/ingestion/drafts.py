"""Drafts: orders that only browsers have reported. A report of a server, the API or a file replaces them.

Part of ``customers.ingestion.writer``. Everybody can read a browser's key, so nothing of a
draft is kept.
"""

from core.db import execution, temporary_tables, transactions
from core.db.sql import Sql
from customers.facts import queue
from customers.models import DraftLock, OrderLine, OrderMessage, RecordKey

from . import record_keys, stored_records
from .stored_records import RecordTable

_ORDER_MESSAGES, _LINES = OrderMessage._meta.db_table, OrderLine._meta.db_table


def lock_for_records() -> None:
    """Let no orders of messages be processed until this transaction ends, so that messages find the order."""
    transactions.lock_for_records(DraftLock._meta.db_table)


def lock_for_messages() -> None:
    """Wait for transactions that write orders of files and the API, and block new ones until this one ends."""
    transactions.lock_for_messages(DraftLock._meta.db_table)


def lock_exclusive() -> None:
    """Wait for all transactions that write orders, and block new ones until this transaction ends."""
    transactions.lock_exclusive(DraftLock._meta.db_table)


def prepare_replacement(records: RecordTable) -> None:
    """Treat staged orders that replace a draft as new ones, with all columns that a new one requires."""
    drafts = f"SELECT id FROM {records.stored} WHERE is_draft"
    execution.execute(f"UPDATE {records.staged} SET record = NULL WHERE record IN ({drafts})")


def delete_replaced(records: RecordTable) -> None:
    """Delete the replaced drafts with their lines, except those whose order was rejected."""
    temporary_tables.create_temporary_table(
        "drafts_replaced", "id bigint PRIMARY KEY, customer bigint, order_id text"
    )
    replaced = execution.execute(
        f"""INSERT INTO drafts_replaced SELECT id, customer_id, order_id FROM {records.stored}
            WHERE is_draft AND order_id IN (SELECT order_id FROM {records.staged})"""
    )
    if replaced:
        queue.mark_facts_stale(Sql("SELECT customer FROM drafts_replaced"))
        execution.execute(
            f"DELETE FROM {_LINES} WHERE (customer_id, order_id) IN (SELECT customer, id FROM drafts_replaced)"
        )
        stored_records.delete_gathered(records, "SELECT id FROM drafts_replaced")
        record_keys.delete_keys(RecordKey.Kind.ORDER, "SELECT order_id FROM drafts_replaced")


def orders_with_messages(staged: str) -> list[str]:
    """Return the ids of new staged orders that messages have mentioned before."""
    has_message = f"EXISTS (SELECT 1 FROM {_ORDER_MESSAGES} m WHERE m.order_id = {staged}.order_id)"
    return [
        order_id
        for (order_id,) in execution.fetch_all(
            f"SELECT order_id FROM {staged} WHERE record IS NULL AND {has_message}"
        )
    ]
