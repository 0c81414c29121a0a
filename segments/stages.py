"""The stages of a customer's life: ready-to-use segments, of which each customer counts in the first that holds.

The other ready-to-use segments are groups: a customer may be in several of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Exists, OuterRef, Q

from core.db import execution, time_limits
from core.db.sql import Sql
from customers.models import Customer

from .models import Segment
from .models.membership import Membership

_MEMBERS: Final = Membership._meta.db_table


@dataclass(frozen=True)
class Stage:
    """A stage, and the templates whose segments it consists of. ``slug`` names it in URLs."""

    slug: str
    name: str
    templates: tuple[str, ...]


STAGES: Final = (
    Stage("anonymous", "Anonymous", ("anonymous",)),
    Stage("lead", "Lead", ("lead",)),
    Stage("first-order", "First order", ("first-order",)),
    Stage("repeat", "Repeat", ("repeat",)),
    Stage("lapsed", "Lapsed", ("one-time-lapsed", "repeat-lapsed")),
    Stage("lost", "Lost", ("lost",)),
)
"""In the order of a life."""

PRECEDENCE: Final = ("anonymous", "lost", "lead", "lapsed", "first-order", "repeat")
"""In which order the stages are asked: a visitor is anonymous, whatever else, and who is lost is no lead any more."""

NO_STAGE: Final = "none"
"""Of customers who are in no stage, such as those whose second order is neither recent nor long ago."""


@dataclass(frozen=True)
class InstalledStage:
    """A stage with its segments, and the segments of the stages that are asked before it."""

    stage: Stage
    segments: tuple[Segment, ...]
    preceding: tuple[Segment, ...]

    def members_q(self) -> Q:
        """Return the condition for customers in this stage."""
        return _in_any(self.segments) & ~_in_any(self.preceding)


def installed_stages(segments: Iterable[Segment]) -> list[InstalledStage]:
    """Return the stages with segments that were refreshed, in the order of a life."""
    by_template: dict[str, list[Segment]] = {}
    for segment in segments:
        if segment.refreshed_at:
            by_template.setdefault(segment.template, []).append(segment)
    by_stage = {
        stage.slug: tuple(
            min(by_template[template], key=lambda segment: segment.pk)
            for template in stage.templates
            if template in by_template
        )
        for stage in STAGES
    }
    return [
        InstalledStage(
            stage,
            by_stage[stage.slug],
            tuple(
                segment for slug in PRECEDENCE[: PRECEDENCE.index(stage.slug)] for segment in by_stage[slug]
            ),
        )
        for stage in STAGES
        if by_stage[stage.slug]
    ]


def no_stage_q(stages: Sequence[InstalledStage]) -> Q:
    """Return the condition for customers in no stage."""
    return ~_in_any(tuple(segment for one in stages for segment in one.segments))


def count_customers(stages: Sequence[InstalledStage], seconds: float) -> Mapping[str, int]:
    """Return how many customers are in each stage, by slug, ``NO_STAGE`` included. Raises StatementTimeout."""
    with time_limits.time_limit(seconds):
        everybody = Customer.objects.existing().count()
        counts: dict[str, int] = {one.stage.slug: 0 for one in stages}
        if stages:
            rows = execution.fetch_all(
                f"SELECT stage, count(*) FROM ({stage_of_members_sql(stages).text}) AS staged GROUP BY stage"
            )
            counts |= {PRECEDENCE[place]: count for place, count in rows}
    # Until the next refresh, a merged visitor may still be a member.
    return counts | {NO_STAGE: max(0, everybody - sum(counts.values()))}


def stage_of_members_sql(stages: Sequence[InstalledStage]) -> Sql:
    """Return a query of ``customer_id`` and ``stage``, the place in ``PRECEDENCE``, of customers in any stage."""
    places = {segment.pk: PRECEDENCE.index(one.stage.slug) for one in stages for segment in one.segments}
    cases = " ".join(f"WHEN {segment} THEN {place}" for segment, place in places.items())
    return Sql(
        f"SELECT customer_id, min(CASE segment_id {cases} END) AS stage FROM {_MEMBERS}"
        f" WHERE segment_id IN ({', '.join(map(str, places))}) GROUP BY customer_id"
    )


def _in_any(segments: Sequence[Segment]) -> Q:
    keys = [segment.pk for segment in segments]
    if not keys:
        return Q(pk__in=())
    return Q(Exists(Membership.objects.filter(segment__in=keys, customer=OuterRef("pk"))))
