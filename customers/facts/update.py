"""The only writer of the facts: it empties the queues that ingestion fills, and notes who was touched.

Stored rows stand for one instant, which never goes back: they sum up the records up to it. A record dated later
is noted as upcoming, and comes into the facts when that instant passes it. Records appended in their order are
merged into the stored row; whatever else happened, the customer is summed up again.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Final, Literal

from core.db import backends, dialect, execution, temporary_tables, time_limits, transactions
from core.db.sql import Query, Sql, compile_query, compose
from core.values import decimals
from customers.models import (
    AppendedEvent,
    AppendedOrder,
    Customer,
    FactColumns,
    Facts,
    FactsAsOf,
    StaleFacts,
    Totals,
    Touched,
    Upcoming,
)

from . import definitions

SETTLED_AT_ONCE: Final = 20_000  # customers a transaction
SETTLED_AT_LEAST: Final = 300  # where statements take too long
NO_LIMIT: Final = 2**62  # removes no row, but keeps SQLite from evaluating the query again at each mention

FACTS_TABLE, AS_OF_TABLE, UPCOMING_TABLE = (
    Facts._meta.db_table,
    FactsAsOf._meta.db_table,
    Upcoming._meta.db_table,
)
STALE_TABLE, TOUCHED_TABLE, TOTALS_TABLE = (
    StaleFacts._meta.db_table,
    Touched._meta.db_table,
    Totals._meta.db_table,
)
APPENDED_EVENTS_TABLE, APPENDED_ORDERS_TABLE = AppendedEvent._meta.db_table, AppendedOrder._meta.db_table
QUEUE_TABLES = (STALE_TABLE, APPENDED_EVENTS_TABLE, APPENDED_ORDERS_TABLE)
SELECTED = "SELECT customer_id FROM facts_selected"
RECOMPUTED, MERGED = f"{SELECTED} WHERE recompute = 1", f"{SELECTED} WHERE recompute = 0"
EVERYBODY = "SELECT id FROM customers_customer"


def update_facts(
    now: datetime | None = None,
    progress: Callable[[int], None] = lambda _: None,
    *,
    not_before: datetime | None = None,
) -> int:
    """Bring the facts of every queued customer in line with the records; give how many customers that were.

    The rows then stand for ``now``, by default the clock's, or for the instant they stood for if that is later; with
    a clock that stepped back, at least for ``not_before``. A transaction takes a share of the queue; what a crash
    leaves in it, the next call settles.
    """

    def settle_at_most(customers: int) -> int:
        with alone():
            # Read again: what committed while we waited is not taken for a record dated ahead.
            return _update_some(_advance(_instant(now, not_before)), customers)

    settled, portion = 0, time_limits.AdaptiveBatch(SETTLED_AT_ONCE, SETTLED_AT_LEAST)
    while is_due(_instant(now, not_before)):
        settled += portion.run(settle_at_most)
        progress(settled)
    return settled


def _instant(now: datetime | None, not_before: datetime | None) -> datetime:
    now = now or datetime.now(UTC)
    return max(now, not_before) if not_before else now


def is_due(now: datetime) -> bool:
    """Tell whether anybody waits in a queue, or has a record that comes due."""
    queues = " OR ".join(f"EXISTS (SELECT 1 FROM {queue})" for queue in QUEUE_TABLES)
    [(due,)] = execution.fetch_all(
        f"SELECT {queues} OR EXISTS (SELECT 1 FROM {UPCOMING_TABLE} WHERE due_at <= %s)",
        [dialect.datetime_param(now)],
    )
    return bool(due)


def comes_due(until: datetime) -> bool:
    """Tell whether anybody has a record that lies ahead of the facts and comes due up to an instant."""
    return Upcoming.objects.filter(due_at__lte=until).exists()


def settled_at() -> datetime | None:
    """Give the instant the stored rows stand for; None before the first were written."""
    return Totals.objects.values_list("settled_at", flat=True).first()


def rebuild(now: datetime | None = None) -> int:
    """Sum every customer up from the records, whatever is stored; give how many customers there are.

    Members follow with a full refresh.
    """
    with alone():
        at = _advance(now or datetime.now(UTC))
        _select_queued(at, "")
        execution.execute("UPDATE facts_selected SET recompute = 1")
        touch_selected()
        _recompute(EVERYBODY, at)
        Totals.objects.update(customers=0, buyers=0, total_spent=0, average_order_value=0)
        _add_to_totals([0, 0, 0, 0], _sums(""), moved=True)
        _delete_queued()
        return Facts.objects.count()


def of(customer: Customer, at: datetime) -> FactColumns | None:
    """Give the facts of one customer at an instant, now or later, whatever waits; None where there is nothing yet."""
    if relation_of(Sql("SELECT %s", (customer.pk,)), at) == "facts":
        return Facts.objects.filter(customer=customer).first()
    return FactsAsOf.objects.filter(customer=customer).first()


def told(row: FactColumns) -> dict[str, Any]:
    """Give the facts of a row by name: counts, moments, and decimals for amounts, quantities, shares and days."""
    values: dict[str, Any] = {"first_seen_at": row.first_seen_at}
    for fact in definitions.declared():
        value = getattr(row, fact.name)
        is_scaled = value is not None and fact.kind in ("amount", "quantity", "share", "days")
        values[fact.name] = decimals.from_units(value) if is_scaled else value
    return values


def alone() -> AbstractContextManager[None]:
    """A transaction during which nobody else writes facts."""
    return transactions.locked_table(TOTALS_TABLE)


def forget(customers: Sequence[int]) -> None:
    """Delete the facts of customers, named by their keys, and all that is queued of them.

    Inside ``alone``; what their facts were is taken off the totals.
    """
    its = f"WHERE customer_id IN ({', '.join(map(str, customers))})"
    before = _sums(its)
    for table in (FACTS_TABLE, UPCOMING_TABLE, TOUCHED_TABLE, *QUEUE_TABLES):
        execution.execute(f"DELETE FROM {table} {its}")
    _add_to_totals(before, [0, 0, 0, 0], moved=before[1] > 0)


def _advance(now: datetime) -> datetime:
    """Give the instant to settle for, and remember it: the clock's unless it stepped back."""
    before = settled_at()
    if before is None:
        Totals.objects.create(pk=1, settled_at=now)
        return now
    at = max(now, before)
    Totals.objects.update(settled_at=at)
    return at


