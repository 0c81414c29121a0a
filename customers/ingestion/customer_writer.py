"""Writes customers. Part of ``customers.ingestion.writer``."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from core.db import dialect, execution, temporary_tables
from core.db.sql import Query, Sql, compile_query, compose
from core.values import sortable_values
from customers.consent import statements, states
from customers.facts import queue
from customers.identity import identity_locks, staged_customers
from customers.models import ConsentChange, Customer, DatedAttribute, Event, EventProduct, Order, OrderLine
from customers.rows.kinds import CUSTOMERS

from . import attribute_limit, record_keys
from .results import Outcome
from .staging import IngestCall, count_staged, staged_or_stored, upsert_staged

OWNED_TABLES: Final = tuple(
    model._meta.db_table for model in (EventProduct, Event, OrderLine, Order, ConsentChange, DatedAttribute)
)
"""Tables whose rows a customer owns. Django's own deletion would look for each row by its id alone."""


def delete_customers(customers: Iterable[int]) -> None:
    """Delete customers, by primary key, with all their records and ids."""
    keys = list(customers)
    its = f"customer_id IN ({', '.join(str(int(key)) for key in keys)})"
    record_keys.delete_of_customers(its)
    for table in OWNED_TABLES:
        execution.execute(f"DELETE FROM {table} WHERE {its}")
    Customer.objects.filter(pk__in=keys).delete()


def write_customers(call: IngestCall) -> Outcome:
    staged, stored, at = "staged_customers", "stored_customers", call.at
    staged_customers.fill_existing_customers(staged)
    execution.execute(f"UPDATE {staged} SET record = customer")
    outcome = count_staged(staged)
    if outcome.updated:
        identity_locks.lock_customers(f"SELECT customer FROM {staged} WHERE record IS NOT NULL")
    created = staged_customers.fill_customers(staged, at)
    new = f"FROM {staged} WHERE record IS NULL"
    if execution.fetch_all(f"SELECT count(DISTINCT customer) {new}") != [(created,)]:
        # Somebody else created the others in the meantime, and a third one may describe them now.
        identity_locks.lock_customers(f"SELECT customer {new}")
    texts = staged_or_stored(*CUSTOMERS.columns[1:16])
    given = {
        "search_text": _search_text(texts),
        "birth_date": f"COALESCE({dialect.date_cast_sql('s.birth_date')}, r.birth_date)",
        **{name: f"COALESCE(s.{name}, r.{name})" for name in ("birthday", "subscribed_at")},
        **_first_seen(call),
        "email_is_trusted": "CASE WHEN s.email IS NULL THEN r.email_is_trusted ELSE true END",
        **{
            name: dialect.merged_json_sql(f"r.{name}", dialect.json_cast_sql(f"s.{name}"))
            for name in ("attributes", "attributes_comparable")
        },
    }
    kept = {
        "id": "r.id",
        "customer_id": "r.customer_id",
        "recorded_at": "r.recorded_at",
        "newsletter": "r.newsletter",
    }
    temporary_tables.copy_rows(stored, "customers_customer", f"id IN (SELECT customer FROM {staged})")
    statements.collect_changed_addresses(staged, stored)
    upsert_staged(
        "customers_customer",
        f"FROM {staged} s JOIN {stored} r ON r.id = s.customer",
        kept | texts | given,
        "id",
        updated=[*texts, *given],
    )
    outcome.over_attribute_limit = attribute_limit.enforce_attribute_limit(staged)
    store_dated_attributes(Sql(f"SELECT customer FROM {staged} WHERE attributes <> '{{}}'"))
    outcome.kept_unsubscribed = statements.store_staged_statements(
        staged, stored, call.stated_at, call.source
    )
    joined = f"FROM {staged} s JOIN {stored} r ON r.id = s.customer"
    is_same = "(s.first_seen IS NULL OR (r.first_seen IS NOT NULL AND s.first_seen = r.first_seen))"
    queue.mark_facts_stale(Sql(f"SELECT customer {joined} WHERE NOT {is_same}"))
    queue.queue_for_evaluation(Sql(f"SELECT customer {joined} WHERE {is_same}"))
    return outcome


