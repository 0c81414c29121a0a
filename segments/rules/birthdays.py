"""Ranges of birthdays. A birthday is stored as month × 100 + day."""

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import F, IntegerField, Q
from django.db.models.expressions import RawSQL

from core.db import dialect
from core.db.sql import Query, compose
from core.values.sortable_values import start_of_day
from customers.models import Customer

from .context import EvaluationContext
from .late_params import ColumnInstant
from .lookups import Range

DAY = timedelta(days=1)
ALL_DAYS, NO_DAYS = (101, 1231), (1, 0, 1, 0)


def birthday_q(ends: Callable[[int], Any]) -> Q:
    """Build the query of birthdays in one of two ranges of days; ``ends`` returns their four ends."""
    birthday = F("birthday")
    return Range(ends(0), ends(1)).q(birthday) | Range(ends(2), ends(3)).q(birthday)


def birthday_ranges(first: date, last: date) -> tuple[int, int, int, int]:
    """Return the days from ``first`` to ``last`` as two ranges; the second is for days after the end of the year."""
    if (last - first).days >= 365:
        return (*ALL_DAYS, *NO_DAYS[:2])
    start, end = first.month * 100 + first.day, last.month * 100 + last.day
    if end == 228 and (last + DAY).month == 3:
        end = 229  # in this year birthdays on the 29th are on the 28th
    return (start, end, *NO_DAYS[:2]) if start <= end else (start, 1231, 101, end)


def column_birthday_ranges(
    at: ColumnInstant, zone: ZoneInfo, within_next: timedelta
) -> Callable[[int], RawSQL]:
    """Return the ends of ``birthday_ranges`` as expressions of the instant in a column.

    ``within_next`` is less than 365 days.
    """
    first = dialect.local_date_sql(at.sql, zone.key)
    last, after = (dialect.date_plus_days_sql(first, within_next.days + more) for more in (0, 1))
    start, end, day_after = map(dialect.month_and_day_sql, (first, last, after))
    end = f"CASE WHEN {end} = 228 AND {day_after} = 301 THEN 229 ELSE {end} END"
    wraps = f"{start} > {end}"
    ends = (
        start,
        f"CASE WHEN {wraps} THEN 1231 ELSE {end} END",
        f"CASE WHEN {wraps} THEN 101 ELSE {NO_DAYS[0]} END",
        f"CASE WHEN {wraps} THEN {end} ELSE {NO_DAYS[1]} END",
    )
    return lambda place: RawSQL(ends[place], (), output_field=IntegerField())


def birthday_borders(within_next: timedelta, context: EvaluationContext, within: timedelta) -> list[Query]:
    """Select the midnights at which a birthday may enter or leave the next days, as ``Rule.borders`` does."""

    def days(context: EvaluationContext) -> str:
        """Return the midnights, each with two ranges of birthdays, as JSON."""
        found: list[list[Any]] = []
        day = context.at.astimezone(context.zone).date() + DAY
        while (midnight := start_of_day(day, context.zone)) <= context.at + within:
            border = dialect.datetime_param(midnight - context.span_ahead)
            found += [
                [border, *birthday_ranges(passed - DAY - DAY, passed + DAY)]
                for passed in {day, day + within_next}
            ]
            day += DAY
        return json.dumps(found)

    customers = context.limited(Customer.objects.existing().filter(birthday__isnull=False), "pk")
    border, *ends = (dialect.json_array_item_sql("item", place) for place in range(5))
    low, high, second_low, second_high = (f"CAST({end} AS integer)" for end in ends)
    given = context.late_param(days)
    return [
        compose(
            f"""SELECT c.id AS key, CAST({border} AS {dialect.datetime_type_sql()}) AS border
                FROM ({{customers}}) AS c, {dialect.json_array_items_sql("%s").replace("%s", "{days}")}
                WHERE c.birthday BETWEEN {low} AND {high} OR c.birthday BETWEEN {second_low} AND {second_high}""",
            customers=customers.order_by().values("id", "birthday"),
            days=given if context.is_placeholder else given.filled({}),
        )
    ]
