"""The history of segments: what their present rules match at the end of each day of the past."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from customers.facts import update
from segments.evaluation.context import shop_zone
from segments.evaluation.expansion import ExpandedRule, SegmentRules
from segments.models import Segment

from .engine import DAY, DayCount, history_days

EARLIEST: Final = date(1970, 1, 1)


def last_day(now: datetime) -> date:
    """Return yesterday in the shop's time zone: the latest day that has ended."""
    return now.astimezone(shop_zone()).date() - DAY


def past_rules(rules: Sequence[Any]) -> list[ExpandedRule]:
    """Return rules, given as JSON, as they are asked in the past. Raises RuleError."""
    asked = SegmentRules.read(with_paused=True)
    return [asked.expand(json.dumps(rule), asks_rules=True) for rule in rules]


def rule_of(segment: Segment) -> Any:
    """Return the rule of a segment. That of a fixed list asks for its stored members."""
    return segment.rule if segment.is_dynamic else {"in_segment": {"is": segment.slug}}


def compute_days(
    segments: Sequence[Segment], first: date, last: date
) -> Iterator[tuple[date, list[DayCount]]]:
    """Yield the days of segments, with the counts of each. Every record counts. Raises RuleError."""
    rules = past_rules([rule_of(segment) for segment in segments])
    update.update_facts(datetime.now(UTC))
    yield from history_days(rules, first, last, shop_zone())
