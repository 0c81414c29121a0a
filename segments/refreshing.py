"""Bringing members in line with rules at one instant, at a cost that follows what happened since the last time.

A pass takes the touched customers off their queue, adds those for whom time or a moving figure can change an
answer, and asks the rules about these alone. ``docs/refresh.md`` shows it in a picture.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Max

from core.backoff import Backoff
from core.wakeup import notify_on_commit
from customers import engine, facts
from customers.models import Totals, Touched
from customers.signals import records_changed

from . import membership, questions, references, runs
from .evaluation.context import shop_zone
from .membership import Asked, Outcome
from .models import Change, Refresh, Segment
from .questions import Questions
from .rules import EvaluationContext, Figures, Needed, Rule, RuleError, parse

log = structlog.get_logger(__name__)

SHARE_FOR_EVERYBODY = 0.15  # of the customers: from there on one look at everybody costs less
BACKOFF = Backoff.exponential(timedelta(minutes=1), factor=2, longest=timedelta(days=1))
_ERRORS = (DatabaseError, RuleError, ArithmeticError, ValueError)


class TooEarly(ValueError):
    """A refresh asked for an instant before one the members already stand for."""


@dataclass(frozen=True)
class _Part:
    """A segment to be refreshed, with its parsed rule; ``is_whole`` where everybody is to be looked at."""

    segment: Segment
    rule: Rule
    is_whole: bool


def refresh_all(
    at: datetime | None = None, *, full: bool = False, wait: bool = True
) -> tuple[Refresh, list[Outcome]]:
    """Refresh all active segments: the pass. ``full`` looks at everybody, with the same result.

    See ``refresh``. A segment that failed before waits for its next try, unless ``at`` or ``full`` is given.
    """
    return refresh(None, at, full=full, wait=wait)


def catch_up(seconds: float) -> bool:
    """Refresh until nobody waits, or the time is over; tell whether nobody waits in the end.

    Raises runs.Busy where another refresh runs: this one gives way.
    """
    until = time.monotonic() + seconds
    while somebody_waits():
        if time.monotonic() > until:
            return False
        refresh_all(wait=False)
    return True


def somebody_waits() -> bool:
    """Tell whether anything was recorded, or came due, that no pass has taken yet."""
    return facts.is_due(datetime.now(UTC)) or Touched.objects.exists()


def refresh(
    segments: Iterable[Segment] | None,
    at: datetime | None = None,
    *,
    full: bool = False,
    wait: bool = True,
    queued: int | None = None,
) -> tuple[Refresh, list[Outcome]]:
    """Bring the members of dynamic segments in line with their rules at an instant, by default now.

    "Now" is read when it is this refresh's turn, and is never before the segments' last refresh: one that
    waited for another, or whose clock stepped back, is not too early. One transaction; a segment that fails
    keeps its members, shows its error and does not stop the others. Segments come after those they refer to.
    ``queued`` is the key of the refresh that was asked for, if one was; raises runs.Taken where that has begun before.
    Raises TooEarly where a given ``at`` is before a segment's last refresh, and runs.Busy where another refresh
    runs and this one shall not wait.
    """
    keys = None if segments is None else [segment.pk for segment in segments]
    with runs.alone(wait=wait, queued=queued) as run:
        facts.settle(at, not_before=None if at else _latest_refresh(keys))
        with transaction.atomic():
            membership.take_turn_to_write()
            outcomes = _Pass(run, keys, at, full=full).go()
    if somebody_waits():
        # Who came meanwhile has found the lease taken, and given way: now it is free again.
        notify_on_commit(records_changed)
    return run, outcomes


def _latest_refresh(keys: Sequence[int] | None) -> datetime | None:
    segments = Segment.objects.active() if keys is None else Segment.objects.filter(pk__in=keys)
    latest: datetime | None = segments.aggregate(latest=Max("refreshed_at"))["latest"]
    return latest


class _Pass:
    """One refresh, in its transaction and turn."""

    def __init__(self, run: Refresh, keys: Sequence[int] | None, at: datetime | None, *, full: bool) -> None:
        self.run, self.full = run, full
        self.totals = Totals.objects.first()
        dynamic = Segment.objects.filter(kind=Segment.Kind.DYNAMIC).select_related("refresh")
        every = list(dynamic.order_by("pk"))
        self.segments = [one for one in every if (one.is_active if keys is None else one.pk in keys)]
        self.at = at or self._now()
        for segment in self.segments:
            if segment.refreshed_at and self.at < segment.refreshed_at:
                raise TooEarly(
                    f"{segment.slug} was refreshed at {segment.refreshed_at.isoformat()};"
                    " give that instant or a later one"
                )
        if keys is None and at is None and not full:
            self.segments = [one for one in self.segments if not (one.retry_at and self.at < one.retry_at)]
        self.others = [one for one in every if one.is_caught_up and one not in self.segments]
        # The queue is taken by who looks for all: a segment alone leaves it to the pass that the others need.
        self.takes_queue = not any(one.is_active for one in self.others)
        self.outcomes: list[Outcome] = []
        self.moved: set[int] = set()

    def _now(self) -> datetime:
        """Give the clock's instant, or the latest that the facts or members stand for already."""
        settled = [self.totals.settled_at] if self.totals else []
        known = [*settled, *(one.refreshed_at for one in self.segments if one.refreshed_at)]
        now = max([datetime.now(UTC), *known])
        # What came due since the settling is left to the next pass: the facts hold for their own instant.
        return max(known) if known and facts.comes_due(now) else now

    def go(self) -> list[Outcome]:
        """Do it; give what became of each segment."""
        self.context = self._new_context()
        parts = self._parts()
        self._find_candidates([part for part in parts if not part.is_whole])
        if self.candidates > SHARE_FOR_EVERYBODY * (self.totals.customers if self.totals else 0):
            parts = [_Part(part.segment, part.rule, True) for part in parts]
        levels = references.levels(parts, lambda one: one.segment.slug, lambda one: one.rule.references())
        for level in levels:
            for is_whole in (True, False):
                alike = [part for part in level if part.is_whole == is_whole]
                for start in range(0, len(alike), questions.SEGMENTS_AT_ONCE):
                    self.outcomes += self._refresh_level(alike[start : start + questions.SEGMENTS_AT_ONCE])
        self._finish()
        return self.outcomes

    def _new_context(self) -> EvaluationContext:
        """Return the context of the instant, with the figures of the last refresh that still hold."""
        relation = facts.relation_at(self.at, self.totals.settled_at if self.totals else None)
        self.previous = max(
            (one.refresh for one in self.segments if one.refresh),
            key=lambda refresh: (refresh.at, refresh.pk),  # one that was queued is later than its key
            default=None,
        )
        self.version = self.totals.buyers_version if self.totals and relation == "facts" else -1
        return EvaluationContext(self.at, shop_zone(), relation, Figures())

    def _keep_figures(self, rules: Iterable[Rule]) -> None:
        """Take over the figures that cannot have moved, or are young enough for the setting."""
        self.run.figures_from = self.at
        if self.previous is None or self.context.facts != "facts":
            return
        known, since = self.previous.figures, self.previous.figures_from
        same = self.previous.buyers_version == self.version
        age = self.at - since if since else None
        is_young = age is not None and age < timedelta(seconds=settings.FIGURES_MAX_AGE)
        for rule in rules:
            for condition in rule.conditions():
                for needed in condition.needed():
                    if needed.name not in known:
                        continue
                    if same and not needed.moves:
                        self.context.figures[needed.name] = known[needed.name]
                    elif is_young and not needed.is_kept:
                        self.context.figures[needed.name] = known[needed.name]
                        self.run.figures_from, self.version = since, self.previous.buyers_version

    def _parts(self) -> list[_Part]:
        parts = []
        for segment in self.segments:
            try:
                rule = parse(segment.rule)
            except RuleError as error:
                self.outcomes.append(Outcome(segment, error=str(error)))
                continue
            parts.append(_Part(segment, rule, self.full or not self._follows(segment)))
        self._keep_figures(part.rule for part in parts)
        return parts

    def _follows(self, segment: Segment) -> bool:
        """Tell whether a segment's members differ from right ones for the candidates alone."""
        return (
            self.takes_queue
            and self.context.facts == "facts"
            and segment.is_caught_up
            and segment.refreshed_version == segment.version
            and segment.refresh is not None
            and segment.refresh.time_zone == self.context.zone.key
        )

    def _find_candidates(self, parts: Sequence[_Part]) -> None:
        """Fill ``candidates`` with who is touched, and for whom an answer can differ without a touch."""
        membership.make_candidates()
        self.run.touched = self.candidates = (
            facts.take_touched("candidates") if self.takes_queue else facts.read_touched("candidates")
        )
        by_refresh: dict[int, list[Segment]] = {}
        for part in parts:
            by_refresh.setdefault(part.segment.refresh_id or 0, []).append(part.segment)
        for together in by_refresh.values():
            refresh, since = together[0].refresh, together[0].refreshed_at
            assert refresh is not None
            assert since is not None
            before = EvaluationContext(since, self.context.zone, figures=Figures(refresh.figures))
            for sql, params in questions.of(together).may_flip(before, self.context):
                self.candidates += engine.execute(
                    f"""INSERT INTO candidates (customer_id, recorded)
                        WITH named (customer_id) AS ({sql}) SELECT customer_id, 0 FROM named WHERE true
                        ON CONFLICT (customer_id) DO NOTHING""",
                    params,
                )

    def _refresh_level(self, parts: Sequence[_Part]) -> list[Outcome]:
        if not parts:
            return []
        try:
            with transaction.atomic():
                return self._refresh_together(parts)
        except _ERRORS as error:
            if len(parts) == 1:
                return [Outcome(parts[0].segment, error=str(error).strip())]
            return [outcome for part in parts for outcome in self._refresh_level([part])]

    def _refresh_together(self, parts: Sequence[_Part]) -> list[Outcome]:
        segments, is_whole = [part.segment for part in parts], parts[0].is_whole
        asked = questions.of(segments)
        differing = self._find_differences(segments, asked, is_whole) if is_whole or self.candidates else 0
        superseded = self._lock(segments)
        if superseded:  # its next refresh answers the rule as it is now
            return self._refresh_level([part for part in parts if part.segment.pk not in superseded])
        if not differing:
            return membership.unchanged(segments)
        explained = [self._explained(part, asked.needed[place]) for place, part in enumerate(parts)]
        if any(one.moved for one in explained):
            unmoved = Figures(self.context.figures)
            unmoved.update(self.previous.figures if self.previous else {})
            before = EvaluationContext(self.at, self.context.zone, self.context.facts, unmoved)
            membership.remember_unmoved(asked.of_those_in("differences", before))
        outcomes = membership.write_differences(self.run, self.at, explained)
        self.moved |= {outcome.segment.pk for outcome in outcomes if outcome.entered or outcome.left}
        # Who came or went is looked at by the segments that refer to these: later in this run, or in their own.
        came_or_went = "SELECT customer_id FROM differences WHERE bits <> stored"
        self.candidates += engine.execute(
            f"""INSERT INTO candidates (customer_id, recorded) SELECT customer_id, 0 FROM ({came_or_went}) AS moved
                WHERE true ON CONFLICT (customer_id) DO NOTHING"""
        )
        if not self.takes_queue and any(references.referrers(segment.slug) for segment in segments):
            facts.touch(came_or_went, recorded=False)
        return outcomes

    def _find_differences(self, segments: Sequence[Segment], asked: Questions, is_whole: bool) -> int:
        """Ask about everybody, or the candidates, at once; or about some after others, where that takes too long."""
        among = "" if is_whole else "candidates"
        answers = asked.of_everybody(self.context) if is_whole else asked.of_those_in(among, self.context)
        try:
            with engine.undone_after(settings.STATEMENT_LIMIT):
                return membership.find_differences(segments, answers, among)
        except engine.TookTooLong:
            log.warning("refreshed_in_smaller_parts", segments=len(segments))
        membership.empty_differences()
        return sum(
            membership.add_differences(segments, asked.of_those_in(part, self.context), part)
            for part in membership.in_parts(among)
        )

    def _lock(self, segments: Sequence[Segment]) -> set[int]:
        """Keep the segments from being edited until the end; give those that were, meanwhile."""
        rows = Segment.objects.select_for_update().filter(pk__in=[one.pk for one in segments]).order_by("pk")
        versions = dict(rows.values_list("pk", "version"))
        return {one.pk for one in segments if versions.get(one.pk) != one.version}

    def _explained(self, part: _Part, needed: Sequence[Needed]) -> Asked:
        segment, cause = part.segment, ""
        if segment.refresh is None:
            cause = Change.Cause.INITIAL.value
        elif segment.refreshed_version != segment.version:
            cause = Change.Cause.DEFINITION.value
        known = segment.refresh.figures if segment.refresh else {}
        referred = part.rule.references()
        return Asked(
            segment,
            cause,
            since=self._quiet_since(segment),
            referred=frozenset(
                one.pk for one in self.segments if one.slug in referred and one.pk in self.moved
            ),
            moved=any(known.get(one.name) != self.context.figures.get(one.name) for one in needed),
        )

    def _quiet_since(self, segment: Segment) -> datetime | None:
        """Return the instant after which a record is news to the segment; the touches of one left out are gone."""
        if segment.refreshed_at is None or segment.is_caught_up:
            return segment.refreshed_at
        return segment.refreshed_at - timedelta(microseconds=1)

    def _finish(self) -> None:
        membership.store(self.run, self.at, self.outcomes)
        failed = [outcome for outcome in self.outcomes if outcome.error]
        for outcome in failed:
            self._put_off(outcome)
        answered = {outcome.segment.pk for outcome in self.outcomes}
        behind = [one.pk for one in (*self.others, *self.segments) if one.pk not in answered]
        if self.takes_queue and behind:  # they took no part, and do not know of the touches that are gone now
            Segment.objects.filter(pk__in=behind).update(is_caught_up=False)
        run = self.run
        run.at, run.looked_at = self.at, self.candidates
        run.figures, run.buyers_version, run.time_zone = (
            dict(self.context.figures),
            self.version,
            self.context.zone.key,
        )
        run.state = Refresh.State.FAILED if failed else Refresh.State.DONE
        run.error = "\n".join(f"{outcome.segment.slug}: {outcome.error}" for outcome in failed)
        run.finished_at = datetime.now(UTC)
        run.save()

    def _put_off(self, outcome: Outcome) -> None:
        segment = outcome.segment
        Segment.objects.filter(pk=segment.pk).update(
            last_error=outcome.error,
            failing_since=segment.failing_since or self.at,
            failures=segment.failures + 1,
            retry_at=self.at + BACKOFF.delay(segment.failures + 1),
            is_caught_up=False,
        )
