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

COUNT_SECONDS = 2.0
"""Seconds that somebody waits for a count."""
WORKER_COUNT_SECONDS = 300.0
MIN_STATEMENT_SECONDS = 0.05
"""Seconds that a statement is given in any case."""
RESULT_SECONDS = 600
"""Seconds that what a worker has counted can be fetched."""
SAMPLE_SIZE = 10
SUPERSEDED_CHECK_INTERVAL = timedelta(seconds=0.5)
"""Seconds until a count ends whose person has asked for another one."""
SUPERSEDED = (
    "Another count was asked for meanwhile, and only one runs at a time; change the rule to count again."
)
TASK = "segments.tasks.count_rule"


class WorkerUnavailable(Exception):
    """The worker cannot be reached."""


@dataclass(frozen=True)
class RuleCount:
    """How many customers match, at an instant, out of how many; of them known and subscribed."""

    at: datetime
    everybody: int
    matching: int
    known: int
    subscribed: int


@dataclass(frozen=True)
class CountDetails:
    """How many match each condition alone, by its path in the rule, and the keys of some who match the rule."""

    conditions: dict[str, int]
    sample: list[int]


def count_matching(rule: Rule, seconds: float = COUNT_SECONDS) -> RuleCount:
    """Count whom a rule matches; raises StatementTimeout."""
    context = _stored_context()
    with time_limits.time_limit(seconds):
        return _count_matching(rule, context)


def count_conditions(rule: Rule, seconds: float = COUNT_SECONDS) -> CountDetails:
    """Count whom each condition matches alone, and find some of those the rule matches; raises StatementTimeout."""
    context = _stored_context()
    with time_limits.time_limit(seconds):
        return _count_conditions(rule, context)


def preview_rule(rule: Rule, seconds: float, at: datetime | None = None) -> tuple[RuleCount, CountDetails]:
    """Count both, as of now, or as of another instant from the records alone; raises StatementTimeout."""
    until = time.monotonic() + seconds

    def within() -> AbstractContextManager[None]:
        return time_limits.time_limit(max(until - time.monotonic(), MIN_STATEMENT_SECONDS))

    if at is None:
        context = _stored_context()
    else:
        with within():
            context = context_from_records(at, PopulationStatistics())
    with within():
        counted = _count_matching(rule, context)
    with within():
        return counted, _count_conditions(rule, context)


def _count_matching(rule: Rule, context: EvaluationContext) -> RuleCount:
    found = customers_matching(rule, context).aggregate(
        matching=Count("pk"),
        known=Count("pk", filter=Customer.objects.known_q()),
        subscribed=Count("pk", filter=Q(newsletter=Customer.Newsletter.SUBSCRIBED)),
    )
    return RuleCount(at=context.at, everybody=_count_customers(context), **found)


def _count_conditions(rule: Rule, context: EvaluationContext) -> CountDetails:
    conditions = dict(conditions_by_path(rule))
    asked = {f"c{place}": Count("pk", filter=one.q(context)) for place, one in enumerate(conditions.values())}
    counts = existing_customers(context).aggregate(**asked)
    sample = customers_matching(rule, context).values_list("pk", flat=True)[:SAMPLE_SIZE]
    return CountDetails(dict(zip(conditions, counts.values(), strict=True)), list(sample))


def _stored_context() -> EvaluationContext:
    """Return the context of the stored facts, with the statistics of the latest refresh."""
    settled = update.facts_updated_until()
    if settled is None:
        return context_at()
    now = current_instant(datetime.now(UTC))
    statistics = Refresh.objects.exclude(statistics={}).values_list("statistics", flat=True).first()
    at = settled if update.has_records_due(now) else now
    return EvaluationContext(at, shop_zone(), "facts", PopulationStatistics(statistics or {}))


def _count_customers(context: EvaluationContext) -> int:
    kept = Totals.objects.values_list("customers", flat=True).first() if context.facts == "facts" else None
    return existing_customers(context).count() if kept is None else kept


# -- By a worker


def enqueue_count(rule: Any, person: str) -> str:
    """Let a worker count a rule, given as JSON; give the ticket to fetch the count by.

    Counts have a queue and a worker of their own, so that nothing else waits for them, and each person has one at a
    time: a later one takes the place of one that waits or runs. Raises NobodyToCount.
    """
    ticket = secrets.token_urlsafe(16)
    try:
        cache.set(_result_key(ticket), {"rule": json.dumps(rule), "person": person}, RESULT_SECONDS)
        cache.set(_latest_key(person), ticket, RESULT_SECONDS)
        # By name: tasks know of counting, not the other way round. What nobody can fetch any more is not counted.
        current_app.send_task(TASK, [ticket], queue=settings.COUNTS_QUEUE, expires=RESULT_SECONDS)
    except (redis.RedisError, OperationalError) as error:
        raise WorkerUnavailable from error
    return ticket


def run_count(ticket: str) -> None:
    """Count what was handed over, unless the person asks for another count."""
    order = cache.get(_result_key(ticket))
    if order is None or "rule" not in order:
        return
    rule, end = parse(json.loads(order["rule"])), time_limits.statement_canceller()

    def is_superseded() -> bool:
        return bool(cache.get(_latest_key(order["person"])) != ticket)

    try:
        if is_superseded():
            raise time_limits.StatementTimeout
        with leases.run_periodically(lambda: end() if is_superseded() else None, SUPERSEDED_CHECK_INTERVAL):
            counted, detailed = (
                count_matching(rule, WORKER_COUNT_SECONDS),
                count_conditions(rule, WORKER_COUNT_SECONDS),
            )
    except time_limits.StatementTimeout:
        done: dict[str, Any] = {
            "error": SUPERSEDED
            if is_superseded()
            else f"Counting took longer than {WORKER_COUNT_SECONDS / 60:.0f} minutes."
        }
    else:
        told = asdict(counted) | {"at": counted.at.isoformat()}  # the cache holds JSON
        done = {"counted": told, "details": asdict(detailed)}
    cache.set(_result_key(ticket), done, RESULT_SECONDS)


def fetch_count(ticket: str) -> tuple[RuleCount, CountDetails] | None:
    """Give what a worker has counted, None while it has not; raises LookupError where nobody is counting that."""
    order = cache.get(_result_key(ticket))
    if order is None:
        raise LookupError("That count is over; change the rule to count again.")
    if "error" in order:
        raise LookupError(order["error"])
    if "counted" not in order:
        return None
    told = order["counted"] | {"at": datetime.fromisoformat(order["counted"]["at"])}
    return RuleCount(**told), CountDetails(**order["details"])


def _result_key(ticket: str) -> str:
    return f"count:{ticket}"


def _latest_key(person: str) -> str:
    return f"count:latest:{person}"
