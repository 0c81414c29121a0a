"""The facts of an instant in the past, moved forward step by step.

They are rows of the temporary table ``FactsAsOf``. A step costs what was recorded in between: new records are merged
into the rows of their customers, as an update of the stored facts does.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import DatabaseError

from core.db import backends, dialect, execution, temporary_tables
from core.db.sql import Sql, compose

from . import definitions, queries, relations
from .selection import AS_OF_TABLE, FACTS_TABLE
from .totals import Totals

TOUCHED: Final = "past_touched"
"""The temporary table of the customers whose facts the last step has changed."""

_TABLES: Final = queries.MergedTables(AS_OF_TABLE, "past_events", "past_orders")
_ROWS: Final = "past_rows"
INDEXABLE: Final = (
    # Passed by averages and other statistics
    *("total_spent", "average_order_value", "order_count"),
    # Passed by time
    *("first_seen_at", "first_order_at", "last_order_at", "last_activity_at", "last_added_at"),
)
_COLUMNS: Final = definitions.fact_columns()


@dataclass(frozen=True)
class PastFacts:
    """The facts in the table: their instant, and the totals of buyers."""

    at: datetime
    totals: Totals


def fill(at: datetime, indexed: Iterable[str] = INDEXABLE) -> PastFacts:
    """Fill the table with the facts of an instant, and index the columns by which rows are looked up."""
    relations.prepare_past_relation(at)
    for column in indexed:
        execution.execute(
            f"CREATE INDEX IF NOT EXISTS {_schema()}past_by_{column} ON {AS_OF_TABLE} ({column})"
        )
    customers, buyers, spent, average = _sums(AS_OF_TABLE)
    temporary_tables.tolerate_changes(AS_OF_TABLE, customers)  # they stay alike from day to day
    return PastFacts(at, Totals(at, customers, buyers, spent, average, buyers_version=0))


def drop_indexes() -> None:
    """Let the table be as others use it. Call it after the last step."""
    temporary_tables.tolerate_changes(AS_OF_TABLE, 0)
    with suppress(DatabaseError):  # a failed transaction has dropped them already
        for column in INDEXABLE:
            execution.execute(f"DROP INDEX IF EXISTS {_schema()}past_by_{column}")


def advance(facts: PastFacts, until: datetime) -> PastFacts:
    """Move the facts forward to a later instant. The customers who have changed are in the table ``TOUCHED``."""
    window = {"since": dialect.datetime_param(facts.at), "until": dialect.datetime_param(until)}
    ordered = _gather_records(window)
    if not _gather_touched(window):
        return PastFacts(until, facts.totals)
    _compute_rows(until, with_orders=bool(ordered))
    [before] = execution.fetch_all(
        f"""SELECT COALESCE(sum(customers), 0), COALESCE(sum(buyers), 0), COALESCE(sum(total_spent), 0),
            COALESCE(sum(average_order_value), 0) FROM {TOUCHED}"""
    )
    after = _sums(_ROWS)
    assignments = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
    execution.execute(
        f"""INSERT INTO {AS_OF_TABLE} ({", ".join(_COLUMNS)}) SELECT {", ".join(_COLUMNS)} FROM {_ROWS}
            WHERE true ON CONFLICT (customer_id) DO UPDATE SET {assignments}"""
    )
    was = facts.totals
    customers, buyers, spent, average = (new - int(old) for new, old in zip(after, before, strict=True))
    return PastFacts(
        until,
        Totals(
            until,
            was.customers + customers,
            was.buyers + buyers,
            was.total_spent + spent,
            was.average_order_value + average,
            was.buyers_version + bool(ordered),
        ),
    )


def _gather_records(window: dict[str, str]) -> int:
    """Copy the records of a step to tables like those of appended records. Return how many orders there are."""
    moment = dialect.datetime_type_sql()
    temporary_tables.create_temporary_table(
        _TABLES.events,
        f"customer_id bigint, occurred_at {moment}, name text, product_value bigint, product_quantity bigint",
        joined_on=("customer_id",),
        joins_large=True,
    )
    temporary_tables.create_temporary_table(
        _TABLES.orders,
        f"customer_id bigint, placed_at {moment}, status text, total bigint, discount_total bigint,"
        " refunded_total bigint, coupon_code text",
        joined_on=("customer_id",),
        joins_large=True,
    )
    execution.execute(
        f"CREATE INDEX IF NOT EXISTS {_schema()}past_orders_of_customer ON {_TABLES.orders} (customer_id)"
    )
    _copy_records(
        _TABLES.events, "customers_event", "occurred_at", "name, product_value, product_quantity", window
    )
    columns = "status, total, discount_total, refunded_total, coupon_code"
    return _copy_records(_TABLES.orders, "customers_order", "placed_at", columns, window)


def _copy_records(table: str, source: str, at: str, columns: str, window: dict[str, str]) -> int:
    columns = f"customer_id, {at}, {columns}"
    return execution.execute(
        compose(
            f"""INSERT INTO {table} ({columns})
                SELECT {columns} FROM {source} WHERE {at} > {{since}} AND {at} <= {{until}}""",
            **window,
        )
    )


def _gather_touched(window: dict[str, str]) -> int:
    """Fill the table of those with a record in the step, or first seen in it. Return how many there are.

    ``recompute`` is 1 for those whose records cannot be merged: without a row although they have no record in this
    step, or earlier ones. The other columns are what they have contributed to the totals.
    """
    temporary_tables.create_temporary_table(
        TOUCHED,
        "customer_id bigint PRIMARY KEY, recompute integer, customers integer, buyers integer, total_spent bigint,"
        " average_order_value bigint",
        joined_on=("customer_id", "recompute"),
        joins_large=True,
    )
    return execution.execute(
        compose(
            f"""INSERT INTO {TOUCHED} (
                    customer_id, recompute, customers, buyers, total_spent, average_order_value)
                SELECT t.customer_id, CASE WHEN f.customer_id IS NULL
                    AND (t.records = 0 OR s.first_seen_at IS NULL OR s.first_seen_at <= {{since}})
                    THEN 1 ELSE 0 END,
                    CASE WHEN f.customer_id IS NULL THEN 0 ELSE 1 END, CASE WHEN f.order_count >= 1 THEN 1 ELSE 0 END,
                    COALESCE(f.total_spent, 0), COALESCE(f.average_order_value, 0)
                FROM (
                    SELECT customer_id, sum(records) AS records FROM (
                        SELECT DISTINCT customer_id, 1 AS records FROM {_TABLES.events}
                        UNION ALL SELECT DISTINCT customer_id, 1 FROM {_TABLES.orders}
                        UNION ALL SELECT customer_id, 0 FROM {FACTS_TABLE}
                            WHERE first_seen_at > {{since}} AND first_seen_at <= {{until}}
                    ) AS seen
                    GROUP BY customer_id
                ) AS t
                LEFT JOIN {AS_OF_TABLE} f ON f.customer_id = t.customer_id
                LEFT JOIN {FACTS_TABLE} s ON s.customer_id = t.customer_id""",
            **window,
        )
    )


def _compute_rows(until: datetime, *, with_orders: bool) -> None:
    """Compute the new rows of those who are touched."""
    temporary_tables.copy_rows(_ROWS, FACTS_TABLE, "1 = 0")
    into = Sql(f"INSERT INTO {_ROWS} ({', '.join(_COLUMNS)}) ")
    touched = Sql(f"SELECT customer_id FROM {TOUCHED} WHERE recompute = ")
    merged, recomputed = touched + Sql("0"), touched + Sql("1")
    execution.execute(into + queries.merge_sql(merged, with_orders=with_orders, tables=_TABLES))
    # When somebody was first seen is stored, and the same at each instant.
    first_seen = compose(
        f"SELECT customer_id, first_seen_at AS at FROM {FACTS_TABLE} WHERE customer_id IN ({{recomputed}})",
        recomputed=recomputed,
    )
    execution.execute(
        into + queries.recompute_sql(recomputed, until, only_existing=True, dated_ahead=first_seen)
    )


def _sums(table: str) -> tuple[int, int, int, int]:
    """Return the number of customers and of buyers, and the sums of their facts."""
    [row] = execution.fetch_all(
        f"""SELECT count(*), count(*) FILTER (WHERE order_count >= 1),
                CAST(COALESCE(sum(total_spent), 0) AS bigint),
                CAST(COALESCE(sum(average_order_value), 0) AS bigint)
            FROM {table}"""
    )
    customers, buyers, spent, average = row
    return customers, buyers, spent, average


def _schema() -> str:
    return "" if backends.is_postgresql() else "temp."
