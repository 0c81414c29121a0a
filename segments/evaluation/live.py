"""The segments of one or some customers right now, from facts and rules instead of the stored members.

Nothing is written. Population statistics are those of the last refresh, and the members of segments that rules refer
to are the stored ones.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

from django.db.models import Subquery

from core.db import execution, temporary_tables
from core.db.sql import Sql
from customers.facts import relations
from customers.models import Customer
from segments.models import Refresh, Segment
from segments.rules import EvaluationContext, PopulationStatistics, Rule, RuleError, Statistic, parse

from .compiler import MAX_RULES_PER_STATEMENT, CompiledRules, compile_rules
from .context import shop_zone
from .expansion import expand_rules, expand_segments

State = tuple[execution.Row, ...]

_TABLE = "live_customers"


def context_for_customers(customers: Sequence[int], at: datetime) -> EvaluationContext:
    """Return the context of an instant, now or later. Only the facts of these customers are up to date in it."""
    latest = Segment.objects.filter(kind=Segment.Kind.DYNAMIC, refresh__isnull=False).order_by(
        "-refresh__at", "-refresh_id"
    )
    refresh = Refresh.objects.filter(pk=Subquery(latest.values("refresh_id")[:1]))
    stored = refresh.values_list("statistics", flat=True).first()
    among = Customer.objects.filter(pk__in=customers).order_by().values("pk")
    relation = relations.prepare_relation_for(among, at) if customers else "facts"
    return EvaluationContext(at, shop_zone(), relation, PopulationStatistics(stored or {}))


def compute_rule_statistics(rules: Iterable[Rule], context: EvaluationContext) -> None:
    """Compute the statistics that rules, and those that they ask, need and no refresh has stored."""
    expanded = expand_rules(rules, asks_rules=context.asks_rules)
    compute_statistics((statistic for rule in expanded for statistic in rule.statistics()), context)


def compute_statistics(statistics: Iterable[Statistic], context: EvaluationContext) -> None:
    """Compute those statistics that no refresh has stored, for all customers."""
    everybody = EvaluationContext(context.at, context.zone, "facts", context.statistics)
    for statistic in statistics:
        statistic.value_in(everybody)


@dataclass(frozen=True)
class LiveSegments:
    """Segments in one state: compiled rules with their slugs, and fixed lists by key."""

    state: State = ()
    compiled: Sequence[tuple[Sequence[str], CompiledRules]] = ()
    statistics: frozenset[Statistic] = frozenset()
    lists: Mapping[int, str] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    """The slugs of the segments that the rules ask ahead; their rules are part of the compiled ones."""
    asked_state: State = ()
    statistic_values: PopulationStatistics = field(default_factory=PopulationStatistics)

    def matching_slugs(self, customer: int, at: datetime) -> list[str]:
        """Return the slugs of the segments whose rule the customer matches, now or at a later instant."""
        if not self.compiled:
            return []
        context = EvaluationContext(at, shop_zone(), "facts", PopulationStatistics(self.statistic_values))
        compute_statistics(self.statistics, context)
        slugs = self._matching_slugs(customer, context)
        if slugs is None:
            relation = relations.prepare_relation_for(Sql("%s", (customer,)), at)
            slugs = self._matching_slugs(customer, replace(context, facts=relation))
        return slugs or []

    def _matching_slugs(self, customer: int, context: EvaluationContext) -> list[str] | None:
        """Return the slugs, or None if the facts of the context do not hold for this customer."""
        found: list[str] = []
        for slugs, compiled in self.compiled:
            for _, bits, _ in execution.fetch_all(compiled.customer_answers_sql(customer, context)):
                if bits < 0:
                    return None
                found += [slug for place, slug in enumerate(slugs) if bits & 1 << place]
        return found


class LiveSegmentsCache:
    """What each process keeps of the segments that it evaluates for single customers, as long as it is valid."""

    def __init__(self) -> None:
        self._latest = LiveSegments()

    def get(self, state: State) -> LiveSegments:
        """Return the segments in this state. A state is rows that begin with ``STATE_COLUMNS``."""
        latest = self._latest
        if latest.state != state or (latest.asked and latest.asked_state != _read_asked_state(latest.asked)):
            latest = self._latest = _load(state)
        return latest


def _read_asked_state(slugs: Iterable[str]) -> State:
    """Return what tells whether segments that are asked ahead have another rule now, or answer by their members."""
    columns = ("pk", "version", "slug", "is_active", "last_error")
    return tuple(Segment.objects.filter(slug__in=slugs).order_by("pk").values_list(*columns))


def _load(state: State) -> LiveSegments:
    segments = Segment.objects.filter(pk__in=[row[0] for row in state]).only("kind", "slug", "rule")
    rules = readable_segments(segment for segment in segments if segment.is_dynamic)
    asked = frozenset(
        slug for one in expand_segments(rules) if one.asked_digest for slug in one.rule.references()
    )
    asked_state = _read_asked_state(asked) if asked else ()  # before the rules, which may be edited meanwhile
    compiled = [
        ([segment.slug for segment in batch], compile_rules(expand_segments(batch)))
        for start in range(0, len(rules), MAX_RULES_PER_STATEMENT)
        if (batch := rules[start : start + MAX_RULES_PER_STATEMENT])
    ]
    latest = state[0][3] or 0 if state else 0
    stored = Refresh.objects.filter(pk=latest).values_list("statistics", flat=True).first()
    return LiveSegments(
        state,
        compiled,
        frozenset(
            statistic
            for _, rules_of_batch in compiled
            for statistics_of_rule in rules_of_batch.statistics
            for statistic in statistics_of_rule
        ),
        {segment.pk: segment.slug for segment in segments if not segment.is_dynamic},
        asked,
        asked_state,
        PopulationStatistics(stored or {}),
    )


STATE_COLUMNS: Final = (
    "id, version, slug, (SELECT max(refresh_id) FROM segments_segment WHERE kind = 'dynamic'),"
    " (SELECT max(updated_at) FROM segments_segment)"
)
"""What tells whether compiled rules and statistics are still valid: key, version and slug of each segment, and the
latest refresh and edit of any, since a rule may ask other segments ahead.
"""

_ACTIVE: Final = (
    f"SELECT {STATE_COLUMNS} FROM segments_segment WHERE is_active AND kind = 'dynamic' ORDER BY id"
)
_active = LiveSegmentsCache()


def matching_segments(customer: int, at: datetime | None = None) -> list[str]:
    """Return the slugs of active segments whose rule one customer matches, now or at a later instant."""
    segments = _active.get(tuple(execution.fetch_all(_ACTIVE)))
    return segments.matching_slugs(customer, at or datetime.now(UTC))


def matching_segments_by_customer(
    customers: Sequence[int], segments: Iterable[Segment], context: EvaluationContext
) -> dict[int, list[Segment]]:
    """Return for each customer the segments whose rule matches. The context must be for these customers."""
    matching: dict[int, list[Segment]] = {customer: [] for customer in customers}
    if customers:
        _fill_table(customers)
        for batch, compiled in _compiled_batches(readable_segments(segments), context):
            for customer, bits, _ in execution.fetch_all(compiled.table_answers_sql(_TABLE, context)):
                matching[customer] += _segments_of_bits(batch, bits)
    return matching


def matching_customers(rule: Any, customers: Sequence[int], context: EvaluationContext) -> dict[int, bool]:
    """Return which of the customers a rule, given as JSON, matches, each with whether they are known.

    The context must be for these customers. Raises RuleError if the rule is invalid.
    """
    if not customers:
        return {}
    _fill_table(customers)
    [(_, compiled)] = _compiled_batches([Segment(rule=rule)], context)
    rows = execution.fetch_all(compiled.table_answers_sql(_TABLE, context))
    return {customer: bool(known) for customer, bits, known in rows if bits}


def readable_segments(segments: Iterable[Segment]) -> list[Segment]:
    """Return the segments whose rule can be parsed."""
    return [segment for segment in segments if _is_readable(segment)]


def _is_readable(segment: Segment) -> bool:
    try:
        parse(segment.rule)
    except RuleError:
        return False  # the page of the segment shows the error
    return True


def _compiled_batches(
    segments: Sequence[Segment], context: EvaluationContext
) -> Iterator[tuple[Sequence[Segment], CompiledRules]]:
    """Yield the segments in batches with their compiled rules, after computing their statistics."""
    for start in range(0, len(segments), MAX_RULES_PER_STATEMENT):
        batch = segments[start : start + MAX_RULES_PER_STATEMENT]
        compiled = compile_rules(expand_segments(batch))
        compute_statistics(
            (statistic for statistics in compiled.statistics for statistic in statistics), context
        )
        yield batch, compiled


def _segments_of_bits(segments: Sequence[Segment], bits: int) -> list[Segment]:
    return [segment for place, segment in enumerate(segments) if bits & 1 << place]


def _fill_table(customers: Sequence[int]) -> None:
    temporary_tables.create_temporary_table(_TABLE, "customer_id bigint PRIMARY KEY")
    temporary_tables.load_rows(_TABLE, ("customer_id",), [(customer,) for customer in set(customers)])
