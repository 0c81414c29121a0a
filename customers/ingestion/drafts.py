"""Drafts: orders that only browsers have reported. A report of a server, the API or a file replaces them.

Part of ``customers.ingestion.writer``. Everybody can read a browser's key, so nothing of a
draft is kept.
"""

from core.db import execution, temporary_tables, transactions
from core.db.sql import Sql
from customers.facts import queue
from customers.models import Order, OrderLine, OrderMessage

_ORDER_MESSAGES, _ORDERS, _LINES = OrderMessage._meta.db_table, Order._meta.db_table, OrderLine._meta.db_table


def lock_shared() -> None:
    """Let no orders of messages be processed until this transaction ends, so that messages find the order."""
    transactions.lock_shared(_ORDER_MESSAGES)


def lock_exclusive() -> None:
    """Wait for transactions that write orders, and block new ones until this transaction ends."""
    transactions.lock_exclusive(_ORDER_MESSAGES)


def prepare_replacement(staged: str) -> None:
    """Treat staged orders that replace a draft as new ones, with all columns that a new one requires."""
    temporary_tables.create_temporary_table(
        "drafts_replaced", "id bigint PRIMARY KEY, customer bigint, order_id text"
    )
    found = execution.execute(
        f"""INSERT INTO drafts_replaced SELECT r.id, r.customer_id, r.order_id
            FROM {staged} s JOIN {_ORDERS} r ON r.id = s.record WHERE r.is_draft"""
    )
    if found:
        temporary_tables.analyze_table("drafts_replaced")
        execution.execute(
            f"UPDATE {staged} SET record = NULL WHERE record IN (SELECT id FROM drafts_replaced)"
        )


def delete_replaced(staged: str) -> None:
    """Delete the replaced drafts with their lines, except those whose order was rejected."""
    execution.execute(f"DELETE FROM drafts_replaced WHERE order_id NOT IN (SELECT order_id FROM {staged})")
    queue.mark_facts_stale(Sql("SELECT customer FROM drafts_replaced"))
    execution.execute(f"DELETE FROM {_LINES} WHERE order_id IN (SELECT id FROM drafts_replaced)")
    execution.execute(f"DELETE FROM {_ORDERS} WHERE id IN (SELECT id FROM drafts_replaced)")


def orders_with_messages(staged: str) -> list[str]:
    """Return the ids of new staged orders that messages have mentioned before."""
    has_message = f"EXISTS (SELECT 1 FROM {_ORDER_MESSAGES} m WHERE m.order_id = {staged}.order_id)"
    return [
        order_id
        for (order_id,) in execution.fetch_all(
            f"SELECT order_id FROM {staged} WHERE record IS NULL AND {has_message}"
        )
    ]
