"""Staging tables: rows of one batch, checked and completed before they are merged into a table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.db import backends, dialect, execution, temporary_tables
from core.db.sql import Sql
from customers.facts import queue
from customers.models import Event, Order
from customers.rows.kinds import CUSTOMERS, EVENTS, ORDER_LINES, ORDERS, Kind
from customers.rows.parsing import Record

from .results import Origin, Outcome, RejectedRow

NUMERIC_COLUMNS = frozenset(
    {
        "birthday",
        "total",
        "discount_total",
        "refunded_total",
        "quantity",
        "unit_price",
        "product_value",
        "product_quantity",
    }
)
DATETIME_COLUMNS = frozenset({"placed_at", "occurred_at", "subscribed_at", "first_seen"})

# The columns that a new record must have, with their names in CSV; and those that say whose record it is.
REQUIRED_COLUMNS: Mapping[str, Mapping[str, str]] = {
    CUSTOMERS.name: {},
    ORDERS.name: {"placed_at": "placed_at"},
    ORDER_LINES.name: {},
    EVENTS.name: {"name": "event", "occurred_at": "occurred_at"},
}
OWNER_ID_COLUMNS: Mapping[str, tuple[str, ...]] = {
    CUSTOMERS.name: (),
    ORDERS.name: ("customer_id", "anonymous_id"),
    ORDER_LINES.name: (),
    EVENTS.name: ("customer_id", "anonymous_id"),
}
_KEYED_TABLES: Mapping[str, str] = {ORDERS.name: Order._meta.db_table, EVENTS.name: Event._meta.db_table}


@dataclass(frozen=True)
class IngestCall:
    """The arguments of one call of ``ingest``, and the number of its current batch."""

    at: datetime
    source: str
    origin: Origin
    trusts_ids: bool
    batch_number: int = 0

    @property
    def stated_at(self) -> datetime:
        """Return the time of its consent statements. A later batch of the call counts as later."""
        return self.at + timedelta(microseconds=self.batch_number)

    @property
    def is_from_browser(self) -> str:
        """Return an SQL literal: whether a browser sent the records."""
        return "true" if self.origin is Origin.BROWSER else "false"


def stage_rows(kind: Kind, rows: Iterable[Record], *, owner_columns: Sequence[str] = ()) -> None:
    """Fill the staging table of a kind.

    ``id`` is the primary key that the record gets if it is new, ``record`` that of the stored record. Rows end with
    ``owner_columns``, such as ``customer``, where they are known already.
    """
    types = dict.fromkeys(NUMERIC_COLUMNS, "bigint") | dict.fromkeys(
        DATETIME_COLUMNS, dialect.datetime_type_sql()
    )
    columns = ", ".join(f"{column} {types.get(column, 'text')}" for column in kind.columns)
    staged, table = f"staged_{kind.name}", _KEYED_TABLES.get(kind.name)
    temporary_tables.create_temporary_table(
        staged,
        f"line bigint, {columns}, customer bigint, visitor bigint, record bigint,"
        f" id bigint {backends.next_key_default_sql(table) if table else ''}",
        joined_on=("customer", "visitor", "record", *kind.key),
    )
    temporary_tables.load_rows(staged, ("line", *kind.columns, *owner_columns), rows)
    if table:
        backends.fill_next_keys(staged, table)


def upsert_staged(
    table: str, joined: str, columns: Mapping[str, str], key: str, *, updated: Iterable[str]
) -> None:
    """Merge staged rows into a table, in their order.

    ``joined`` is the FROM clause of the staged rows ``s`` and stored rows ``r``. ``columns`` are expressions of both.
    """
    sets = ", ".join(f"{name} = excluded.{name}" for name in updated)
    execution.execute(
        f"""INSERT INTO {table} ({", ".join(columns)}) SELECT {", ".join(columns.values())} {joined}
            WHERE true ORDER BY s.line ON CONFLICT ({key}) DO UPDATE SET {sets}"""
    )


def reject_incomplete(kind: Kind) -> list[RejectedRow]:
    """Remove staged rows that are new and lack a required column."""
    staged, needed = f"staged_{kind.name}", REQUIRED_COLUMNS[kind.name]
    missing = " OR ".join(f"{column} IS NULL" for column in needed)
    refused = []
    for row in execution.fetch_all(
        f"SELECT line, {', '.join(needed)} FROM {staged} WHERE record IS NULL AND ({missing})"
    ):
        lacking = [label for label, value in zip(needed.values(), row[1:], strict=True) if value is None]
        refused.append(
            RejectedRow(row[0], f"{lacking[0]}: missing, and there is no stored record to keep it from")
        )
    if refused:
        execution.execute(f"DELETE FROM {staged} WHERE record IS NULL AND ({missing})")
    return refused


def reject_ownerless(staged: str, reason: str) -> list[RejectedRow]:
    """Remove staged rows that are new and name no customer and no visitor."""
    ownerless = "record IS NULL AND customer_id IS NULL AND anonymous_id IS NULL"
    refused = [
        RejectedRow(line, reason)
        for (line,) in execution.fetch_all(f"SELECT line FROM {staged} WHERE {ownerless}")
    ]
    if refused:
        execution.execute(f"DELETE FROM {staged} WHERE {ownerless}")
    return refused


def count_staged(staged: str) -> Outcome:
    [(created, updated)] = execution.fetch_all(
        f"SELECT count(*) FILTER (WHERE record IS NULL), count(*) FILTER (WHERE record IS NOT NULL) FROM {staged}"
    )
    return Outcome(created, updated)


def staged_or_stored(*columns: str, **defaults: str) -> dict[str, str]:
    """Return expressions for columns: the staged value, else the stored one, else its default."""
    empty_text = "''"
    return {
        column: f"COALESCE(s.{column}, r.{column}, {defaults.get(column, empty_text)})" for column in columns
    }


def queue_fact_updates(
    kind: Kind, columns: Mapping[str, str], appended: Iterable[str], joined: str, *, replaced: int
) -> None:
    """Queue new records to be merged into the facts, and the customers of replaced ones to be recomputed."""
    names = ", ".join(appended)
    execution.execute(
        f"""INSERT INTO customers_appended{kind.name.removesuffix("s")} (customer_id, {names})
            SELECT s.customer, {", ".join(columns[name] for name in appended)} {joined} WHERE s.record IS NULL"""
    )
    if replaced:
        queue.mark_facts_stale(Sql(f"SELECT customer FROM staged_{kind.name} WHERE record IS NOT NULL"))
