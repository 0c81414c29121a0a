"""Writes events. Part of ``customers.ingestion.writer``."""

from core.db import dialect, execution
from customers.identity import resolver, staged_customers
from customers.rows.kinds import EVENTS

from .results import Outcome
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


def write_events(call: IngestCall) -> Outcome:
    staged, at = "staged_events", call.at
    fill_record_ids(
        staged, "customers_event", "message_id", f"AND r.is_from_browser = {call.is_from_browser}"
    )
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
        reassign_moved(staged, "customers_event", {"customers_eventproduct": "event_id"})
    fill_owners(staged, "customers_event")
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
    created = upsert_staged(
        "customers_event",
        staged,
        "r.id = s.record",
        columns,
        "message_id, is_from_browser",
        updated=[*columns][3:],
    )
    if outcome.updated or listed:
        _replace_products(staged, call)
    appended = ("occurred_at", "name", "product_value", "product_quantity")
    queue_fact_updates(EVENTS, columns, appended, is_only_writer=created in (None, outcome.created))
    return outcome


def _replace_products(staged: str, call: IngestCall) -> None:
    execution.execute(
        f"""DELETE FROM customers_eventproduct WHERE event_id IN
                (SELECT record FROM {staged} WHERE record IS NOT NULL AND properties IS NOT NULL)"""
    )
    item = dialect.json_array_items_sql("s.products")
    fields = ", ".join(dialect.json_array_item_sql("item", place) for place in range(4))
    execution.execute(
        f"""INSERT INTO customers_eventproduct
                (event_id, customer_id, sku_folded, name_folded, category_folded, brand_folded)
            SELECT e.id, e.customer_id, {fields}
            FROM {staged} s JOIN customers_event e
                ON e.message_id = s.message_id AND e.is_from_browser = {call.is_from_browser}, {item}
            WHERE s.products IS NOT NULL"""
    )
