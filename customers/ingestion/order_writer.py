"""Writes orders. Part of ``customers.ingestion.writer``."""

from core.db import execution
from core.shop import shop
from customers.identity import staged_customers
from customers.models import RecordKey
from customers.rows.kinds import ORDERS

from . import drafts, stored_records
from .results import Origin, Outcome
from .staging import (
    IngestCall,
    count_staged,
    queue_fact_updates,
    reject_incomplete,
    reject_ownerless,
    staged_or_stored,
)


def write_orders(call: IngestCall) -> Outcome:
    records = stored_records.ORDERS
    staged, at = records.staged, call.at
    stored = stored_records.gather(records, RecordKey.Kind.ORDER)
    if stored:
        drafts.prepare_replacement(records)
    if call.origin is Origin.BROWSER:  # a browser does not change a confirmed order
        execution.execute(f"DELETE FROM {staged} WHERE record IS NOT NULL")
    ownerless = reject_ownerless(
        staged, "customer_id: missing, and there is no stored record to keep it from"
    )
    incomplete = reject_incomplete(ORDERS)
    if stored:
        drafts.delete_replaced(records)
    outcome = count_staged(staged)
    outcome.rejected = [*incomplete, *ownerless]
    staged_customers.fill_customers(staged, at)
    if execution.fetch_all(f"SELECT 1 FROM {staged} WHERE anonymous_id IS NOT NULL LIMIT 1"):
        staged_customers.fill_visitors(staged, at)
    if outcome.updated:
        stored_records.fill_owners(records, staged)
    columns = {
        "order_id": "s.order_id",
        "customer_id": "s.customer",
        **staged_or_stored("placed_at", "status", "total", "discount_total", "refunded_total", "currency",
                "coupon_code", "coupon_code_folded",
                placed_at="NULL", status="'paid'", total="0", discount_total="0", refunded_total="0",
                currency=f"'{shop().currency}'"),
        "is_draft": call.is_from_browser,
    }  # fmt: skip
    stored_records.write(
        records, RecordKey.Kind.ORDER, columns, created=outcome.created, replaced=outcome.updated
    )
    appended = ("placed_at", "status", "total", "discount_total", "refunded_total", "coupon_code")
    queue_fact_updates(ORDERS, columns, appended, stored_records.joined(records), replaced=outcome.updated)
    return outcome
