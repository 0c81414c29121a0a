"""Histories that a worker computes and stores. The only writer of ``HistoryRun``, ``HistorySeries`` and ``HistoryDay``.

One run is computed at a time, in the order of the requests. If the worker dies, another one evaluates everybody at the
last stored day and goes on from there: the result is the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import IntegrityError, OperationalError, transaction
from django.db.models import F

from core.db import leases
from customers.facts import update
from segments import wakeups
from segments.evaluation.context import shop_zone
from segments.evaluation.expansion import ExpandedRule, expand_for_past
from segments.models import HistoryDay, HistoryRun, HistorySeries, Segment
from segments.rules import RuleError

from .engine import DAY, DayCount, history_days
from .segment_history import MAX_DAYS, rule_of

log = structlog.get_logger(__name__)

State = HistoryRun.State

MAX_ATTEMPTS: Final = 5
"""How often a worker may die without a new day before the run has failed."""
WORKER_STOPPED: Final = (
    f"The worker stopped {MAX_ATTEMPTS} times during this computation. Its log has the reason."
)
EDITED: Final = (
    "The time zone of the shop, or a segment that the rule refers to, was edited meanwhile. Compute again."
)


class _RunEnded(Exception):
    """Another worker has taken over the run, or it was cancelled."""


@dataclass(frozen=True)
class LabelledRule:
    """A rule, as JSON, and the label of its line; "" for the rule of the segment."""

    label: str
    rule: Any


def request_history(
    segment: Segment,
    first: date,
    last: date,
    at: datetime,
    trial: Sequence[LabelledRule] = (),
    *,
    extend: bool = False,
) -> HistoryRun:
    """Let a worker compute the history of a segment, or of its rule with other numbers. Raises RuleError.

    An open run of the same kind is replaced unless it computes these days of the same rules. With ``extend``, the days
    of an open or stored history of the same rules are computed, too, so that no request takes away what another one
    asked for. The last day must have ended.
    """
    labelled = trial or [LabelledRule("", rule_of(segment))]
    digests = [one.digest for one in expand_for_past([one.rule for one in labelled])]
    zone = shop_zone().key
    wanted = zone, digests
    with transaction.atomic():
        Segment.objects.select_for_update(of=("self",)).get(pk=segment.pk)  # one request at a time
        open_or_stored = HistoryRun.objects.filter(
            segment=segment, is_trial=bool(trial), state__in=(State.WAITING, State.RUNNING, State.DONE)
        )
        for run in open_or_stored.prefetch_related("series"):
            is_same = (run.time_zone, [one.rule_digest for one in run.series.all()]) == wanted
            if (
                is_same
                and run.is_open
                and not run.is_stopping
                and run.first_day <= first
                and last <= run.last_day
            ):
                return run
            if is_same and extend:
                first, last = _extended(first, last, run)
            if run.is_open:
                cancel_run(run, at)
        run = HistoryRun.objects.create(
            segment=segment,
            is_trial=bool(trial),
            first_day=first,
            last_day=last,
            time_zone=zone,
            requested_at=at,
        )
        HistorySeries.objects.bulk_create(
            HistorySeries(run=run, position=place, label=one.label, rule=one.rule, rule_digest=digest)
            for place, (one, digest) in enumerate(zip(labelled, digests, strict=True))
        )
        transaction.on_commit(wakeups.HISTORY.request, robust=True)
    return run


def _extended(first: date, last: date, run: HistoryRun) -> tuple[date, date]:
    """Return the first and the last day with those of a run, or as they are if these are too many days."""
    earliest, latest = min(first, run.first_day), max(last, run.last_day)
    return (earliest, latest) if (latest - earliest).days < MAX_DAYS else (first, last)


def cancel_run(run: HistoryRun, at: datetime) -> None:
    """Cancel a run, at once or after the current day."""
    mine = HistoryRun.objects.filter(pk=run.pk)
    if not mine.filter(state=State.WAITING).update(state=State.CANCELLED, finished_at=at):
        mine.filter(state=State.RUNNING).update(is_stopping=True)


# -- The worker


def run_next() -> bool:
    """Compute the next run that waits, if any. Return whether others wait."""
    run = _claim_next(datetime.now(UTC))
    if run is not None:
        mine = HistoryRun.objects.filter(pk=run.pk, state=State.RUNNING, attempts=run.attempts)
        with leases.extend_periodically(mine, _lease_duration()):
            ended = _execute(run)
        if mine.update(finished_at=datetime.now(UTC), **ended) and ended["state"] == State.DONE:
            _delete_former(run)
    return HistoryRun.objects.filter(state=State.WAITING).exists()


def _claim_next(at: datetime) -> HistoryRun | None:
    """Claim the run that waits longest, unless another one is computed."""
    running = HistoryRun.objects.filter(state=State.RUNNING)
    if leases.end_abandoned(running, at, _lease_duration(), lambda run: _state_after_abandonment(run, at)):
        return None
    run = HistoryRun.objects.filter(state=State.WAITING).order_by("requested_at", "pk").first()
    if run is None:
        return None
    waiting = HistoryRun.objects.filter(pk=run.pk, state=State.WAITING)
    try:
        with transaction.atomic():
            is_claimed = leases.claim(
                waiting, state=State.RUNNING, attempts=F("attempts") + 1, started_at=at, heartbeat_at=at
            )
    except IntegrityError:
        return None  # another worker got there first
    return HistoryRun.objects.get(pk=run.pk) if is_claimed else None


def _lease_duration() -> timedelta:
    return timedelta(seconds=settings.HISTORY_LEASE)


def _state_after_abandonment(run: HistoryRun, at: datetime) -> dict[str, Any]:
    """Return the new state of a run whose worker died: waiting, unless it was cancelled or failed too often."""
    if run.is_stopping:
        return {"state": State.CANCELLED, "finished_at": at}
    if run.attempts - run.attempts_at_day >= MAX_ATTEMPTS:
        return {"state": State.FAILED, "finished_at": at, "error": WORKER_STOPPED}
    return {"state": State.WAITING}


def _execute(run: HistoryRun) -> dict[str, Any]:
    """Compute and store the days that are missing. Return the changes to the row at the end."""
    series = list(run.series.all())
    mine = HistoryRun.objects.filter(pk=run.pk, state=State.RUNNING, attempts=run.attempts, is_stopping=False)
    try:
        rules = expand_for_past([one.rule for one in series])
        if run.time_zone != shop_zone().key or any(
            rule.digest != one.rule_digest for rule, one in zip(rules, series, strict=True)
        ):
            return {"state": State.FAILED, "error": EDITED}
        update.update_facts(datetime.now(UTC))
        _store_days(run, series, rules, mine.update)
    except _RunEnded:
        return {"state": State.CANCELLED}
    except RuleError as error:
        return {"state": State.FAILED, "error": str(error)}
    except OperationalError:
        raise  # a deadlock or a lost connection: when the lease has ended, another attempt goes on
    except Exception as error:  # staff must see that it failed, and can start it again
        log.exception("history_failed", history_run=run.pk)
        return {"state": State.FAILED, "error": f"{type(error).__name__}: {error}"}
    return {"state": State.DONE}


def _store_days(
    run: HistoryRun,
    series: Sequence[HistorySeries],
    rules: Sequence[ExpandedRule],
    update_run: Callable[..., int],
) -> None:
    first = run.reached_day + DAY if run.reached_day else run.first_day
    if first > run.last_day:
        return
    for day, counts in history_days(rules, first, run.last_day, shop_zone()):
        with transaction.atomic():
            if not update_run(reached_day=day, attempts_at_day=F("attempts")):
                raise _RunEnded
            HistoryDay.objects.bulk_create(
                _stored_day(one, day, count) for one, count in zip(series, counts, strict=True)
            )


def _stored_day(series: HistorySeries, day: date, count: DayCount) -> HistoryDay:
    return HistoryDay(series=series, day=day, size=count.size, entered=count.entered, left=count.left)


def _delete_former(run: HistoryRun) -> None:
    """Delete what this run replaces."""
    former = HistoryRun.objects.filter(segment=run.segment_id, is_trial=run.is_trial, pk__lt=run.pk)
    former.exclude(state__in=(State.WAITING, State.RUNNING)).delete()


# -- What is stored


def stored_history(segment: Segment) -> HistoryRun | None:
    """Return the latest run that has computed the present rule of a segment; None if there is none."""
    runs = HistoryRun.objects.filter(
        segment=segment, is_trial=False, state=State.DONE, time_zone=shop_zone().key
    )
    try:
        [present] = expand_for_past([rule_of(segment)])
    except RuleError:
        return None
    return runs.filter(series__rule_digest=present.digest).first()


def stored_days(segment: Segment, first: date, last: date) -> list[tuple[date, DayCount]] | None:
    """Return the stored days of the present rule, or None if some are missing."""
    run = stored_history(segment)
    if run is None or first < run.first_day or run.last_day < last:
        return None
    days = HistoryDay.objects.filter(series__run=run, day__range=(first, last))
    return [(one.day, DayCount(one.size, one.entered, one.left)) for one in days.order_by("day")]


def latest_run(segment: Segment, *, is_trial: bool) -> HistoryRun | None:
    """Return the run that was requested last."""
    return HistoryRun.objects.filter(segment=segment, is_trial=is_trial).first()
