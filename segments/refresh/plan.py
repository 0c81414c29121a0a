"""Step 1 of a refresh: which segments are evaluated, in which context, and for which customers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from django.conf import settings

from customers.facts import relations
from customers.facts.totals import Totals
from segments import references
from segments.evaluation.compiler import MAX_RULES_PER_STATEMENT
from segments.evaluation.context import shop_zone
from segments.evaluation.expansion import ExpandedRule
from segments.models import Refresh, Segment
from segments.rules import EvaluationContext, PopulationStatistics, Rule, RuleError, Statistic

from . import stored_state
from .stored_state import StoredState

FULL_REFRESH_SHARE = 0.15  # of the customers; with more candidates, evaluating all customers costs less


class TooEarly(ValueError):
    """The instant of a refresh is before the last refresh of a segment."""


@dataclass(frozen=True)
class PlannedSegment:
    """A segment with its rule. ``is_full`` tells whether all customers are evaluated, or only candidates."""

    segment: Segment
    expanded: ExpandedRule
    is_full: bool

    @property
    def is_edited(self) -> bool:
        """Whether its rule, or one that it asks ahead, was edited since its last refresh."""
        return is_edited(self.segment, self.expanded)


@dataclass(frozen=True)
class StatisticsSource:
    """The instant of the oldest statistic of a context, and the version of the buyers' orders it was computed from."""

    computed_at: datetime
    buyers_version: int


@dataclass(frozen=True)
class RefreshPlan:
    """What a refresh evaluates.

    ``selected`` are all segments to refresh. Those whose rule is invalid are in ``invalid`` with the error, the rest in
    ``planned``. ``others`` are incremental segments that are not refreshed. ``empties_queue`` tells whether this
    refresh empties the queue of touched customers, which needs that no other active segment still needs it.
    ``has_touched`` tells whether the queue had any. ``previous`` is the refresh with the former statistics.
    """

    context: EvaluationContext
    selected: tuple[Segment, ...]
    planned: tuple[PlannedSegment, ...]
    invalid: tuple[tuple[Segment, str], ...]
    others: tuple[Segment, ...]
    empties_queue: bool
    has_touched: bool
    customers: int
    previous: Refresh | None
    statistics_source: StatisticsSource

    @property
    def at(self) -> datetime:
        """The instant of the refresh."""
        return self.context.at  # type: ignore[no-any-return]

    def for_candidates(self, count: int) -> "RefreshPlan":
        """Return the plan for this number of candidates: a full one if they are a large share of the customers."""
        if count <= FULL_REFRESH_SHARE * self.customers:
            return self
        return replace(self, planned=tuple(replace(planned, is_full=True) for planned in self.planned))

    def batches(self) -> Iterable[Sequence[PlannedSegment]]:
        """Yield batches of segments, one for each statement. A segment comes after those it refers to."""
        levels = references.reference_levels(
            self.planned,
            lambda planned: planned.segment.slug,
            lambda planned: planned.expanded.rule.references(),
        )
        for level in levels:
            for is_full in (True, False):
                same_mode = [planned for planned in level if planned.is_full == is_full]
                for start in range(0, len(same_mode), MAX_RULES_PER_STATEMENT):
                    yield same_mode[start : start + MAX_RULES_PER_STATEMENT]


def plan_refresh(
    keys: Sequence[int] | None = None, at: datetime | None = None, *, full: bool = False
) -> RefreshPlan:
    """Return the plan for the segments with these keys, or for all active ones; by default now.

    Without ``keys``, ``at`` and ``full``, failing segments that wait for their next retry are left out. With ``full``,
    all customers are evaluated. Raises TooEarly if ``at`` is before the last refresh of one of the segments.
    """
    state = stored_state.read_state()
    totals, dynamic = state.totals, state.segments
    selected = [segment for segment in dynamic if (segment.is_active if keys is None else segment.pk in keys)]
    instant = at or _default_instant(state, selected)
    _check_not_too_early(selected, instant)
    if keys is None and at is None and not full:
        selected = [segment for segment in selected if not (segment.retry_at and instant < segment.retry_at)]
    chosen = {segment.pk for segment in selected}
    others = [segment for segment in dynamic if segment.is_incremental and segment.pk not in chosen]
    empties_queue = not any(segment.is_active for segment in others)
    relation = _prepare_relation(state, instant)
    context = EvaluationContext(
        instant, shop_zone(), relation, PopulationStatistics(totals=totals if relation == "facts" else None)
    )
    rules, invalid = _parse_rules(state, selected)
    previous = _latest_refresh(selected)
    return RefreshPlan(
        context=context,
        selected=tuple(selected),
        planned=tuple(
            PlannedSegment(
                segment, rule, full or not (empties_queue and _is_incremental(segment, rule, context))
            )
            for segment, rule in rules
        ),
        invalid=tuple(invalid),
        others=tuple(others),
        empties_queue=empties_queue,
        has_touched=state.has_touched,
        customers=totals.customers if totals else 0,
        previous=previous,
        statistics_source=_reuse_statistics(context, previous, totals, [one.rule for _, one in rules]),
    )


