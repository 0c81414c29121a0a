"""Writes order lines. Part of ``customers.ingestion.writer``."""

from collections.abc import Iterable

from core.db import execution, temporary_tables
from core.db.sql import Sql
from customers.facts import queue
from customers.rows.kinds import ORDER_LINES

from .results import Outcome, RejectedRow
from .staging import IngestCall, count_staged, fill_owners, staged_or_stored, upsert_staged


def start_line_numbering() -> None:
    """Start numbering order lines anew, because the next lines belong to another file."""
    temporary_tables.create_temporary_table(
        "lines_numbered", "order_id text, sku text, lines bigint, PRIMARY KEY (order_id, sku)"
    )


def write_lines(call: IngestCall) -> Outcome:
    staged = "staged_order_lines"
    rejected = _reject_lines_without_order(staged, call)
    fill_owners(staged, "customers_order")
    if execution.fetch_all(f"SELECT 1 FROM {staged} WHERE key IS NULL LIMIT 1"):
        _number_lines(staged)
    temporary_tables.create_temporary_table(
        "staged_lines_of_orders", "line bigint, order_id bigint, key text, record bigint"
    )
    execution.execute(
        f"""INSERT INTO staged_lines_of_orders SELECT s.line, s.record, s.key, l.id FROM {staged} s
            LEFT JOIN customers_orderline l ON l.order_id = s.record AND l.key = s.key"""
    )
    outcome = count_staged("staged_lines_of_orders")
    outcome.rejected = rejected
    columns = {
        "order_id": "s.record",
        "customer_id": "s.customer",
        "key": "s.key",
        **staged_or_stored(*ORDER_LINES.columns[2:], quantity="10000", unit_price="0"),
    }
    upsert_staged(
        "customers_orderline",
        staged,
        "r.order_id = s.record AND r.key = s.key",
        columns,
        "order_id, key",
        updated=[*columns][3:],
    )
    # No fact is computed from lines, but rules ask about them, so their customers must be re-evaluated.
    queue.mark_facts_stale(Sql(f"SELECT customer FROM {staged}"))
    return outcome


def _reject_lines_without_order(staged: str, call: IngestCall) -> list[RejectedRow]:
    """Fill ``record`` with the order of each line, and remove lines without one.

    For anybody but a browser, a draft is not an order.
    """
    its = f"FROM customers_order o WHERE o.order_id = {staged}.order_id"
    is_draft = call.is_from_browser
    execution.execute(f"UPDATE {staged} SET record = (SELECT o.id {its} AND o.is_draft = {is_draft})")
    rejected = [
        RejectedRow(
            line, f"order_id: {_why_no_order(order_id, exists=bool(exists))}; import the orders first"
        )
        for line, order_id, exists in execution.fetch_all(
            f"SELECT line, order_id, EXISTS (SELECT 1 {its}) FROM {staged} WHERE record IS NULL ORDER BY line"
        )
    ]
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
    execution.execute(
        """DELETE FROM customers_orderline WHERE id IN (
               SELECT l.id FROM customers_order o JOIN customers_orderline l ON l.order_id = o.id
               WHERE o.order_id IN (SELECT order_id FROM lines_kept) AND NOT EXISTS (
                   SELECT 1 FROM lines_kept k WHERE k.order_id = o.order_id AND k.key = l.key))"""
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