def _update_some(at: datetime, most: int) -> int:
    taken = _select_queued(at, f"LIMIT {most}")
    if taken:
        recompute, merged, has_orders = choose_merged(at)
        before = _sums(f"WHERE customer_id IN ({SELECTED})")
        if recompute:
            _recompute(RECOMPUTED, at)
        if merged:
            _store(definitions.merged(MERGED))
        after = _sums(f"WHERE customer_id IN ({SELECTED})")
        _add_to_totals(before, after, moved=has_orders or (bool(recompute) and before[1] + after[1] > 0))
        touch_selected()
        _delete_queued()
    return taken


def _select_queued(at: datetime, limit: str) -> int:
    """Fill ``facts_selected`` from the queues: who is recomputed, and about whom something was recorded."""
    create_selection_table()
    return execution.execute(
        f"""INSERT INTO facts_selected SELECT customer_id, max(recompute), max(recorded), max(merged) FROM (
                SELECT customer_id, 1 AS recompute, 1 AS recorded, CASE WHEN merged THEN 1 ELSE 0 END AS merged
                    FROM {STALE_TABLE}
                UNION ALL SELECT customer_id, 0, 1, 0 FROM {APPENDED_EVENTS_TABLE}
                UNION ALL SELECT customer_id, 0, 1, 0 FROM {APPENDED_ORDERS_TABLE}
                UNION ALL SELECT customer_id, 1, 0, 0 FROM {UPCOMING_TABLE} WHERE due_at <= %s
            ) AS queued GROUP BY customer_id ORDER BY customer_id {limit}""",
        [dialect.datetime_param(at)],
    )


