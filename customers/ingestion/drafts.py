"""Drafts: orders of which only browsers have told, until whoever is trusted tells of them and replaces them whole.

Part of ``customers.ingestion.writer``, the only writer of orders. A browser key is public, so nothing of a draft is
kept once a server, the API or a file says what the order is.
"""

from core.db import execution, temporary_tables, transactions
from core.db.sql import Sql
from customers.facts import queue
from customers.models import Order, OrderLine, OrderMessage

_NOTES, _ORDERS, _LINES = OrderMessage._meta.db_table, Order._meta.db_table, OrderLine._meta.db_table


def lock_shared() -> None:
    """Take no order from messages before this transaction ends: what waits for an order must find it."""
    transactions.lock_shared(_NOTES)


def lock_exclusive() -> None:
    """Wait until no orders are on their way, and keep them waiting until this transaction ends."""
    transactions.lock_exclusive(_NOTES)


def prepare_replacement(staged: str) -> None:
    """Take staged orders of which there is a draft for new ones, with all that a new one must have."""
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
    """Delete the drafts that were set aside, with their lines, but for those whose order was refused."""
    execution.execute(f"DELETE FROM drafts_replaced WHERE order_id NOT IN (SELECT order_id FROM {staged})")
    queue.queue_stale(Sql("SELECT customer FROM drafts_replaced"))
    execution.execute(f"DELETE FROM {_LINES} WHERE order_id IN (SELECT id FROM drafts_replaced)")
    execution.execute(f"DELETE FROM {_ORDERS} WHERE id IN (SELECT id FROM drafts_replaced)")


def orders_with_messages(staged: str) -> list[str]:
    """Give the ids of new staged orders of which messages have told before."""
    noted = f"EXISTS (SELECT 1 FROM {_NOTES} n WHERE n.order_id = {staged}.order_id)"
    return [
        order_id
        for (order_id,) in execution.fetch_all(
            f"SELECT order_id FROM {staged} WHERE record IS NULL AND {noted}"
        )
    ]
