"""Segments right now, asked of the facts and rules instead of the stored members: of one customer, or of some.

Nothing is written, and nobody else is looked at: figures of the population are those of the last refresh, and
members of the segments that rules refer to are the stored ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import Subquery

from core.db import execution, temporary_tables
from customers.facts import relations
from customers.models import Customer
from segments.models import Refresh, Segment
from segments.rules import EvaluationContext, PopulationStatistics, Rule, RuleError, Statistic, parse

from .compiler import MAX_RULES_PER_STATEMENT, CompiledRules, compile_rules
from .context import shop_zone

_TABLE = "live_customers"


def context_for_customers(customers: Sequence[int], at: datetime) -> EvaluationContext:
    """Return the context of an instant, now or later, for some customers: only their facts are sure to hold."""
    latest = Segment.objects.filter(kind=Segment.Kind.DYNAMIC, refresh__isnull=False).order_by(
        "-refresh__at", "-refresh_id"
    )
    refresh = Refresh.objects.filter(pk=Subquery(latest.values("refresh_id")[:1]))
    stored = refresh.values_list("statistics", flat=True).first()
    among = Customer.objects.filter(pk__in=customers).order_by().values("pk")
    relation = relations.prepare_relation_for(among, at) if customers else "facts"
    return EvaluationContext(at, shop_zone(), relation, PopulationStatistics(stored or {}))


def compute_rule_statistics(rules: Iterable[Rule], context: EvaluationContext) -> None:
    """Compute the figures that rules ask for and no refresh has left, of all customers."""
    compute_statistics(
        (one for rule in rules for condition in rule.conditions() for one in condition.statistics()), context
    )


def compute_statistics(needed: Iterable[Statistic], context: EvaluationContext) -> None:
    """Compute those figures that no refresh has left."""
    everybody = EvaluationContext(context.at, context.zone, "facts", context.statistics)
    for one in needed:
        one.value_in(everybody)


def matching_segments(customer: int, at: datetime | None = None) -> list[str]:
    """Name the active segments whose rule one customer, named by key, matches now or at a later instant."""
    segments = readable_segments(Segment.objects.active().only("slug", "rule"))
    if not segments:
        return []
    context = context_for_customers([customer], at or datetime.now(UTC))
    found: list[str] = []
    for part, asked in _compiled_batches(segments, context):
        for _, bits, _ in execution.fetch_all(asked.customer_answers_sql(customer, context)):
            found += [segment.slug for segment in _segments_of_bits(part, bits)]
    return found


def matching_segments_by_customer(
    customers: Sequence[int], segments: Iterable[Segment], context: EvaluationContext
) -> dict[int, list[Segment]]:
    """Give those of some segments whose rule each customer matches, of those the context is for."""
    found: dict[int, list[Segment]] = {customer: [] for customer in customers}
    if customers:
        _fill_table(customers)
        for part, asked in _compiled_batches(readable_segments(segments), context):
            for customer, bits, _ in execution.fetch_all(asked.table_answers_sql(_TABLE, context)):
                found[customer] += _segments_of_bits(part, bits)
    return found


def matching_customers(rule: Any, customers: Sequence[int], context: EvaluationContext) -> dict[int, bool]:
    """Give the customers whom a rule, as JSON, matches, each with whether they are known; raises RuleError.

    They are looked for among customers whom the context is for.
    """
    if not customers:
        return {}
    _fill_table(customers)
    [(_, asked)] = _compiled_batches([Segment(rule=rule)], context)
    rows = execution.fetch_all(asked.table_answers_sql(_TABLE, context))
    return {customer: bool(known) for customer, bits, known in rows if bits}


def readable_segments(segments: Iterable[Segment]) -> list[Segment]:
    """Leave out those whose rule can no longer be read."""
    return [segment for segment in segments if _is_readable(segment)]


def _is_readable(segment: Segment) -> bool:
    try:
        parse(segment.rule)
    except RuleError:
        return False  # its own page shows what is wrong
    return True


def _compiled_batches(
    segments: Sequence[Segment], context: EvaluationContext
) -> Iterator[tuple[Sequence[Segment], CompiledRules]]:
    """Give the questions of as many segments at a time as one answer holds, when their figures are known."""
    for start in range(0, len(segments), MAX_RULES_PER_STATEMENT):
        part = segments[start : start + MAX_RULES_PER_STATEMENT]
        asked = compile_rules(part)
        compute_rule_statistics(asked.rules, context)
        yield part, asked


def _segments_of_bits(segments: Sequence[Segment], bits: int) -> list[Segment]:
    return [segment for place, segment in enumerate(segments) if bits & 1 << place]


def _fill_table(customers: Sequence[int]) -> None:
    temporary_tables.create_temporary_table(_TABLE, "customer_id bigint PRIMARY KEY")
    temporary_tables.load_rows(_TABLE, ("customer_id",), [(customer,) for customer in set(customers)])