def _prepare_relation(state: StoredState, at: datetime) -> str:
    """Return the relation with the facts of an instant."""
    stored_at = state.totals.updated_until if state.totals else None
    if (stored_at is None or at >= stored_at) and not state.has_records_due(at):
        return "facts"
    return relations.prepare_relation(at, stored_at)


def _default_instant(state: StoredState, segments: Sequence[Segment]) -> datetime:
    """Return the present instant, or the latest instant of the stored facts and members."""
    facts_instant = [state.totals.updated_until] if state.totals else []
    reached = [*facts_instant, *(segment.refreshed_at for segment in segments if segment.refreshed_at)]
    now = max([datetime.now(UTC), *reached])
    # Records that came due since the facts were updated are left to the next refresh.
    return max(reached) if reached and state.has_records_due(now) else now


def _check_not_too_early(segments: Iterable[Segment], at: datetime) -> None:
    for segment in segments:
        if segment.refreshed_at and at < segment.refreshed_at:
            raise TooEarly(
                f"{segment.slug} was refreshed at {segment.refreshed_at.isoformat()};"
                " use that instant or a later one"
            )


def _parse_rules(
    state: StoredState, segments: Iterable[Segment]
) -> tuple[list[tuple[Segment, ExpandedRule]], list[tuple[Segment, str]]]:
    rules: list[tuple[Segment, ExpandedRule]] = []
    invalid: list[tuple[Segment, str]] = []
    for segment in segments:
        rule = state.rules[segment.pk]
        if isinstance(rule, RuleError):
            invalid.append((segment, str(rule)))
        else:
            rules.append((segment, rule))
    return rules, invalid


def is_edited(segment: Segment, expanded: ExpandedRule) -> bool:
    """Return whether the rule, or one that it asks ahead, was edited since the segment's last refresh."""
    return (segment.refreshed_version, segment.asked_digest) != (segment.version, expanded.asked_digest)


def _is_incremental(segment: Segment, expanded: ExpandedRule, context: EvaluationContext) -> bool:
    """Whether only candidates can differ from the stored members."""
    return (
        context.facts == "facts"
        and segment.is_incremental
        and not is_edited(segment, expanded)
        and segment.refresh is not None
        and segment.refresh.time_zone == context.zone.key
    )


def _latest_refresh(segments: Iterable[Segment]) -> Refresh | None:
    return max(
        (segment.refresh for segment in segments if segment.refresh),
        key=lambda refresh: (
            refresh.at,
            refresh.pk,
        ),  # a queued refresh can have a smaller key than an earlier one
        default=None,
    )


def _reuse_statistics(
    context: EvaluationContext, previous: Refresh | None, totals: Totals | None, rules: Iterable[Rule]
) -> StatisticsSource:
    """Copy former statistics to the context if they cannot have changed, or are younger than FIGURES_MAX_AGE."""
    version = totals.buyers_version if totals and context.facts == "facts" else -1
    source = StatisticsSource(context.at, version)
    if previous is None or context.facts != "facts":
        return source
    is_unchanged = previous.buyers_version == version
    since = previous.statistics_from
    is_young = since is not None and context.at - since < timedelta(seconds=settings.FIGURES_MAX_AGE)
    for statistic in _needed_statistics(rules):
        if statistic.name not in previous.statistics:
            continue
        if is_unchanged and not statistic.changes_with_time:
            context.statistics[statistic.name] = previous.statistics[statistic.name]
        elif since is not None and is_young and not statistic.is_from_totals:
            context.statistics[statistic.name] = previous.statistics[statistic.name]
            source = StatisticsSource(since, previous.buyers_version)
    return source


def _needed_statistics(rules: Iterable[Rule]) -> Iterable[Statistic]:
    for rule in rules:
        yield from rule.statistics()
