"""Who will enter and leave segments by time alone: the first change of each customer, if nothing more is recorded."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from core.db import dialect, execution, temporary_tables
from core.db.sql import Sql, compose
from customers.models import Customer
from segments.rules import EvaluationContext, Rule
from segments.rules.values import MAX_AHEAD

from .borders import BITS, answers_at_borders
from .expansion import expand_for_later

MAX_WITHIN: Final = timedelta(days=90)
"""How far ahead the changes of all customers are looked for."""

MAX_CHANGE: Final = MAX_AHEAD
"""How far ahead those of a few customers are looked for."""

_ANSWERS: Final = "border_answers"
_CHANGES: Final = "upcoming_changes"


@dataclass(frozen=True, order=True)
class UpcomingChange:
    """A customer who will enter or leave. Changes are sorted by instant, equal ones by public id."""

    at: datetime
    customer_id: str
    key: int
    change: Literal["entered", "left"]


def find_upcoming(rule: Rule, context: EvaluationContext, within: timedelta) -> list[UpcomingChange]:
    """Return the first change of each customer in ``(at, at + within]`` against the answer at ``at``, sorted."""
    fill_upcoming([rule], context, within)
    return read_upcoming(0)


def find_leaving_times(
    rule: Rule, customers: Sequence[int], context: EvaluationContext
) -> dict[int, datetime]:
    """Return when those of some customers who match cease to by time alone, by key, if within ``MAX_CHANGE``."""
    [expanded] = expand_for_later([rule], asks_rules=context.asks_rules)
    context = replace(context, among=tuple(customers))
    found = answers_at_borders([(expanded, timedelta())], context, MAX_CHANGE)
    if not found.has_borders:
        return {}
    answers: dict[int, list[tuple[datetime, bool]]] = defaultdict(list)
    for key, border, _, bits in execution.fetch_all(found.sql):
        answers[key].append((dialect.datetime_from_row(border), bool(bits)))
    leaving: dict[int, datetime] = {}
    for key, its_answers in answers.items():
        (_, matches), *later = sorted(its_answers)
        times = (at for at, still_matches in later if not still_matches)
        if matches and (first := next(times, None)):
            leaving[key] = first
    return leaving


def moves_by_time(rule: Rule, context: EvaluationContext) -> bool:
    """Return whether time alone can change any answer of a rule. Nothing is read."""
    return bool(rule.references() or rule.borders(context, MAX_CHANGE))


def fill_upcoming(rules: Sequence[Rule], context: EvaluationContext, within: timedelta) -> None:
    """Find the first change of each customer for each of several rules. ``read_upcoming`` returns them."""
    moment = dialect.datetime_type_sql()
    temporary_tables.create_temporary_table(
        _CHANGES, f"place bigint, customer_id bigint, at {moment}, enters bigint"
    )
    expanded = expand_for_later(rules, asks_rules=context.asks_rules)
    for first in range(0, len(expanded), BITS):
        temporary_tables.create_temporary_table(
            _ANSWERS, f"customer_id bigint, border {moment}, concerned bigint, bits bigint"
        )
        asked = [(rule, timedelta()) for rule in expanded[first : first + BITS]]
        found = answers_at_borders(asked, context, within)
        if not found.has_borders:
            continue
        execution.execute(Sql(f"INSERT INTO {_ANSWERS} (customer_id, border, concerned, bits) ") + found.sql)
        for place, sources in enumerate(found.sources):
            _add_first_changes(first + place, 1 << place, sources, context.at)


def _add_first_changes(place: int, bit: int, sources: int, at: datetime) -> None:
    execution.execute(
        compose(
            f"""INSERT INTO {_CHANGES} (place, customer_id, at, enters)
                SELECT {place}, later.customer_id, min(later.border),
                    CASE WHEN max(started.bits & {bit}) = 0 THEN 1 ELSE 0 END
                FROM {_ANSWERS} later JOIN {_ANSWERS} started ON started.customer_id = later.customer_id
                WHERE started.border = {{at}} AND later.border > {{at}} AND (later.concerned & {sources}) <> 0
                    AND (later.bits & {bit}) <> (started.bits & {bit})
                GROUP BY later.customer_id""",
            at=dialect.datetime_param(at),
        )
    )


def read_upcoming(place: int) -> list[UpcomingChange]:
    """Return the changes of the rule at a place, sorted."""
    rows = execution.fetch_all(f"SELECT customer_id, at, enters FROM {_CHANGES} WHERE place = %s", [place])
    keys = [row[0] for row in rows]
    public_ids: dict[int, str] = {}
    for first in range(0, len(keys), 10_000):
        named = dialect.is_one_of("id", keys[first : first + 10_000])
        public_ids |= dict(
            execution.fetch_all(Sql(f"SELECT id, customer_id FROM {Customer._meta.db_table} WHERE ") + named)
        )
    return sorted(
        UpcomingChange(dialect.datetime_from_row(at), public_ids[key], key, "entered" if enters else "left")
        for key, at, enters in rows
    )
