"""How many customers come back: cohorts by the month of the first order, or of entering a segment.

A customer is in the cohort of the month in which they did so first. A cell of the triangle counts those of a cohort
who placed a counting order in a later month, or who were members of the segment at its end. Months are those of the
shop's time zone. Temporary tables hold the cohorts and the months of the customers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

from core.db import dialect, execution, temporary_tables, time_limits
from core.db.sql import Sql, compose, union_all
from core.values.sortable_values import start_of_day
from customers.models import COUNTING_STATUSES, Facts, Order
from segments.evaluation.context import shop_zone
from segments.models import Segment
from segments.models.membership import Change

Measure = Literal["orders", "members"]

_ORDERS: Final = Order._meta.db_table
_FACTS: Final = Facts._meta.db_table
_CHANGES: Final = Change._meta.db_table
_COUNTING: Final = ", ".join(f"'{status}'" for status in COUNTING_STATUSES)
_COHORTS, _MONTHS = "retention_cohorts", "retention_months"
_NOT_ENTERED: Final = f"'{Change.Cause.INITIAL}', '{Change.Cause.MERGE}'"
"""Causes of entries that nobody made: the first filling of a segment, and the join of two profiles."""


@dataclass(frozen=True)
class Question:
    """What a triangle is about: the first order without a segment, or entering it; and what counts as coming back."""

    segment: Segment | None = None
    measure: Measure = "orders"


@dataclass(frozen=True)
class Cohort:
    """The customers of one month. ``returned`` counts them in this month and in each later one."""

    month: date
    size: int
    returned: tuple[int, ...]


def months_until(today: date, count: int) -> list[date]:
    """Return the first days of the last months, the oldest first, that of today last."""
    months = [today.replace(day=1)]
    while len(months) < count:
        months.append((months[-1] - timedelta(days=1)).replace(day=1))
    return months[::-1]


def read_cohorts(question: Question, months: Sequence[date], seconds: float) -> list[Cohort]:
    """Return the cohorts of these consecutive months. Raises StatementTimeout."""
    with time_limits.time_limit(seconds):
        _fill_tables(question, months)
        sizes: dict[int, int] = dict(
            execution.fetch_all(f"SELECT cohort, count(*) FROM {_COHORTS} GROUP BY cohort")
        )
        rows = execution.fetch_all(
            f"""SELECT c.cohort, m.month, count(*) FROM {_COHORTS} c
                JOIN {_MONTHS} m ON m.customer_id = c.customer_id AND m.month >= c.cohort
                GROUP BY c.cohort, m.month"""
        )
    counts = {(cohort, month): count for cohort, month, count in rows}
    return [
        Cohort(
            first,
            sizes.get(place, 0),
            tuple(counts.get((place, month), 0) for month in range(place, len(months))),
        )
        for place, first in enumerate(months)
    ]


def customers_of_cell(
    question: Question, months: Sequence[date], cohort: int, later: int | None, seconds: float
) -> list[int]:
    """Return the keys of the customers of a cohort, or of its cell so many months later. Raises StatementTimeout."""
    with time_limits.time_limit(seconds):
        _fill_tables(question, months)
        returned = (
            ""
            if later is None
            else f"AND customer_id IN (SELECT customer_id FROM {_MONTHS} WHERE month = {cohort + later:d})"
        )
        rows = execution.fetch_all(
            f"SELECT customer_id FROM {_COHORTS} WHERE cohort = {cohort:d} {returned} ORDER BY customer_id"
        )
    return [key for (key,) in rows]


def _fill_tables(question: Question, months: Sequence[date]) -> None:
    borders = [start_of_day(month, shop_zone()) for month in months]
    borders.append(start_of_day((months[-1] + timedelta(days=32)).replace(day=1), shop_zone()))
    temporary_tables.create_temporary_table(
        _COHORTS, "customer_id bigint PRIMARY KEY, cohort smallint NOT NULL"
    )
    temporary_tables.create_temporary_table(_MONTHS, "customer_id bigint NOT NULL, month smallint NOT NULL")
    segment = question.segment
    first = _first_orders_sql(borders) if segment is None else _first_entries_sql(segment, borders)
    execution.execute(Sql(f"INSERT INTO {_COHORTS} (customer_id, cohort) ") + first)
    is_of_members = segment is not None and question.measure == "members"
    returned = _members_sql(segment, borders) if segment and is_of_members else _orders_sql(borders)
    execution.execute(Sql(f"INSERT INTO {_MONTHS} (customer_id, month) ") + returned)


def _first_orders_sql(borders: Sequence[datetime]) -> Sql:
    return compose(
        f"""SELECT customer_id, {{month}} FROM {_FACTS}
            WHERE first_order_at >= {{since}} AND first_order_at < {{until}}""",
        month=_month_sql("first_order_at", borders),
        since=dialect.datetime_param(borders[0]),
        until=dialect.datetime_param(borders[-1]),
    )


def _first_entries_sql(segment: Segment, borders: Sequence[datetime]) -> Sql:
    return compose(
        f"""SELECT customer_id, {{month}} FROM (
                SELECT customer_id, min(at) AS entered_at FROM {_CHANGES}
                WHERE segment_id = {segment.pk:d} AND change = '{Change.Kind.ENTERED}'
                    AND cause NOT IN ({_NOT_ENTERED})
                GROUP BY customer_id
            ) AS entries WHERE entered_at >= {{since}} AND entered_at < {{until}}""",
        month=_month_sql("entered_at", borders),
        since=dialect.datetime_param(borders[0]),
        until=dialect.datetime_param(borders[-1]),
    )


def _orders_sql(borders: Sequence[datetime]) -> Sql:
    return compose(
        f"""SELECT DISTINCT customer_id, month FROM (
                SELECT customer_id, {{month}} AS month FROM {_ORDERS}
                WHERE placed_at >= {{since}} AND placed_at < {{until}} AND placed_at <= {{now}}
                    AND status IN ({_COUNTING})
            ) AS placed""",
        month=_month_sql("placed_at", borders),
        since=dialect.datetime_param(borders[0]),
        until=dialect.datetime_param(borders[-1]),
        now=dialect.datetime_param(datetime.now(UTC)),
    )


def _members_sql(segment: Segment, borders: Sequence[datetime]) -> Sql:
    """Return who was a member at the end of each month, or is one now for the present month."""
    ending = dialect.datetime_cast_sql("%s")
    ends = union_all(
        [
            Sql(f"SELECT {place} AS month, {ending} AS ends", (dialect.datetime_param(end),))
            for place, end in enumerate(borders[1:])
        ]
    )
    return compose(
        f"""SELECT DISTINCT customer_id, month FROM (
                SELECT customer_id, change, at,
                    lead(at) OVER (PARTITION BY customer_id ORDER BY id) AS following_at
                FROM {_CHANGES} WHERE segment_id = {segment.pk:d}
            ) AS spans JOIN ({{ends}}) AS months
                ON spans.at < months.ends AND (following_at IS NULL OR following_at >= months.ends)
            WHERE change = '{Change.Kind.ENTERED}'""",
        ends=ends,
    )


def _month_sql(column: str, borders: Sequence[datetime]) -> Sql:
    """Return the place of the month in which a moment between the first and the last border lies."""
    cases = Sql("")
    for place, end in enumerate(borders[1:-1]):
        cases += compose(f"WHEN {column} < {{end}} THEN {place} ", end=dialect.datetime_param(end))
    return Sql("CASE ") + cases + Sql(f"ELSE {len(borders) - 2} END") if len(borders) > 2 else Sql("0")
