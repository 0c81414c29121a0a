"""Counting the customers that a rule matches while staff edit it.

A count has two seconds, or some minutes in a worker. It uses the stored facts and does not update queued ones, so it
never waits for a queue. A worker leaves its result in the cache. Nothing is written to the database.
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
from customers.facts.totals import read_totals
from customers.models import Customer
from segments.models import Refresh
from segments.rules import EvaluationContext, PopulationStatistics, Rule, parse
from segments.rules.groups import conditions_by_path

from .context import context_at, context_from_records, shop_zone
from .expansion import expand_rules
from .matching import customers_matching, existing_customers

COUNT_SECONDS = 2.0
"""The time limit of a count in a request."""
WORKER_COUNT_SECONDS = 300.0
MIN_STATEMENT_SECONDS = 0.05
"""The least time limit of a statement, even if the time is over."""
RESULT_SECONDS = 600
"""How long a result of a worker can be fetched."""
SAMPLE_SIZE = 10
SUPERSEDED_CHECK_INTERVAL = timedelta(seconds=0.5)
"""How often a worker checks whether the person has requested another count."""
SUPERSEDED = (
    "You have started another count since, and only one runs at a time. Change the rule to count again."
)
TASK = "segments.tasks.count_rule"


class WorkerUnavailable(Exception):
    """Redis does not answer, so no worker can be reached."""


@dataclass(frozen=True)
class RuleCount:
    """How many of all customers match at an instant, and how many of these are known and subscribed."""

    at: datetime
    everybody: int
    matching: int
    known: int
    subscribed: int


@dataclass(frozen=True)
class CountDetails:
    """How many customers match each condition, by its path in the rule, and the keys of some who match the rule."""

    conditions: dict[str, int]
    sample: list[int]


def count_matching(rule: Rule, seconds: float = COUNT_SECONDS) -> RuleCount:
    """Count the customers that a rule matches. Raises StatementTimeout after ``seconds``."""
    context = stored_context()
    with time_limits.time_limit(seconds):
        return _count_matching(rule, context)


def count_conditions(rule: Rule, seconds: float = COUNT_SECONDS) -> CountDetails:
    """Count the customers that each condition matches, and find some that the rule matches. Raises StatementTimeout."""
    context = stored_context()
    with time_limits.time_limit(seconds):
        return _count_conditions(rule, context)


def preview_rule(rule: Rule, seconds: float, at: datetime | None = None) -> tuple[RuleCount, CountDetails]:
    """Count the rule and its conditions, now or at another instant. Raises StatementTimeout.

    At another instant, facts are recomputed from the records.
    """
    until = time.monotonic() + seconds

    def within() -> AbstractContextManager[None]:
        return time_limits.time_limit(max(until - time.monotonic(), MIN_STATEMENT_SECONDS))

    if at is None:
        context = stored_context()
    else:
        with within():
            context = context_from_records(at, PopulationStatistics(), asks_rules=True)
    with within():
        counted = _count_matching(rule, context)
    with within():
        return counted, _count_conditions(rule, context)


def _count_matching(rule: Rule, context: EvaluationContext) -> RuleCount:
    counts = customers_matching(rule, context).aggregate(
        matching=Count("pk"),
        known=Count("pk", filter=Customer.objects.known_q()),
        subscribed=Count("pk", filter=Q(newsletter=Customer.Newsletter.SUBSCRIBED)),
    )
    return RuleCount(at=context.at, everybody=_count_customers(context), **counts)


def _count_conditions(rule: Rule, context: EvaluationContext) -> CountDetails:
    given = dict(conditions_by_path(rule))
    expanded = expand_rules(given.values(), asks_rules=context.asks_rules)
    conditions = dict(zip(given, expanded, strict=True))
    aggregates = {
        f"c{place}": Count("pk", filter=condition.q(context))
        for place, condition in enumerate(conditions.values())
    }
    counts = existing_customers(context).aggregate(**aggregates)
    sample = customers_matching(rule, context).values_list("pk", flat=True)[:SAMPLE_SIZE]
    return CountDetails(dict(zip(conditions, counts.values(), strict=True)), list(sample))


def stored_context() -> EvaluationContext:
    """Return the context of the stored facts with the statistics of the latest refresh."""
    updated_until = update.facts_updated_until()
    if updated_until is None:
        return context_at()
    now = max(datetime.now(UTC), updated_until)
    statistics = Refresh.objects.exclude(statistics={}).values_list("statistics", flat=True).first()
    at = updated_until if update.has_records_due(now) else now
    return EvaluationContext(at, shop_zone(), "facts", PopulationStatistics(statistics or {}))


def _count_customers(context: EvaluationContext) -> int:
    totals = read_totals() if context.facts == "facts" else None
    return existing_customers(context).count() if totals is None else totals.customers


# -- In a worker


def enqueue_count(rule: Any, person: str) -> str:
    """Queue a count of a rule, given as JSON; return the ticket for ``fetch_count``. Raises WorkerUnavailable.

    Counts have their own queue and worker, so other tasks do not wait for them. Each person has one count at a time: a
    new one replaces one that waits or runs.
    """
    ticket = secrets.token_urlsafe(16)
    try:
        cache.set(_result_key(ticket), {"rule": json.dumps(rule), "person": person}, RESULT_SECONDS)
        cache.set(_latest_key(person), ticket, RESULT_SECONDS)
        # By name, since the module of tasks imports this one. A count expires when its result could not be fetched.
        current_app.send_task(TASK, [ticket], queue=settings.COUNTS_QUEUE, expires=RESULT_SECONDS)
    except (redis.RedisError, OperationalError) as error:
        raise WorkerUnavailable from error
    return ticket


def run_count(ticket: str) -> None:
    """Run a queued count, unless the person has requested another one."""
    entry = cache.get(_result_key(ticket))
    if entry is None or "rule" not in entry:
        return
    rule, end = parse(json.loads(entry["rule"])), time_limits.statement_canceller()

    def is_superseded() -> bool:
        return bool(cache.get(_latest_key(entry["person"])) != ticket)

    try:
        if is_superseded():
            raise time_limits.StatementTimeout
        with leases.run_periodically(lambda: end() if is_superseded() else None, SUPERSEDED_CHECK_INTERVAL):
            matching = count_matching(rule, WORKER_COUNT_SECONDS)
            details = count_conditions(rule, WORKER_COUNT_SECONDS)
    except time_limits.StatementTimeout:
        done: dict[str, Any] = {
            "error": SUPERSEDED
            if is_superseded()
            else f"Counting took longer than {WORKER_COUNT_SECONDS / 60:.0f} minutes."
        }
    else:
        counted = asdict(matching) | {"at": matching.at.isoformat()}  # the cache holds JSON
        done = {"counted": counted, "details": asdict(details)}
    cache.set(_result_key(ticket), done, RESULT_SECONDS)


def fetch_count(ticket: str) -> tuple[RuleCount, CountDetails] | None:
    """Return the result of a queued count, or None while it waits or runs.

    Raises LookupError, with a message for staff, if it has failed or expired.
    """
    entry = cache.get(_result_key(ticket))
    if entry is None:
        raise LookupError("This count has expired. Change the rule to count again.")
    if "error" in entry:
        raise LookupError(entry["error"])
    if "counted" not in entry:
        return None
    counted = entry["counted"] | {"at": datetime.fromisoformat(entry["counted"]["at"])}
    return RuleCount(**counted), CountDetails(**entry["details"])


def _result_key(ticket: str) -> str:
    return f"count:{ticket}"


def _latest_key(person: str) -> str:
    return f"count:latest:{person}"
