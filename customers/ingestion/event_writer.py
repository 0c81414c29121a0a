"""Writes events. Part of ``customers.ingestion.writer``."""

from collections.abc import Sequence
from typing import Final

from core.db import dialect, execution
from customers.identity import resolver, staged_customers
from customers.models import RecordKey
from customers.rows.kinds import EVENTS
from customers.rows.parsing import Record

from . import record_keys, stored_records
from .results import Origin, Outcome
from .staging import (
    IngestCall,
    count_staged,
    queue_fact_updates,
    reject_incomplete,
    reject_ownerless,
    stage_rows,
    staged_or_stored,
)

_APPENDED: Final = ("occurred_at", "name", "product_value", "product_quantity")


def write_events(call: IngestCall) -> Outcome:
    records = stored_records.EVENTS
    staged, at = records.staged, call.at
    kind = _key_kind(call)
    stored_records.gather(records, kind)
    incomplete = reject_incomplete(EVENTS)
    ownerless = reject_ownerless(
        staged, "customer_id: missing, and so is anonymous_id; one of them says whose event it is"
    )
    outcome = count_staged(staged)
    outcome.rejected = [*incomplete, *ownerless]
    # Most batches name one kind of id only: skip the statements that have no rows.
    [(customers, visitors, both, listed)] = execution.fetch_all(
        f"""SELECT count(customer_id), count(anonymous_id),
            count(*) FILTER (WHERE customer_id IS NOT NULL AND anonymous_id IS NOT NULL), count(products)
            FROM {staged}"""
    )
    if customers:
        staged_customers.fill_customers(staged, at)
    if both:
        resolver.merge_staged_visitors(staged, at)
    if visitors > both:
        staged_customers.fill_visitors(staged, at)
    if outcome.updated:
        if both:  # stored records may have been reassigned
            stored_records.copy_stored(records)
        stored_records.fill_owners(records, staged)
    columns = {
        "message_id": "s.message_id",
        "is_from_browser": call.is_from_browser,
        "customer_id": "s.customer",
        "visitor_id": "CASE WHEN s.customer_id IS NULL AND s.anonymous_id IS NULL THEN r.visitor_id ELSE s.visitor END",
        **staged_or_stored("name", "occurred_at", "sku_folded", "name_folded", "category_folded", "brand_folded",
                occurred_at="NULL"),
        **{
            name: f"CASE WHEN s.properties IS NULL THEN r.{name} ELSE s.{name} END"
            for name in ("product_value", "product_quantity")
        },
        **{
            name: f"COALESCE({dialect.json_cast_sql(f's.{name}')}, r.{name}, {dialect.json_cast_sql(empty_object)})"
            for name, empty_object in (("properties", "'{}'"), ("properties_comparable", "'{}'"))
        },
    }  # fmt: skip
    stored_records.write(records, kind, columns, created=outcome.created, replaced=outcome.updated)
    if outcome.updated:
        _delete_replaced_products(staged)
    if listed:
        _insert_products(staged)
    queue_fact_updates(EVENTS, columns, _APPENDED, stored_records.joined(records), replaced=outcome.updated)
    return outcome


def write_new_events(call: IngestCall, rows: Sequence[Record]) -> None:
    """Write events with a ``customer`` and a ``visitor`` after their columns, none of which is stored.

    Raises ConcurrentWrite if another transaction has just stored one of them.
    """
    staged = stored_records.EVENTS.staged
    stage_rows(EVENTS, rows, owner_columns=("customer", "visitor"))
    record_keys.create_for_new(staged, "message_id", _key_kind(call), "occurred_at", len(rows))
    columns = {
        "message_id": "s.message_id",
        "is_from_browser": call.is_from_browser,
        "customer_id": "s.customer",
        "visitor_id": "s.visitor",
        **{name: f"s.{name}" for name in ("name", "occurred_at", "product_value", "product_quantity")},
        **{
            name: f"COALESCE(s.{name}, '')"
            for name in ("sku_folded", "name_folded", "category_folded", "brand_folded")
        },
        **{name: dialect.json_cast_sql(f"s.{name}") for name in ("properties", "properties_comparable")},
    }
    execution.execute(
        f"""INSERT INTO customers_event (id, {", ".join(columns)})
            SELECT s.id, {", ".join(columns.values())} FROM {staged} s"""
    )
    products = 1 + EVENTS.columns.index("products")
    if any(row[products] is not None for row in rows):
        _insert_products(staged)
    queue_fact_updates(EVENTS, columns, _APPENDED, f"FROM {staged} s", replaced=0)


def _key_kind(call: IngestCall) -> RecordKey.Kind:
    return RecordKey.Kind.BROWSER_MESSAGE if call.origin is Origin.BROWSER else RecordKey.Kind.MESSAGE


def _delete_replaced_products(staged: str) -> None:
    execution.execute(
        f"""DELETE FROM customers_eventproduct WHERE (customer_id, event_id) IN (
                SELECT customer, record FROM {staged} WHERE record IS NOT NULL AND properties IS NOT NULL)"""
    )


def _insert_products(staged: str) -> None:
    item = dialect.json_array_items_sql("s.products")
    fields = ", ".join(dialect.json_array_item_sql("item", place) for place in range(4))
    execution.execute(
        f"""INSERT INTO customers_eventproduct
                (event_id, customer_id, sku_folded, name_folded, category_folded, brand_folded)
            SELECT COALESCE(s.record, s.id), s.customer, {fields}
            FROM {staged} s, {item} WHERE s.products IS NOT NULL"""
    )
