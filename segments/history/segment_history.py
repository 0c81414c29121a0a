"""The history of segments: what their present rules match at the end of each day of the past."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from core.db import time_limits
from customers.facts import update
from segments.evaluation.context import shop_zone
from segments.evaluation.expansion import expand_for_past
from segments.models import Segment

from .engine import DAY, DayCount, history_days
from .without_past import names_without_past

EARLIEST: Final = date(1970, 1, 1)
MAX_DAYS: Final = 3 * 366
"""Three years: the longest history that is stored."""


def last_day(now: datetime) -> date:
    """Return yesterday in the shop's time zone: the latest day that has ended."""
    return now.astimezone(shop_zone()).date() - DAY


def rule_of(segment: Segment) -> Any:
    """Return the rule of a segment. That of a fixed list asks for its stored members."""
    return segment.rule if segment.is_dynamic else {"in_segment": {"is": segment.slug}}


def compute_days_within(
    segments: Sequence[Segment], first: date, last: date, seconds: float
) -> list[tuple[date, list[DayCount]]]:
    """Return the days of segments. Raises RuleError, and StatementTimeout after some seconds."""
    rules = expand_for_past([rule_of(segment) for segment in segments])
    update.update_facts_within(seconds, datetime.now(UTC))
    until = time.monotonic() + seconds
    computed = []
    with time_limits.time_limit(seconds):
        for counted in history_days(rules, first, last, shop_zone()):
            computed.append(counted)
            if time.monotonic() > until:
                raise time_limits.StatementTimeout
    return computed


def compute_days(
    segments: Sequence[Segment], first: date, last: date
) -> Iterator[tuple[date, list[DayCount]]]:
    """Yield the days of segments, with the counts of each. Every record counts. Raises RuleError."""
    rules = expand_for_past([rule_of(segment) for segment in segments])
    update.update_facts(datetime.now(UTC))
    yield from history_days(rules, first, last, shop_zone())


def without_past(segment: Segment) -> list[str]:
    """Return what counts in the history of a segment as it is today. Raises RuleError."""
    [present] = expand_for_past([rule_of(segment)])
    return names_without_past(present.rule, dict(Segment.objects.values_list("slug", "name")))
