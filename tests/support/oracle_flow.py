"""The independent evaluator of flows: who is in which stage at the ends of two days, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from .oracle import MICROSECOND, Past, evaluated
from .oracle_operators import Clock, Words
from .oracle_shop import Shop

Cells = dict[tuple[str, str], tuple[int, Fraction]]


def flow(stages: Mapping[str, Words], shop: Shop, since: date, until: date, zone: ZoneInfo) -> Cells:
    """Customers and revenue by the stages, in the order in which they are asked, at the ends of the two days."""
    start, end = end_of_day(since, zone), end_of_day(until, zone)
    before, after = (stage_of_each(stages, shop, at, zone) for at in (start, end))
    people: dict[tuple[str, str], int] = defaultdict(int)
    revenue: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for person in shop.people:
        if person.key in after:
            cell = before.get(person.key, "-"), after[person.key]
            people[cell] += 1
            revenue[cell] += sum(
                (order.value for order in person.orders if order.counts and start <= order.placed_at < end),
                Fraction(0),
            )
    return {cell: (count, revenue[cell]) for cell, count in people.items()}


def stage_of_each(stages: Mapping[str, Words], shop: Shop, end: datetime, zone: ZoneInfo) -> dict[str, str]:
    """The stage of each customer who exists right before an instant."""
    past = Past(shop, Clock(end - MICROSECOND, zone), asks_rules=True)
    staged: dict[str, str] = {}
    for slug, rule in stages.items():
        for key in evaluated(rule, past):
            staged.setdefault(key, slug)
    return {key: staged.get(key, "-") for key in past.customers}


def end_of_day(day: date, zone: ZoneInfo) -> datetime:
    following = day + timedelta(days=1)
    return datetime(following.year, following.month, following.day, tzinfo=zone).astimezone(UTC)
