"""Writes orders. Part of ``customers.ingestion.writer``."""

from django.conf import settings

from core.db import execution
from customers.identity import staged_customers
from customers.rows.kinds import ORDERS

from . import drafts
from .results import Origin, Outcome
from .staging import (
    IngestCall,
    count_staged,
    fill_owners,
    fill_record_ids,
    queue_fact_updates,
    reassign_moved,
    reject_incomplete,
    reject_ownerless,
    staged_or_stored,
    upsert_staged,
)


def write_orders(call: IngestCall) -> Outcome:
    staged, at = "staged_orders", call.at
    fill_record_ids(staged, "customers_order", "order_id")
    drafts.prepare_replacement(staged)
    if call.origin is Origin.BROWSER:  # a browser does not change a confirmed order
        execution.execute(f"DELETE FROM {staged} WHERE record IS NOT NULL")
    ownerless = reject_ownerless(
        staged, "customer_id: missing, and there is no stored record to keep it from"
    )
    incomplete = reject_incomplete(ORDERS)
    drafts.delete_replaced(staged)
    outcome = count_staged(staged)
    outcome.rejected = [*incomplete, *ownerless]
    staged_customers.fill_customers(staged, at)
    if execution.fetch_all(f"SELECT 1 FROM {staged} WHERE anonymous_id IS NOT NULL LIMIT 1"):
        staged_customers.fill_visitors(staged, at)
    if outcome.updated:
        reassign_moved(staged, "customers_order", {"customers_orderline": "order_id"})
    fill_owners(staged, "customers_order")
    columns = {
        "order_id": "s.order_id",
        "customer_id": "s.customer",
        **staged_or_stored("placed_at", "status", "total", "discount_total", "refunded_total", "currency",
                "coupon_code", "coupon_code_folded",
                placed_at="NULL", status="'paid'", total="0", discount_total="0", refunded_total="0",
                currency=f"'{settings.SHOP_CURRENCY}'"),
        "is_draft": call.is_from_browser,
    }  # fmt: skip
    created = upsert_staged(
        "customers_order", staged, "r.id = s.record", columns, "order_id", updated=[*columns][2:]
    )
    appended = ("placed_at", "status", "total", "discount_total", "refunded_total", "coupon_code")
    queue_fact_updates(ORDERS, columns, appended, is_only_writer=created in (None, outcome.created))
    return outcome
