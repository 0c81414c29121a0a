"""The public segments of a visitor right now. Pages of the shop ask while they load, so every statement counts.

Each process caches the compiled rules and the population statistics. One cheap statement reads the state of the public
segments, which tells whether the cache is still valid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from core.db import execution
from core.db.sql import Sql
from core.values.text_cleaning import to_nfc
from customers.facts import relations
from customers.models import Identity

from .evaluation import live
from .evaluation.compiler import MAX_RULES_PER_STATEMENT, CompiledRules, compile_rules
from .evaluation.context import shop_zone
from .models import Segment
from .models.membership import Membership
from .models.refresh import Refresh
from .rules import EvaluationContext, PopulationStatistics, Statistic

# Unknown visitors are evaluated like others, so response times do not reveal who is known.
NO_CUSTOMER: Final = -1

PublicState = tuple[execution.Row, ...]


@dataclass(frozen=True)
class PublicSegments:
    """The public segments in one state: compiled rules with their slugs, and fixed lists by key.

    A state holds for each segment its key, version and slug, and the last refresh of any segment.
    """

    state: PublicState
    compiled: Sequence[tuple[Sequence[str], CompiledRules]]
    statistics: frozenset[Statistic]
    lists: dict[int, str]
    statistic_values: PopulationStatistics


_cached = PublicSegments((), (), frozenset(), {}, PopulationStatistics())


def find_public_segments(anonymous_id: str, at: datetime) -> list[str]:
    """Return the slugs of the public segments of a visitor, or of the customer who the visitor turned out to be.

    An unknown visitor is in no segment.
    """
    state, customer = _read_state(anonymous_id)
    if not state:
        return []
    published = _public_segments(state)
    return sorted(_list_slugs(published, customer) + _matching_slugs(published, customer, at))


def _read_state(anonymous_id: str) -> tuple[PublicState, int]:
    """Return the state of the public segments, and the key of the customer with this id, with one statement."""
    rows = execution.fetch_all(
        """SELECT id, version, slug, (SELECT max(refresh_id) FROM segments_segment WHERE kind = 'dynamic'),
            (SELECT customer_id FROM customers_identity WHERE kind = %s AND value = %s)
        FROM segments_segment WHERE is_public AND (is_active OR kind = 'static') ORDER BY slug""",
        # PostgreSQL rejects NUL characters, so no customer has such an id.
        [Identity.Kind.ANONYMOUS_ID.value, "" if "\x00" in anonymous_id else to_nfc(anonymous_id)],
    )
    customer = rows[0][4] if rows else None
    return tuple(row[:4] for row in rows), NO_CUSTOMER if customer is None else customer


def _matching_slugs(published: PublicSegments, customer: int, at: datetime) -> list[str]:
    if not published.compiled:
        return []
    relation = relations.prepare_relation_for(Sql("SELECT %s", (customer,)), at)
    context = EvaluationContext(at, shop_zone(), relation, PopulationStatistics(published.statistic_values))
    live.compute_statistics(published.statistics, context)
    slugs_found: list[str] = []
    for slugs, compiled in published.compiled:
        for _, bits, _ in execution.fetch_all(compiled.customer_answers_sql(customer, context)):
            slugs_found += [slug for place, slug in enumerate(slugs) if bits & 1 << place]
    return slugs_found


def _list_slugs(published: PublicSegments, customer: int) -> list[str]:
    if not published.lists:
        return []
    on = Membership.objects.filter(customer=customer, segment__in=published.lists)
    return [published.lists[segment] for segment in on.values_list("segment_id", flat=True)]


def _public_segments(state: PublicState) -> PublicSegments:
    global _cached
    published = _cached
    if published.state != state:
        published = _cached = _load(state)
    return published


def _load(state: PublicState) -> PublicSegments:
    segments = list(Segment.objects.filter(pk__in=[row[0] for row in state]).only("kind", "slug", "rule"))
    rules = live.readable_segments(segment for segment in segments if segment.is_dynamic)
    compiled = [
        ([segment.slug for segment in batch], compile_rules(batch))
        for start in range(0, len(rules), MAX_RULES_PER_STATEMENT)
        if (batch := rules[start : start + MAX_RULES_PER_STATEMENT])
    ]
    refresh = state[0][3] or 0
    statistics = Refresh.objects.filter(pk=refresh).values_list("statistics", flat=True).first()
    return PublicSegments(
        state,
        compiled,
        frozenset(
            statistic
            for _, rules_of_batch in compiled
            for statistics_of_rule in rules_of_batch.statistics
            for statistic in statistics_of_rule
        ),
        {segment.pk: segment.slug for segment in segments if not segment.is_dynamic},
        PopulationStatistics(statistics or {}),
    )