def create_selection_table() -> None:
    columns = "customer_id bigint PRIMARY KEY, recompute integer, recorded integer, merged integer"
    temporary_tables.create_temporary_table("facts_selected", columns)


def choose_merged(at: datetime) -> tuple[int, int, bool]:
    """Select for recomputing the customers whose appended records are older than the stored ones, or lie ahead.

    Return how many are recomputed and how many merged, and whether orders are among what is merged.
    """
    execution.execute(
        f"""UPDATE facts_selected SET recompute = 1 WHERE recompute = 0 AND customer_id IN (
            SELECT c.id FROM customers_customer c LEFT JOIN {FACTS_TABLE} f ON f.customer_id = c.id
            LEFT JOIN (
                SELECT customer_id, min(occurred_at) AS first_at, max(occurred_at) AS last_at
                FROM {APPENDED_EVENTS_TABLE} WHERE customer_id IN ({MERGED}) GROUP BY customer_id
            ) AS e ON e.customer_id = c.id
            LEFT JOIN (
                SELECT customer_id, count(*) AS orders, max(placed_at) AS placed_at
                FROM {APPENDED_ORDERS_TABLE} WHERE customer_id IN ({MERGED}) GROUP BY customer_id
            ) AS o ON o.customer_id = c.id
            WHERE c.id IN ({MERGED}) AND (c.merged_into_id IS NOT NULL
                OR e.first_at < f.last_event_at OR e.last_at > %(at)s
                OR o.orders > 1 OR o.placed_at > %(at)s
                OR o.placed_at < f.any_order_at OR o.placed_at < f.last_event_at))""",
        {"at": dialect.datetime_param(at)},
    )
    [(recompute, merged, has_orders)] = execution.fetch_all(
        f"""SELECT count(*) FILTER (WHERE recompute = 1), count(*) FILTER (WHERE recompute = 0),
            EXISTS (SELECT 1 FROM {APPENDED_ORDERS_TABLE} WHERE customer_id IN ({MERGED})) FROM facts_selected"""
    )
    return recompute, merged, bool(has_orders)


def _recompute(among: str, at: datetime) -> None:
    """Sum up from the records, and note whose next record lies ahead."""
    bound = f"'{dialect.datetime_param(at)}'"
    _store(definitions.from_records(people_sql(among), among, bound))
    execution.execute(
        f"""DELETE FROM {FACTS_TABLE} WHERE customer_id IN ({among}) AND customer_id IN (
                SELECT id FROM customers_customer WHERE merged_into_id IS NOT NULL)"""
    )
    execution.execute(f"DELETE FROM {UPCOMING_TABLE} WHERE customer_id IN ({among})")
    theirs = "WHERE r.customer_id = f.customer_id"
    due = dialect.least_sql(
        f"(SELECT min(placed_at) FROM customers_order r {theirs} AND placed_at > {bound})",
        f"(SELECT min(occurred_at) FROM customers_event r {theirs} AND occurred_at > {bound})",
        f"CASE WHEN f.first_seen_at > {bound} THEN f.first_seen_at END",
    )
    execution.execute(
        f"""INSERT INTO {UPCOMING_TABLE} (customer_id, due_at) SELECT customer_id, due_at FROM (
                SELECT f.customer_id, {due} AS due_at FROM {FACTS_TABLE} f WHERE f.customer_id IN ({among})
            ) AS ahead WHERE due_at IS NOT NULL"""
    )


def people_sql(among: str, until: str = "") -> str:
    """Give a query of people with the instant they exist from: the earliest of the given one and the records."""
    first_seen = f"COALESCE({dialect.least_sql('first_seen', 'first_order', 'first_event')}, recorded_at)"
    return f"""
        SELECT id, {first_seen} AS first_seen_at FROM (
            SELECT c.id, c.first_seen, c.recorded_at,
                (SELECT min(placed_at) FROM customers_order r WHERE r.customer_id = c.id) AS first_order,
                (SELECT min(occurred_at) FROM customers_event r WHERE r.customer_id = c.id) AS first_event
            FROM customers_customer c WHERE c.id IN ({among}) AND c.merged_into_id IS NULL
            LIMIT {NO_LIMIT}
        ) AS met WHERE {f"{first_seen} <= {until}" if until else "true"}"""


