"""The facts of an instant in the past, moved forward step by step.

They are rows of the temporary table ``FactsAsOf``. A step costs what was recorded in between: new records are merged
into the rows of their customers, as an update of the stored facts does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.db import backends, dialect, execution, temporary_tables
from core.db.sql import Sql, compose

from . import definitions, queries, relations
from .selection import AS_OF_TABLE, FACTS_TABLE
from .totals import Totals

TOUCHED: Final = "past_touched"
"""The temporary table of the customers whose facts the last step has changed."""

_TABLES: Final = queries.MergedTables(AS_OF_TABLE, "past_events", "past_orders")
_ROWS: Final = "past_rows"
_INDEXED: Final = ("total_spent", "average_order_value", "order_count", "last_order_at")
_COLUMNS: Final = definitions.fact_columns()
_UNANALYZED_SHARE: Final = 0.1  # of the rows of the table, which stay alike from day to day


@dataclass(frozen=True)
class PastFacts:
    """The facts in the table: their instant, and the totals of buyers."""

    at: datetime
    totals: Totals


@contextmanager
def past_facts(at: datetime) -> Iterator[PastFacts]:
    """Fill the table with the facts of an instant. Until the block ends, ``advance`` moves them forward."""
    relations.prepare_past_relation(at)
    for column in _INDEXED:
        execution.execute(
            f"CREATE INDEX IF NOT EXISTS {_schema()}past_by_{column} ON {AS_OF_TABLE} ({column})"
            " WHERE order_count >= 1"
        )
    customers, buyers, spent, average = _sums(AS_OF_TABLE)
    temporary_tables.tolerate_changes(AS_OF_TABLE, int(_UNANALYZED_SHARE * customers))
    try:
        yield PastFacts(at, Totals(at, customers, buyers, spent, average, buyers_version=0))
    finally:
        temporary_tables.tolerate_changes(AS_OF_TABLE, 0)
        for column in _INDEXED:
            execution.execute(f"DROP INDEX IF EXISTS {_schema()}past_by_{column}")


def advance(facts: PastFacts, until: datetime) -> PastFacts:
    """Move the facts forward to a later instant. The customers who have changed are in the table ``TOUCHED``."""
    window = {"since": dialect.datetime_param(facts.at), "until": dialect.datetime_param(until)}
    _gather_records(window)
    ordered = _gather_touched(window)
    _compute_rows(until, with_orders=bool(ordered))
    before = _sums(AS_OF_TABLE, f"WHERE customer_id IN (SELECT customer_id FROM {TOUCHED})")
    after = _sums(_ROWS)
    assignments = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])
    execution.execute(
        f"""INSERT INTO {AS_OF_TABLE} ({", ".join(_COLUMNS)}) SELECT {", ".join(_COLUMNS)} FROM {_ROWS}
            WHERE true ON CONFLICT (customer_id) DO UPDATE SET {assignments}"""
    )
    was = facts.totals
    customers, buyers, spent, average = (new - old for new, old in zip(after, before, strict=True))
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


def _gather_records(window: dict[str, str]) -> None:
    """Copy the records of a step to tables like those of appended records."""
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
    for table, source, at, columns in (
        (_TABLES.events, "customers_event", "occurred_at", "name, product_value, product_quantity"),
        (
            _TABLES.orders,
            "customers_order",
            "placed_at",
            "status, total, discount_total, refunded_total, coupon_code",
        ),
    ):
        columns = f"customer_id, {at}, {columns}"
        execution.execute(
            compose(
                f"""INSERT INTO {table} ({columns})
                    SELECT {columns} FROM {source} WHERE {at} > {{since}} AND {at} <= {{until}}""",
                **window,
            )
        )
    for table in (_TABLES.events, _TABLES.orders):
        execution.execute(
            f"CREATE INDEX IF NOT EXISTS {_schema()}{table}_of_customer ON {table} (customer_id)"
        )


def _gather_touched(window: dict[str, str]) -> int:
    """Fill the table of those with a record in the step, or first seen in it. Return how many orders there are.

    ``recompute`` is 1 for those without a row, or with several orders, which cannot be merged.
    """
    temporary_tables.create_temporary_table(
        TOUCHED, "customer_id bigint PRIMARY KEY, recompute integer", joins_large=True
    )
    execution.execute(
        compose(
            f"""INSERT INTO {TOUCHED} (customer_id, recompute)
                SELECT t.customer_id, CASE WHEN max(t.orders) > 1
                    OR NOT EXISTS (SELECT 1 FROM {AS_OF_TABLE} f WHERE f.customer_id = t.customer_id)
                    THEN 1 ELSE 0 END
                FROM (
                    SELECT customer_id, 0 AS orders FROM {_TABLES.events} GROUP BY customer_id
                    UNION ALL SELECT customer_id, count(*) FROM {_TABLES.orders} GROUP BY customer_id
                    UNION ALL SELECT customer_id, 0 FROM {FACTS_TABLE}
                        WHERE first_seen_at > {{since}} AND first_seen_at <= {{until}}
                ) AS t
                GROUP BY t.customer_id""",
            **window,
        )
    )
    [(orders,)] = execution.fetch_all(f"SELECT count(*) FROM {_TABLES.orders}")
    return int(orders)


def _compute_rows(until: datetime, *, with_orders: bool) -> None:
    """Compute the new rows of those who are touched."""
    temporary_tables.copy_rows(_ROWS, FACTS_TABLE, "1 = 0")
    into = Sql(f"INSERT INTO {_ROWS} ({', '.join(_COLUMNS)}) ")
    touched = Sql(f"SELECT customer_id FROM {TOUCHED} WHERE recompute = ")
    merged, recomputed = touched + Sql("0"), touched + Sql("1")
    execution.execute(into + queries.merge_sql(merged, with_orders=with_orders, tables=_TABLES))
    execution.execute(into + queries.recompute_sql(recomputed, until, only_existing=True))


def _sums(table: str, where: str = "") -> tuple[int, int, int, int]:
    """Return the number of customers and of buyers, and the sums of their facts."""
    [row] = execution.fetch_all(
        f"""SELECT count(*), count(*) FILTER (WHERE order_count >= 1),
                CAST(COALESCE(sum(total_spent), 0) AS bigint),
                CAST(COALESCE(sum(average_order_value), 0) AS bigint)
            FROM {table} {where}"""
    )
    customers, buyers, spent, average = row
    return customers, buyers, spent, average


def _schema() -> str:
    return "" if backends.is_postgresql() else "temp."
