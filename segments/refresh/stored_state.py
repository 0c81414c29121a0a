"""What a refresh starts from: the segments with their last refreshes, the totals, and whether anything waits.

One statement reads it all, and only the columns that a refresh needs, because a pass over few records costs little more
than its fixed statements.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

from django.db import DEFAULT_DB_ALIAS, models

from core.db import dialect, execution
from customers.facts.totals import TOTALS_COLUMNS, TOTALS_SQL, Totals, totals_from_row
from customers.models import Touched, Upcoming
from segments.evaluation.expansion import ExpandedRule, SegmentRules
from segments.models import Refresh, Segment
from segments.rules import RuleError

SEGMENT_COLUMNS: Final = (
    *("id", "slug", "name", "kind", "rule", "is_active", "version", "size", "known_size", "refreshed_at"),
    *(
        "refreshed_version",
        "refresh_id",
        "is_incremental",
        "asked_digest",
        "last_error",
        "failing_since",
        "failures",
        "retry_at",
    ),
)
REFRESH_COLUMNS: Final = ("id", "at", "statistics", "statistics_from", "buyers_version", "time_zone")
_RULE: Final = SEGMENT_COLUMNS.index("rule")

Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True)
class StoredState:
    """``segments`` are those with a rule, in the order of their keys. ``rules`` are their expanded rules, or why one is
    invalid.

    ``next_due_at`` is the instant of the next record dated ahead, and ``has_touched`` says whether touched customers
    wait in their queue.
    """

    totals: Totals | None
    segments: Sequence[Segment]
    rules: Mapping[int, ExpandedRule | RuleError]
    next_due_at: datetime | None
    has_touched: bool

    def has_records_due(self, at: datetime) -> bool:
        """Return whether any record dated after the facts' instant is due by another instant."""
        return self.next_due_at is not None and self.next_due_at <= at


def read_state() -> StoredState:
    """Read all segments with a rule. Other columns of a segment or a refresh are read when they are needed."""
    rows = execution.fetch_all(_statement(), [Segment.Kind.DYNAMIC.value])
    next_due_at, has_touched = rows[0][:2]
    refreshes: dict[int, Refresh | None] = {}
    segments: list[Segment] = []
    texts: dict[int, str] = {}
    start = 2 + len(TOTALS_COLUMNS)
    middle = start + len(SEGMENT_COLUMNS)
    totals = totals_from_row(rows[0][2:start])
    for row in rows:
        segment = _instance(Segment, SEGMENT_COLUMNS, row[start:middle])
        if segment is None:
            continue
        key = segment.refresh_id
        if key is not None:
            if key not in refreshes:
                refreshes[key] = _instance(Refresh, REFRESH_COLUMNS, row[middle:])
            segment.refresh = refreshes[key]
        segments.append(segment)
        texts[segment.pk] = row[start + _RULE] or "null"
    next_due = dialect.datetime_from_row(next_due_at) if next_due_at else None
    segment_rules = SegmentRules(segments)
    rules = {key: _expand(segment_rules, text) for key, text in texts.items()}
    return StoredState(totals, segments, rules, next_due, bool(has_touched))


def _expand(rules: SegmentRules, text: str) -> ExpandedRule | RuleError:
    try:
        return rules.expand(text)
    except RuleError as error:
        return error


@lru_cache
def _statement() -> str:
    columns = ", ".join(
        f"{alias}.{column}"
        for alias, names in (("t", TOTALS_COLUMNS), ("s", SEGMENT_COLUMNS), ("r", REFRESH_COLUMNS))
        for column in names
    )
    return f"""SELECT (SELECT min(due_at) FROM {Upcoming._meta.db_table}),
            EXISTS (SELECT 1 FROM {Touched._meta.db_table} LIMIT 1), {columns}
        FROM ({TOTALS_SQL}) AS t LEFT JOIN {Segment._meta.db_table} s ON s.kind = %s
        LEFT JOIN {Refresh._meta.db_table} r ON r.id = s.refresh_id
        ORDER BY s.id"""


def _instance(model: type[Row], columns: Sequence[str], values: Sequence[Any]) -> Row | None:
    """Return an instance from a row of raw SQL, or None if its key is NULL."""
    if values[0] is None:
        return None
    converted = (
        value if value is None or convert is None else convert(value)
        for value, convert in zip(values, _converters(model, tuple(columns)), strict=True)
    )
    return model.from_db(DEFAULT_DB_ALIAS, columns, list(converted))


@lru_cache
def _converters(
    model: type[models.Model], columns: tuple[str, ...]
) -> tuple[Callable[[Any], Any] | None, ...]:
    conversions: dict[type[Any], Callable[[Any], Any]] = {
        models.DateTimeField: dialect.datetime_from_row,
        models.BooleanField: bool,
        models.JSONField: json.loads,
    }
    fields = {field.attname: field for field in model._meta.concrete_fields}
    return tuple(conversions.get(type(fields[column])) for column in columns)