def _store(select: Sql) -> None:
    names = definitions.columns()
    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name != "customer_id")
    execution.execute(
        compose(
            f"INSERT INTO {FACTS_TABLE} ({', '.join(names)}) {{select}}"
            f" ON CONFLICT (customer_id) DO UPDATE SET {updates}",
            select=select,
        )
    )


def _sums(which: str) -> list[int]:
    [row] = execution.fetch_all(
        f"""SELECT count(*), count(*) FILTER (WHERE order_count > 0),
                COALESCE(sum(total_spent) FILTER (WHERE order_count > 0), 0),
                COALESCE(sum(average_order_value) FILTER (WHERE order_count > 0), 0)
            FROM {FACTS_TABLE} {which}"""
    )
    return [int(value) for value in row]


def _add_to_totals(before: list[int], after: list[int], *, moved: bool) -> None:
    gained = [new - old for old, new in zip(before, after, strict=True)]
    execution.execute(
        f"""UPDATE {TOTALS_TABLE} SET customers = customers + %s, buyers = buyers + %s, total_spent = total_spent + %s,
            average_order_value = average_order_value + %s, buyers_version = buyers_version + %s""",
        [*gained, int(moved)],
    )


def touch_selected() -> None:
    execution.execute(
        f"""INSERT INTO {TOUCHED_TABLE} (customer_id, recorded, merged)
            SELECT customer_id, recorded = 1, merged = 1 FROM facts_selected"""
    )


def touch(customers: Query, *, recorded: bool) -> None:
    """Note that something changed for customers, selected by their keys, that their facts do not show.

    ``recorded`` tells whether it was recorded about them, or follows from something else.
    """
    execution.execute(
        compose(
            f"INSERT INTO {TOUCHED_TABLE} (customer_id, recorded)"
            " WITH who (customer_id) AS ({customers}) SELECT customer_id, {recorded} FROM who",
            customers=customers,
            recorded=recorded,
        )
    )


def take_touched(table: str) -> int:
    """Move the touched customers off their queue into a table; give how many.

    The table has ``customer_id`` and ``recorded``: 1 where something was recorded about the customer, 2 where
    another's history was merged with theirs.
    """
    return backends.move_rows(TOUCHED_TABLE, ("customer_id", "recorded", "merged"), _copied_to(table))


def read_touched(table: str) -> int:
    """Copy the touched customers into a table, leaving the queue to others; give how many."""
    return execution.execute(_copied_to(table).format(TOUCHED_TABLE))


def _copied_to(table: str) -> str:
    what = "max(CASE WHEN merged THEN 2 WHEN recorded THEN 1 ELSE 0 END)"
    return f"""INSERT INTO {table} (customer_id, recorded)
        SELECT customer_id, {what} FROM {{}} AS taken GROUP BY customer_id"""


def _delete_queued() -> None:
    # The same snapshot took them and summed them up: whoever is queued meanwhile stays in the queue.
    for queue in QUEUE_TABLES:
        execution.execute(f"DELETE FROM {queue} WHERE customer_id IN ({SELECTED})")


def relation_at(at: datetime, stands_for: datetime | None = None) -> Literal["facts", "facts_as_of"]:
    """Name the relation of a customer that holds the facts of an instant, having filled it where needed.

    ``stands_for`` is the instant of the stored rows, if the caller has read it already.
    The stored rows serve as they are unless one holds a record newer than ``at``, or lacks one not newer. Else a
    temporary table takes the rows that hold, and sums the others up from the records.
    """
    stands_for = stands_for or settled_at()
    until = dialect.datetime_param(at)
    others = (
        f"SELECT customer_id FROM {FACTS_TABLE} WHERE newest_at > %s"
        if stands_for is not None and at < stands_for
        else f"SELECT customer_id FROM {UPCOMING_TABLE} WHERE due_at <= %s"
    )
    if not execution.fetch_all(f"{others} LIMIT 1", [until]):
        return "facts"
    _make_as_of_table()
    create_selection_table()
    execution.execute(f"INSERT INTO facts_selected (customer_id) {others}", [until])
    names = ", ".join(definitions.columns())
    execution.execute(
        f"INSERT INTO {AS_OF_TABLE} ({names}) SELECT {names} FROM {FACTS_TABLE}"
        f" WHERE customer_id NOT IN ({SELECTED}) AND first_seen_at <= %s",
        [until],
    )
    _fill_as_of(SELECTED, at)
    return "facts_as_of"


