"""A refresh: plan, find candidates, evaluate, write. ``docs/refresh.md`` describes these steps."""

import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, transaction
from django.db.models import Max

from core.backoff import Backoff
from core.db import backends
from core.db.sql import Sql
from core.wakeup import notify_on_commit
from customers.facts import touched_customers, update
from customers.signals import records_changed
from segments import references
from segments.evaluation.compiler import CompiledRules, compile_rules
from segments.models import Change, Refresh, Segment
from segments.rules import EvaluationContext, PopulationStatistics, RuleError, Statistic

from . import candidates, differences, lease, write
from .plan import PlannedSegment, plan_refresh
from .write import Outcome, WrittenSegment

BACKOFF = Backoff.exponential(timedelta(minutes=1), factor=2, longest=timedelta(days=1))
_ERRORS = (DatabaseError, RuleError, ArithmeticError, ValueError)


def refresh_all(
    at: datetime | None = None, *, full: bool = False, wait: bool = True
) -> tuple[Refresh, list[Outcome]]:
    """Refresh all active segments; see ``refresh_segments``. ``full`` evaluates all customers, with the same result.

    A failing segment waits for its next retry, unless ``at`` or ``full`` is given.
    """
    return refresh_segments(None, at, full=full, wait=wait)


def refresh_pending(seconds: float) -> bool:
    """Refresh until nothing is pending, or the seconds are over; return whether nothing is pending.

    Raise lease.RefreshRunning if another refresh is running.
    """
    until = time.monotonic() + seconds
    while is_pending():
        if time.monotonic() > until:
            return False
        refresh_all(wait=False)
    return True


def is_pending() -> bool:
    """Return whether something was recorded, or came due, that no refresh has evaluated yet."""
    return update.is_refresh_due(datetime.now(UTC))


def refresh_segments(
    segments: Iterable[Segment] | None,
    at: datetime | None = None,
    *,
    full: bool = False,
    wait: bool = True,
    queued: int | None = None,
) -> tuple[Refresh, list[Outcome]]:
    """Bring the members of dynamic segments in line with their rules at an instant, by default now.

    The clock is read once this refresh holds the lease. If the clock was set back, the instant is that of the
    segments' last refresh. A refresh is one transaction. A segment that fails keeps its members, shows its error and
    does not stop the others. Segments are evaluated after those they refer to.

    ``queued`` is the key of a requested refresh. Raise lease.AlreadyStarted if that one has started already,
    lease.RefreshRunning if another refresh is running and ``wait`` is false, and plan.TooEarly if ``at`` is before a
    segment's last refresh.
    """
    keys = None if segments is None else [segment.pk for segment in segments]
    with lease.acquire(wait=wait, queued=queued) as run:
        outcomes = _update_facts_and_refresh(run, keys, at, full=full, may_repeat=True)
    if is_pending():
        # Refreshes that were woken meanwhile found the lease taken and ended. Now it is free again.
        notify_on_commit(records_changed)
    return run, outcomes


def _update_facts_and_refresh(
    run: Refresh, keys: Sequence[int] | None, at: datetime | None, *, full: bool, may_repeat: bool
) -> list[Outcome]:
    update.update_facts(at, not_before=None if at else _latest_refreshed_at(keys))
    with transaction.atomic():
        write.lock_members()
        refresh_pass = RefreshPass(run, keys, at, full=full)
        # A segment that was saved after the facts were updated must count what was recorded before it.
        if not (may_repeat and at is None and refresh_pass.fills and update.is_update_due(datetime.now(UTC))):
            return refresh_pass.execute()
    return _update_facts_and_refresh(run, keys, at, full=full, may_repeat=False)


def _latest_refreshed_at(keys: Sequence[int] | None) -> datetime | None:
    segments = Segment.objects.active() if keys is None else Segment.objects.filter(pk__in=keys)
    latest: datetime | None = segments.aggregate(latest=Max("refreshed_at"))["latest"]
    return latest


