"""How many a rule matches, for whoever is writing it: within seconds, or by a worker, which takes longer.

Nothing is settled or stored in the database: the stored facts are asked as they are, so that nobody waits for a
queue. What a worker counts is left in the cache until it is fetched.
"""

import json
import secrets
import time
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Q
from kombu.exceptions import OperationalError

from core.db import leases, time_limits
from customers.facts import update
from customers.models import Customer, Totals
from segments.models import Refresh
from segments.rules import EvaluationContext, PopulationStatistics, Rule, parse
from segments.rules.groups import conditions_by_path

from .context import context_at, context_from_records, current_instant, shop_zone
from .matching import customers_matching, existing_customers

PATIENCE = 2.0
"""Seconds that somebody waits for a count."""
PATIENCE_OF_A_WORKER = 300.0
SHORTEST = 0.05
"""Seconds that a statement is given in any case."""
KEPT_FOR = 600
"""Seconds that what a worker has counted can be fetched."""
SAMPLE = 10
LOOKED_EVERY = timedelta(seconds=0.5)
"""Seconds until a count ends whose person has asked for another one."""
SUPERSEDED = (
    "Another count was asked for meanwhile, and only one runs at a time; change the rule to count again."
)
TASK = "segments.tasks.count_rule"


class NobodyToCount(Exception):
    """The worker cannot be reached."""


@dataclass(frozen=True)
class Counted:
    """How many customers match, at an instant, out of how many; of them known and subscribed."""

    at: datetime
    everybody: int
    matching: int
    known: int
    subscribed: int


@dataclass(frozen=True)
class Details:
    """How many match each condition alone, by its path in the rule, and the keys of some who match the rule."""

    conditions: dict[str, int]
    sample: list[int]


def count(rule: Rule, seconds: float = PATIENCE) -> Counted:
    """Count whom a rule matches; raises TookTooLong."""
    context = _stored_context()
    with time_limits.within(seconds):
        return _counted(rule, context)


def details(rule: Rule, seconds: float = PATIENCE) -> Details:
    """Count whom each condition matches alone, and find some of those the rule matches; raises TookTooLong."""
    context = _stored_context()
    with time_limits.within(seconds):
        return _detailed(rule, context)


def preview(rule: Rule, seconds: float, at: datetime | None = None) -> tuple[Counted, Details]:
    """Count both, as of now, or as of another instant from the records alone; raises TookTooLong."""
    until = time.monotonic() + seconds

    def within() -> AbstractContextManager[None]:
        return time_limits.within(max(until - time.monotonic(), SHORTEST))

    if at is None:
        context = _stored_context()
    else:
        with within():
            context = context_from_records(at, PopulationStatistics())
    with within():
        counted = _counted(rule, context)
    with within():
        return counted, _detailed(rule, context)


def _counted(rule: Rule, context: EvaluationContext) -> Counted:
    found = customers_matching(rule, context).aggregate(
        matching=Count("pk"),
        known=Count("pk", filter=Customer.objects.known_q()),
        subscribed=Count("pk", filter=Q(newsletter=Customer.Newsletter.SUBSCRIBED)),
    )
    return Counted(at=context.at, everybody=_everybody(context), **found)


def _detailed(rule: Rule, context: EvaluationContext) -> Details:
    conditions = dict(conditions_by_path(rule))
    asked = {f"c{place}": Count("pk", filter=one.q(context)) for place, one in enumerate(conditions.values())}
    counts = existing_customers(context).aggregate(**asked)
    sample = customers_matching(rule, context).values_list("pk", flat=True)[:SAMPLE]
    return Details(dict(zip(conditions, counts.values(), strict=True)), list(sample))


def _stored_context() -> EvaluationContext:
    """Return the context of the stored facts, with the statistics of the latest refresh."""
    settled = update.settled_at()
    if settled is None:
        return context_at()
    now = current_instant(datetime.now(UTC))
    figures = Refresh.objects.exclude(figures={}).values_list("figures", flat=True).first()
    at = settled if update.comes_due(now) else now
    return EvaluationContext(at, shop_zone(), "facts", PopulationStatistics(figures or {}))


def _everybody(context: EvaluationContext) -> int:
    kept = Totals.objects.values_list("customers", flat=True).first() if context.facts == "facts" else None
    return existing_customers(context).count() if kept is None else kept


# -- By a worker


def hand_over(rule: Any, person: str) -> str:
    """Let a worker count a rule, given as JSON; give the ticket to fetch the count by.

    Counts have a queue and a worker of their own, so that nothing else waits for them, and each person has one at a
    time: a later one takes the place of one that waits or runs. Raises NobodyToCount.
    """
    ticket = secrets.token_urlsafe(16)
    try:
        cache.set(_key(ticket), {"rule": json.dumps(rule), "person": person}, KEPT_FOR)
        cache.set(_latest(person), ticket, KEPT_FOR)
        # By name: tasks know of counting, not the other way round. What nobody can fetch any more is not counted.
        current_app.send_task(TASK, [ticket], queue=settings.COUNTS_QUEUE, expires=KEPT_FOR)
    except (redis.RedisError, OperationalError) as error:
        raise NobodyToCount from error
    return ticket


def carry_out(ticket: str) -> None:
    """Count what was handed over, unless the person asks for another count."""
    order = cache.get(_key(ticket))
    if order is None or "rule" not in order:
        return
    rule, end = parse(json.loads(order["rule"])), time_limits.ending()

    def is_superseded() -> bool:
        return bool(cache.get(_latest(order["person"])) != ticket)

    try:
        if is_superseded():
            raise time_limits.TookTooLong
        with leases.repeated(lambda: end() if is_superseded() else None, LOOKED_EVERY):
            counted, detailed = count(rule, PATIENCE_OF_A_WORKER), details(rule, PATIENCE_OF_A_WORKER)
    except time_limits.TookTooLong:
        done: dict[str, Any] = {
            "error": SUPERSEDED
            if is_superseded()
            else f"Counting took longer than {PATIENCE_OF_A_WORKER / 60:.0f} minutes."
        }
    else:
        told = asdict(counted) | {"at": counted.at.isoformat()}  # the cache holds JSON
        done = {"counted": told, "details": asdict(detailed)}
    cache.set(_key(ticket), done, KEPT_FOR)


def fetch(ticket: str) -> tuple[Counted, Details] | None:
    """Give what a worker has counted, None while it has not; raises LookupError where nobody is counting that."""
    order = cache.get(_key(ticket))
    if order is None:
        raise LookupError("That count is over; change the rule to count again.")
    if "error" in order:
        raise LookupError(order["error"])
    if "counted" not in order:
        return None
    told = order["counted"] | {"at": datetime.fromisoformat(order["counted"]["at"])}
    return Counted(**told), Details(**order["details"])


def _key(ticket: str) -> str:
    return f"count:{ticket}"


def _latest(person: str) -> str:
    return f"count:latest:{person}"