def relation_of(among: Query, at: datetime) -> Literal["facts", "facts_as_of"]:
    """Name the relation that holds the facts of some customers at an instant, having filled it where needed.

    ``among`` selects their keys. No stored row is written: of whoever waits in a queue, or has a record between
    the stored row's instant and this one, the temporary table takes what settling would store.
    """
    among = compile_query(among)
    if not _waiting(among, at):
        return "facts"
    with transactions.snapshot():
        _make_as_of_table()
        temporary_tables.create_temporary_table(
            "facts_selected", "customer_id bigint PRIMARY KEY, recompute integer, recorded integer"
        )
        temporary_tables.load_rows("facts_selected", ("customer_id", "recompute"), _waiting(among, at))
        recompute, merged, _ = choose_merged(at)
        into = f"INSERT INTO {AS_OF_TABLE} ({', '.join(definitions.columns())})"
        execution.execute(
            compose(
                f"""{into} SELECT {", ".join(definitions.columns())} FROM {FACTS_TABLE}
                    WHERE customer_id IN ({{among}}) AND customer_id NOT IN ({SELECTED})""",
                among=among,
            )
        )
        if merged:
            execution.execute(Sql(f"{into} ") + definitions.merged(MERGED))
        if recompute:
            _fill_as_of(RECOMPUTED, at)
    return "facts_as_of"


def _waiting(among: Sql, at: datetime) -> list[execution.Row]:
    """Return the customers whose stored row does not hold at an instant, with 1 for those to recompute."""
    its = "customer_id IN ({among})"
    return execution.fetch_all(
        compose(
            f"""SELECT customer_id, max(recompute) FROM (
                    SELECT customer_id, 1 AS recompute FROM {STALE_TABLE} WHERE {its}
                    UNION ALL SELECT customer_id, 0 FROM {APPENDED_EVENTS_TABLE} WHERE {its}
                    UNION ALL SELECT customer_id, 0 FROM {APPENDED_ORDERS_TABLE} WHERE {its}
                    UNION ALL SELECT customer_id, 1 FROM {UPCOMING_TABLE} WHERE {its} AND due_at <= {{at}}
                    UNION ALL SELECT customer_id, 1 FROM {FACTS_TABLE} WHERE {its} AND newest_at > {{at}}
                ) AS waiting GROUP BY customer_id""",
            among=among,
            at=dialect.datetime_param(at),
        )
    )


def recompute_at(at: datetime) -> Literal["facts_as_of"]:
    """Compute everybody's facts from the records, whatever is stored: what verification compares with."""
    _make_as_of_table()
    _fill_as_of(EVERYBODY, at)
    return "facts_as_of"


def _fill_as_of(among: str, at: datetime) -> None:
    bound = f"'{dialect.datetime_param(at)}'"
    summed = definitions.from_records(people_sql(among, bound), among, bound)
    execution.execute(Sql(f"INSERT INTO {AS_OF_TABLE} ({', '.join(definitions.columns())}) ") + summed)


def _make_as_of_table() -> None:
    execution.execute(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {AS_OF_TABLE} AS SELECT * FROM {FACTS_TABLE} WHERE 1 = 0"
    )
    schema = "" if backends.is_postgresql() else "temp."
    execution.execute(
        f"CREATE UNIQUE INDEX IF NOT EXISTS {schema}facts_as_of_customer ON {AS_OF_TABLE} (customer_id)"
    )
    temporary_tables.empty_table(AS_OF_TABLE)
