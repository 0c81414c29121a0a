"""Writes order lines. Part of ``customers.ingestion.writer``."""

from collections.abc import Iterable
from typing import Final

from core.db import execution, temporary_tables
from core.db.sql import Sql
from customers.facts import touched_customers
from customers.models import RecordKey
from customers.rows.kinds import ORDER_LINES

from . import stored_records
from .results import Outcome, RejectedRow
from .staging import IngestCall, staged_or_stored, upsert_staged

_LINE_KEY: Final = "customer_id, order_id, key"


def start_line_numbering() -> None:
    """Start numbering order lines anew, because the next lines belong to another file."""
    temporary_tables.create_temporary_table(
        "lines_numbered", "order_id text, sku text, lines bigint, PRIMARY KEY (order_id, sku)"
    )


def write_lines(call: IngestCall) -> Outcome:
    staged = "staged_order_lines"
    rejected = _reject_lines_without_order(staged, call)
    stored_records.fill_owners(stored_records.ORDERS, staged)
    if execution.fetch_all(f"SELECT 1 FROM {staged} WHERE key IS NULL LIMIT 1"):
        _number_lines(staged)
    temporary_tables.copy_rows(
        "stored_lines",
        "customers_orderline",
        f"(customer_id, order_id) IN (SELECT customer, record FROM {staged})",
    )
    joined = f"FROM {staged} s LEFT JOIN stored_lines r ON r.order_id = s.record AND r.key = s.key"
    [(created, updated)] = execution.fetch_all(
        f"SELECT count(*) FILTER (WHERE r.id IS NULL), count(*) FILTER (WHERE r.id IS NOT NULL) {joined}"
    )
    columns = {
        "order_id": "s.record",
        "customer_id": "s.customer",
        "key": "s.key",
        **staged_or_stored(*ORDER_LINES.columns[2:], quantity="10000", unit_price="0"),
    }
    upsert_staged(
        "customers_orderline", joined, columns, "customer_id, order_id, key", updated=[*columns][3:]
    )
    # No fact is computed from lines, but rules ask about them.
    touched_customers.touch_customers(Sql(f"SELECT DISTINCT customer FROM {staged}"), recorded=True)
    return Outcome(created, updated, rejected=rejected)


def _reject_lines_without_order(staged: str, call: IngestCall) -> list[RejectedRow]:
    """Fill ``record`` with the order of each line, and remove lines without one.

    For anybody but a browser, a draft is not an order.
    """
    orders = stored_records.ORDERS
    stored_records.gather(orders, RecordKey.Kind.ORDER, staged)
    others = f"SELECT id FROM {orders.stored} WHERE is_draft <> {call.is_from_browser}"
    execution.execute(f"UPDATE {staged} SET record = NULL WHERE record IN ({others})")
    is_stored = f"EXISTS (SELECT 1 FROM {orders.stored} o WHERE o.order_id = {staged}.order_id)"
    rejected = [
        RejectedRow(
            line, f"order_id: {_why_no_order(order_id, exists=bool(exists))}; import the orders first"
        )
        for line, order_id, exists in execution.fetch_all(
            f"SELECT line, order_id, {is_stored} FROM {staged} WHERE record IS NULL ORDER BY line"
        )
    ]
    if rejected:
        execution.execute(f"DELETE FROM {staged} WHERE record IS NULL")
    return rejected


def _why_no_order(order_id: str, *, exists: bool) -> str:
    if exists:
        return f"order {order_id!r} is a draft, because only a browser has reported it so far"
    return f"there is no order {order_id!r}"


def delete_other_lines(kept: Iterable[tuple[str, str]]) -> None:
    """Delete all lines of the orders in ``kept``, except the lines with these keys."""
    temporary_tables.create_temporary_table(
        "lines_kept", "order_id text, key text, PRIMARY KEY (order_id, key)"
    )
    temporary_tables.load_rows("lines_kept", ("order_id", "key"), kept)
    orders = stored_records.ORDERS
    stored_records.lock_and_copy(orders, RecordKey.Kind.ORDER, "SELECT order_id FROM lines_kept")
    temporary_tables.copy_rows(
        "stored_lines",
        "customers_orderline",
        f"(customer_id, order_id) IN (SELECT customer_id, id FROM {orders.stored})",
    )
    execution.execute(
        f"""DELETE FROM customers_orderline WHERE ({_LINE_KEY}) IN (
                SELECT {_LINE_KEY} FROM stored_lines l WHERE NOT EXISTS (
                    SELECT 1 FROM {orders.stored} o JOIN lines_kept k ON k.order_id = o.order_id
                    WHERE o.id = l.order_id AND k.key = l.key))"""
    )


def _number_lines(staged: str) -> None:
    """Fill the key of lines without an id: the line's position among equal ones of the file, and the sku."""
    temporary_tables.create_temporary_table("line_keys", "line bigint PRIMARY KEY, key text")
    execution.execute(
        f"""INSERT INTO line_keys
            SELECT n.line, '#' || (COALESCE(d.lines, 0) + row_number() OVER (
                PARTITION BY n.order_id, n.sku ORDER BY n.line)) || '#' || COALESCE(n.sku, '')
            FROM {staged} n LEFT JOIN lines_numbered d ON d.order_id = n.order_id AND d.sku = COALESCE(n.sku, '')
            WHERE n.key IS NULL"""
    )
    execution.execute(
        f"""INSERT INTO lines_numbered (order_id, sku, lines)
            SELECT s.order_id, COALESCE(s.sku, ''), count(*) FROM {staged} s JOIN line_keys k ON k.line = s.line
            GROUP BY s.order_id, COALESCE(s.sku, '')
            ON CONFLICT (order_id, sku) DO UPDATE SET lines = lines_numbered.lines + excluded.lines"""
    )
    execution.execute(
        f"UPDATE {staged} SET key = (SELECT k.key FROM line_keys k WHERE k.line = {staged}.line) WHERE key IS NULL"
    )
