"""The relation that holds the facts of an instant: the stored rows, or a temporary table if they do not fit."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Final, Literal

from core.db import backends, dialect, execution, temporary_tables, transactions
from core.db.sql import Query, Sql, compile_query, compose
from core.values import decimals
from customers.models import Customer, FactColumns, Facts, FactsAsOf

from . import definitions, queries
from .selection import (
    ALL_CUSTOMERS,
    APPENDED_EVENTS_TABLE,
    APPENDED_ORDERS_TABLE,
    AS_OF_TABLE,
    FACTS_TABLE,
    SELECTED,
    STALE_TABLE,
    UPCOMING_TABLE,
    create_selection_table,
    unmergeable_sql,
)
from .update import facts_updated_until

_INTO_AS_OF: Final = Sql(f"INSERT INTO {AS_OF_TABLE} ({', '.join(definitions.fact_columns())}) ")


def facts_of_customer(customer: Customer, at: datetime) -> FactColumns | None:
    """Return the facts of one customer at an instant, now or later, including queued records; None without records."""
    if prepare_relation_for(Sql("%s", (customer.pk,)), at) == "facts":
        return Facts.objects.filter(customer=customer).first()
    return FactsAsOf.objects.filter(customer=customer).first()


def facts_as_dict(row: FactColumns) -> dict[str, Any]:
    """Return the facts of a row by name: counts, datetimes, and decimals for amounts, quantities, shares and days."""
    values: dict[str, Any] = {"first_seen_at": row.first_seen_at}
    for fact in definitions.declared_facts():
        value = getattr(row, fact.name)
        is_scaled = value is not None and fact.kind in ("amount", "quantity", "share", "days")
        values[fact.name] = decimals.from_units(value) if is_scaled else value
    return values


def prepare_relation(
    at: datetime, stored_at: datetime | None = None, *, only: Collection[str] | None = None
) -> Literal["facts", "facts_as_of"]:
    """Return the name of the customer relation with the facts of an instant, and fill it if needed.

    With ``only``, other facts than these are wrong for customers whose facts are recomputed.

    ``stored_at`` is the instant of the stored rows, if the caller has read it already. The stored rows are used
    unless one of them contains a record newer than ``at``, or lacks one that is not. Otherwise a temporary table gets
    the rows that fit, and the others are computed from the records.
    """
    stored_at = stored_at or facts_updated_until()
    until = dialect.datetime_param(at)
    # Also of an instant in the past: the rows of a part may have been updated before the others.
    due = compose(f"SELECT customer_id FROM {UPCOMING_TABLE} WHERE due_at <= {{until}}", until=until)
    is_past = stored_at is not None and at < stored_at
    newer = compose("newest_at > {until}" if is_past else "1 = 0", until=until)
    others = compose(
        f"SELECT customer_id FROM {FACTS_TABLE} WHERE {{newer}} UNION {{due}}", newer=newer, due=due
    )
    if not execution.fetch_all(others + Sql(" LIMIT 1")):
        return "facts"
    create_selection_table()
    execution.execute(Sql("INSERT INTO facts_selected (customer_id) ") + others)
    # Not those outside of the selection: PostgreSQL reads a large set anew for each row.
    _copy_facts(
        compose(
            "({newer}) IS NOT TRUE AND customer_id NOT IN ({due}) AND first_seen_at <= {until}",
            newer=newer,
            due=due,
            until=until,
        )
    )
    _fill_as_of(SELECTED, at, only)
    return "facts_as_of"


def prepare_relation_for(customers: Query, at: datetime) -> Literal["facts", "facts_as_of"]:
    """Return the name of the relation with the facts of some customers at an instant, and fill it if needed.

    No stored row is written: for customers in a queue, and for those with a
    record between the instant of the stored row and ``at``, the temporary table gets what an update would store.
    """
    customers = compile_query(customers)
    if not _waiting(customers, at):
        return "facts"
    with transactions.snapshot():
        waiting: dict[int, int] = dict(_waiting(customers, at))
        if not waiting:
            return "facts"
        appended = [key for key, is_recomputed in waiting.items() if not is_recomputed]
        if appended:
            waiting |= {key: 1 for (key,) in execution.fetch_all(unmergeable_sql(_keys(appended), at))}
        recomputed = [key for key, is_recomputed in waiting.items() if is_recomputed]
        merged = [key for key in appended if not waiting[key]]
        others = compose(
            "customer_id IN ({customers}) AND customer_id NOT IN ({waiting})",
            customers=customers,
            waiting=_keys(waiting),
        )
        _copy_facts(others)
        if merged:
            one = merged[0] if len(merged) == 1 else None
            execution.execute(_INTO_AS_OF + queries.merge_sql(_keys(merged), with_orders=True, customer=one))
        if recomputed:
            _fill_as_of(_keys(recomputed), at)
    return "facts_as_of"


def _keys(customers: Iterable[int]) -> Sql:
    return Sql(", ".join(str(key) for key in customers))


def _waiting(customers: Sql, at: datetime) -> list[execution.Row]:
    """Return the customers whose stored row does not hold at an instant, with 1 for those to recompute."""
    among = compose("customer_id IN ({customers})", customers=customers)
    rows = execution.fetch_all(waiting_sql(among, dialect.datetime_param(at)))
    return [(customer, recompute) for customer, _, recompute in rows]


def waiting_sql(among: Sql, at: Any) -> Sql:
    """Return a query of those of some customers whose stored row does not hold at an instant, a parameter.

    It selects the customer's key, -1, and 1 for those to recompute.
    """
    return compose(
        f"""SELECT customer_id, -1, max(recompute) FROM (
                SELECT customer_id, 1 AS recompute FROM {STALE_TABLE} WHERE {{among}}
                UNION ALL SELECT customer_id, 0 FROM {APPENDED_EVENTS_TABLE} WHERE {{among}}
                UNION ALL SELECT customer_id, 0 FROM {APPENDED_ORDERS_TABLE} WHERE {{among}}
                UNION ALL SELECT customer_id, 1 FROM {UPCOMING_TABLE} WHERE {{among}} AND due_at <= {{at}}
                UNION ALL SELECT customer_id, 1 FROM {FACTS_TABLE} WHERE {{among}} AND newest_at > {{at}}
            ) AS waiting GROUP BY customer_id""",
        among=among,
        at=at,
    )


def prepare_recomputed_relation(at: datetime, customers: Sql = ALL_CUSTOMERS) -> Literal["facts_as_of"]:
    """Compute the facts of customers from the records, for verification to compare with."""
    _copy_facts(Sql("1 = 0"))
    _fill_as_of(customers, at)
    return "facts_as_of"


def prepare_past_relation(at: datetime) -> None:
    """Let the temporary table have the facts of all customers at an instant in the past."""
    if prepare_relation(at) == "facts":
        _copy_facts(compose("first_seen_at <= {until}", until=dialect.datetime_param(at)))


def _fill_as_of(customers: Sql, at: datetime, only: Collection[str] | None = None) -> None:
    if only is None:
        recomputed = queries.recompute_sql(customers, at, only_existing=True)
    else:
        # When somebody was first seen is stored, and the same at each instant.
        first_seen = compose(
            f"SELECT customer_id, first_seen_at AS at FROM {FACTS_TABLE} WHERE customer_id IN ({{customers}})",
            customers=customers,
        )
        recomputed = queries.recompute_sql(customers, at, only_existing=True, dated_ahead=first_seen)
        # PostgreSQL computes only what is selected.
        columns = ", ".join(
            fact.name
            if fact.name in only
            else f"{'first_seen_at' if fact.kind == 'moment' else '0'} AS {fact.name}"
            for fact in definitions.declared_facts()
        )
        recomputed = compose(
            f"SELECT id, first_seen_at, {columns} FROM ({{recomputed}}) AS recomputed", recomputed=recomputed
        )
    execution.execute(_INTO_AS_OF + recomputed)


def _copy_facts(condition: Sql) -> None:
    """Let the table of facts as of another instant have the stored rows that meet a condition."""
    temporary_tables.copy_rows(AS_OF_TABLE, FACTS_TABLE, condition.text, condition.params)
    schema = "" if backends.is_postgresql() else "temp."
    execution.execute(
        f"CREATE UNIQUE INDEX IF NOT EXISTS {schema}facts_as_of_customer ON {AS_OF_TABLE} (customer_id)"
    )