def _search_text(texts: Mapping[str, str]) -> str:
    """Return an expression of the non-empty texts that customers are searched by, each after a space."""
    searched = (texts[name] for name in ("first_name_unaccented", "last_name_unaccented", "email_folded"))
    return " || ".join(f"CASE {text} WHEN '' THEN '' ELSE ' ' || {text} END" for text in searched)


def _first_seen(call: IngestCall) -> dict[str, str]:
    """Return expressions for when customers were first seen: the earliest of the latest record and all messages."""
    if not call.trusts_ids:  # the record is already the earliest of all messages
        return {
            "first_seen": "COALESCE(s.first_seen, r.first_seen)",
            "first_seen_given": "r.first_seen_given",
        }
    earliest_in_messages = f"""(SELECT min({dialect.trait_datetime_sql('t."values"', "first_seen")})
        FROM customers_identity i JOIN customers_traits t ON t.identity_id = i.id WHERE i.customer_id = s.customer)"""
    return {
        "first_seen": f"""CASE WHEN s.first_seen IS NULL THEN r.first_seen
            WHEN r.first_seen IS NULL OR s.first_seen <= r.first_seen THEN s.first_seen
            ELSE {dialect.least_sql("s.first_seen", earliest_in_messages)} END""",
        "first_seen_given": "COALESCE(s.first_seen, r.first_seen_given)",
    }


def store_dated_attributes(customers: Query) -> None:
    """Store the date attributes of customers, selected by primary key, where filters find them by time."""
    customers = compile_query(customers)
    execution.execute(
        compose(
            "DELETE FROM customers_datedattribute WHERE customer_id IN ({customers})", customers=customers
        )
    )
    execution.execute(
        compose(
            f"""INSERT INTO customers_datedattribute (customer_id, name, at)
                SELECT c.id, item.key, {dialect.sortable_datetime_sql("item.value")}
                FROM customers_customer c, {dialect.json_object_items_sql("c.attributes_comparable")}
                WHERE c.id IN ({{customers}}) AND substr(item.value, 1, 1) = '{sortable_values.DATETIME}'
                    AND length(item.key) <= {DatedAttribute._meta.get_field("name").max_length}""",
            customers=customers,
        )
    )


def clear_fields(fields: Mapping[int, Iterable[str]]) -> None:
    """Empty columns and attributes of customers, by primary key, because the data belongs to somebody else."""
    blank = Customer()
    temporary_tables.create_temporary_table("customers_cleared", "customer bigint PRIMARY KEY")
    temporary_tables.load_rows("customers_cleared", ("customer",), [(key,) for key in fields])
    identity_locks.lock_customers("SELECT customer FROM customers_cleared")
    for customer in Customer.objects.filter(pk__in=fields):
        for name in fields[customer.pk]:
            if name not in CUSTOMERS.csv_columns:
                customer.attributes.pop(name, None)
                customer.attributes_comparable.pop(sortable_values.json_key(name), None)
                continue
            derived = [
                f"{name}_folded",
                f"{name}_unaccented",
                *(["birthday"] if name == "birth_date" else []),
            ]
            for column in (name, *derived):
                if column in CUSTOMERS.columns:
                    setattr(customer, column, getattr(blank, column))
            if name == "email":
                customer.email_is_trusted = blank.email_is_trusted
        searched = (customer.first_name_unaccented, customer.last_name_unaccented, customer.email_folded)
        customer.search_text = "".join(f" {text}" for text in searched if text)
        customer.save()
    store_dated_attributes(Sql("SELECT customer FROM customers_cleared"))
    states.update_consent(Sql("SELECT customer FROM customers_cleared"), datetime.now(UTC), source="merge")
    queue.mark_facts_stale(Sql("SELECT customer FROM customers_cleared"))


def mark_address_trusted(customer: int, address: str) -> None:
    """Record that the owner of a folded address has confirmed that it belongs to a customer."""
    Customer.objects.filter(pk=customer, email_folded=address).update(email_is_trusted=True)


def mark_addresses_untrusted(customers: Iterable[int]) -> None:
    """Record that only a browser has sent the addresses of customers."""
    Customer.objects.filter(pk__in=list(customers)).update(email_is_trusted=False)