class RefreshPass:
    """One refresh, inside its transaction. It holds the lease and the lock of members."""

    def __init__(self, run: Refresh, keys: Sequence[int] | None, at: datetime | None, *, full: bool) -> None:
        self.run = run
        self.plan = plan_refresh(keys, at, full=full)
        self.outcomes = [Outcome(segment, error=error) for segment, error in self.plan.invalid]
        self.changed_segments: set[int] = set()

    @property
    def fills(self) -> bool:
        """Whether it evaluates a segment that is new or was edited."""
        return any(one.segment.refresh is None or one.is_edited for one in self.plan.planned)

    def execute(self) -> list[Outcome]:
        """Run the steps; return the outcome of each segment."""
        found = candidates.find_candidates(self.plan)
        self.candidate_count, self.run.touched = found.count, found.touched
        plan = self.plan.for_candidates(found.count)
        if found.count > differences.FEW_CUSTOMERS and not any(planned.is_full for planned in plan.planned):
            backends.expect_rows_in_memory()
        for batch in plan.batches():
            self.outcomes += self._refresh_batch(batch)
        self._finish()
        return self.outcomes

    def _refresh_batch(self, batch: Sequence[PlannedSegment]) -> list[Outcome]:
        """Evaluate and write segments together. If that fails, do it one by one, so that only one segment fails."""
        if not batch:
            return []
        if not (batch[0].is_full or self.candidate_count):
            return write.unchanged_outcomes(planned.segment for planned in batch)
        try:
            with transaction.atomic():
                return self._evaluate_and_write(batch)
        except _ERRORS as error:
            if len(batch) == 1:
                return [Outcome(batch[0].segment, error=str(error).strip())]
            return [outcome for planned in batch for outcome in self._refresh_batch([planned])]

    def _evaluate_and_write(self, batch: Sequence[PlannedSegment]) -> list[Outcome]:
        segments = [planned.segment for planned in batch]
        is_full, context = batch[0].is_full, self.plan.context
        compiled = compile_rules([planned.expanded for planned in batch])
        table = "" if is_full else candidates.CANDIDATES
        if not differences.evaluate(segments, compiled, context, table, self.candidate_count):
            return write.unchanged_outcomes(segments)
        edited = _edited_meanwhile(segments)
        if edited:  # their next refresh evaluates the new rule
            return self._refresh_batch([planned for planned in batch if planned.segment.pk not in edited])
        written = [
            self._with_causes(planned, needed)
            for planned, needed in zip(batch, compiled.statistics, strict=True)
        ]
        former = self._former_answers(compiled) if any(one.statistics_changed for one in written) else None
        outcomes = write.write_differences(
            self.run, self.plan.at, written, former, facts_may_be_newer=context.facts != "facts"
        )
        self.changed_segments |= {
            outcome.segment.pk for outcome in outcomes if outcome.entered or outcome.left
        }
        self._add_changed_customers(segments, is_full=is_full)
        return outcomes

    def _former_answers(self, compiled: CompiledRules) -> Sql:
        """Return the query of what the former statistics would answer for the customers in ``differences``."""
        context, previous = self.plan.context, self.plan.previous
        former = PopulationStatistics(context.statistics | (previous.statistics if previous else {}))
        former_context = EvaluationContext(context.at, context.zone, context.facts, former)
        return compiled.table_answers_sql("differences", former_context)

    def _with_causes(self, planned: PlannedSegment, statistics: Sequence[Statistic]) -> WrittenSegment:
        segment, cause = planned.segment, ""
        if segment.refresh is None:
            cause = Change.Cause.INITIAL.value
        elif planned.is_edited:
            cause = Change.Cause.DEFINITION.value
        former = segment.refresh.statistics if segment.refresh else {}
        referred = planned.expanded.rule.references()
        return WrittenSegment(
            segment,
            cause,
            since=_activity_since(segment),
            referred=frozenset(
                segment.pk
                for segment in self.plan.selected
                if segment.slug in referred and segment.pk in self.changed_segments
            ),
            statistics_changed=any(
                former.get(statistic.name) != self.plan.context.statistics.get(statistic.name)
                for statistic in statistics
            ),
        )

    def _add_changed_customers(self, segments: Sequence[Segment], *, is_full: bool) -> None:
        """Make customers who entered or left candidates for the segments that refer to these."""
        if is_full:  # otherwise they are candidates already
            self.candidate_count += candidates.add_candidates(differences.CHANGED_CUSTOMERS_SQL)
        if not self.plan.empties_queue and any(
            references.referring_segments(segment.slug) for segment in segments
        ):
            touched_customers.touch_customers(differences.CHANGED_CUSTOMERS_SQL, recorded=False)

    def _finish(self) -> None:
        plan, run = self.plan, self.run
        digests = {planned.segment.pk: planned.expanded.asked_digest for planned in plan.planned}
        write.write_outcomes(run, plan.at, self.outcomes, digests)
        failed = [outcome for outcome in self.outcomes if outcome.error]
        for outcome in failed:
            _schedule_retry(outcome, plan.at)
        evaluated = {outcome.segment.pk for outcome in self.outcomes}
        behind = [segment.pk for segment in (*plan.others, *plan.selected) if segment.pk not in evaluated]
        if (
            plan.empties_queue and behind
        ):  # the queue is empty now, and these segments have not evaluated its customers
            Segment.objects.filter(pk__in=behind).update(is_incremental=False)
        run.at, run.evaluated, run.time_zone = plan.at, self.candidate_count, plan.context.zone.key
        source = plan.statistics_source
        run.statistics, run.statistics_from = dict(plan.context.statistics), source.computed_at
        run.buyers_version = source.buyers_version
        run.state = Refresh.State.FAILED if failed else Refresh.State.DONE
        run.error = "\n".join(f"{outcome.segment.slug}: {outcome.error}" for outcome in failed)
        run.finished_at = datetime.now(UTC)
        lease.store_end(run)


def _edited_meanwhile(segments: Sequence[Segment]) -> set[int]:
    """Return the keys of the segments whose rule was edited since the plan was made.

    An edit that commits after this is evaluated by the next refresh, like one that commits after this refresh.
    """
    stored = Segment.objects.filter(pk__in=[segment.pk for segment in segments]).order_by()
    versions = dict(stored.values_list("pk", "version"))
    return {segment.pk for segment in segments if versions.get(segment.pk) != segment.version}


def _activity_since(segment: Segment) -> datetime | None:
    """Return the instant after which records explain a change, also if the segment missed its touched customers."""
    if segment.refreshed_at is None or segment.is_incremental:
        return segment.refreshed_at
    return segment.refreshed_at - timedelta(microseconds=1)


def _schedule_retry(outcome: Outcome, at: datetime) -> None:
    segment = outcome.segment
    Segment.objects.filter(pk=segment.pk).update(
        last_error=outcome.error,
        failing_since=segment.failing_since or at,
        failures=segment.failures + 1,
        retry_at=at + BACKOFF.delay(segment.failures + 1),
        is_incremental=False,
    )
