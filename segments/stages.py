"""The stages of a customer's life: an ordered list of segments, of which each customer is in the first that holds.

A shop without stages of its own has built-in ones. All stages but the built-in ones are segments, with stored members.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from django.db.models import Count, Exists, OuterRef, Q

from core.db import execution, time_limits
from core.db.sql import Sql
from customers.models import Facts, Touched

from .models import LifecycleStage, Segment
from .models.membership import Membership
from .templates import KNOWN_RULE, NO_ORDER_RULE, ONE_ORDER_RULE

_MEMBERS: Final = Membership._meta.db_table

MAX_STAGES: Final = 20


@dataclass(frozen=True)
class Stage:
    """A stage. ``segment`` is None for a built-in stage.

    ``shown`` is the place in the order of a life. ``band`` is a segment that is shown beside the stage.
    """

    slug: str
    name: str
    rule: Mapping[str, Any]
    shown: int = 0
    segment: Segment | None = None
    band: Segment | None = None

    @property
    def is_refreshed(self) -> bool:
        """Whether the segment has stored members: a fixed list always, a segment by rule after its first refresh."""
        return self.segment is not None and bool(self.segment.refreshed_at or not self.segment.is_dynamic)


@dataclass(frozen=True)
class BuiltInStage:
    """A stage of a shop that has not stored its own."""

    slug: str
    name: str
    rule: dict[str, Any]
    shown: int
    description: str
    band: str = ""


BUILT_IN_STAGES: Final = (
    BuiltInStage("anonymous", "Anonymous", {"known": {"is": False}}, 0, "Not known."),
    BuiltInStage("lost", "Lost", {"last_activity": {"not_within_last": "90d"}}, 5, "Not active for 90 days."),
    BuiltInStage("lead", "Lead", {"all": [KNOWN_RULE, NO_ORDER_RULE]}, 1, "Known, without an order."),
    BuiltInStage(
        "lapsed", "Lapsed", {"last_order": {"not_within_last": "60d"}}, 4, "Have not ordered for 60 days."
    ),
    BuiltInStage("first-order", "First order", ONE_ORDER_RULE, 2, "Have ordered once."),
    BuiltInStage(
        "repeat-buyers",
        "Repeat",
        {"order_count": {"at_least": 2}},
        3,
        "Have ordered at least twice.",
        band="hero",
    ),
)
"""In the order in which they are asked. Each customer is in exactly one."""

NO_STAGE: Final = "-"
"""The slug of customers who are in no stage, or did not exist."""


def built_in_stages() -> list[Stage]:
    return [Stage(one.slug, one.name, one.rule, one.shown) for one in BUILT_IN_STAGES]


def stored_stages() -> list[Stage]:
    """Return the stages of the shop, in the order in which they are asked. Empty if it has not stored any."""
    stored = LifecycleStage.objects.select_related("segment", "band").order_by("asked_place")
    return [stage_of_segment(one.segment, one.shown_place, one.band) for one in stored]


def lifecycle_stages() -> list[Stage]:
    """Return the stages of the shop, or else the built-in ones, in the order in which they are asked."""
    return stored_stages() or built_in_stages()


def stage_of_segment(segment: Segment, shown: int = 0, band: Segment | None = None) -> Stage:
    rule: Any = segment.rule if segment.is_dynamic else {"in_segment": {"is": segment.slug}}
    return Stage(segment.slug, segment.name, rule, shown, segment, band)


def in_shown_order(stages: Iterable[Stage]) -> list[Stage]:
    """Return stages in the order of a life."""
    return sorted(stages, key=attrgetter("shown"))


# -- The present members. The stages are those of the shop, in the order in which they are asked.


def members_q(stages: Sequence[Stage], slug: str) -> Q:
    """Return the condition for customers in a stage, or in no stage. Raises LookupError."""
    slugs = [stage.slug for stage in stages]
    if slug == NO_STAGE:
        # Whom the next refresh evaluates has no stage yet.
        touched = Exists(Touched.objects.filter(customer_id=OuterRef("pk")))
        return ~_in_any(stages) & Q(facts__isnull=False) & ~Q(touched)
    if slug not in slugs:
        raise LookupError(slug)
    place = slugs.index(slug)
    return _in_any(stages[place : place + 1]) & ~_in_any(stages[:place])


def count_customers(stages: Sequence[Stage], seconds: float) -> Mapping[str, int]:
    """Return how many customers are in each stage, by slug, ``NO_STAGE`` included. Raises StatementTimeout."""
    with time_limits.time_limit(seconds):
        everybody = Facts.objects.count() - _count_waiting(stages)
        counts: dict[str, int] = {stage.slug: 0 for stage in stages}
        if stages:
            rows = execution.fetch_all(
                f"SELECT stage, count(*) FROM ({stage_of_members_sql(stages).text}) AS staged GROUP BY stage"
            )
            counts |= {stages[place].slug: count for place, count in rows}
    # Until the next refresh, a merged visitor may still be a member.
    return counts | {NO_STAGE: max(0, everybody - sum(counts.values()))}


def count_bands(stages: Sequence[Stage], seconds: float) -> Mapping[str, int]:
    """Return how many customers of each stage with a band are in its segment, by slug. Raises StatementTimeout."""
    banded = [(place, stage.band.pk) for place, stage in enumerate(stages) if stage.band]
    if not banded:
        return {}
    pairs = " OR ".join(f"staged.stage = {place} AND m.segment_id = {segment}" for place, segment in banded)
    with time_limits.time_limit(seconds):
        rows = execution.fetch_all(
            f"""SELECT staged.stage, count(*) FROM {_MEMBERS} m
                JOIN ({stage_of_members_sql(stages).text}) AS staged ON staged.customer_id = m.customer_id
                WHERE m.segment_id IN ({", ".join(str(segment) for _, segment in banded)}) AND ({pairs})
                GROUP BY staged.stage"""
        )
    return {stages[place].slug: count for place, count in rows}


def stage_of_members_sql(stages: Sequence[Stage]) -> Sql:
    """Return a query of ``customer_id`` and ``stage``, the place among the stages, of customers in any stage."""
    places = {stage.segment.pk: place for place, stage in enumerate(stages) if stage.segment}
    cases = " ".join(f"WHEN {segment} THEN {place}" for segment, place in places.items())
    return Sql(
        f"SELECT customer_id, min(CASE segment_id {cases} END) AS stage FROM {_MEMBERS}"
        f" WHERE segment_id IN ({', '.join(map(str, places))}) GROUP BY customer_id"
    )


def _count_waiting(stages: Iterable[Stage]) -> int:
    """Return how many customers are in no stage because the next refresh evaluates them first."""
    keys = [stage.segment.pk for stage in stages if stage.segment]
    waiting = Touched.objects.filter(
        ~Exists(Membership.objects.filter(segment__in=keys, customer=OuterRef("customer_id"))),
        Exists(Facts.objects.filter(customer=OuterRef("customer_id"))),
    )
    counted: int = waiting.aggregate(customers=Count("customer_id", distinct=True))["customers"]
    return counted


def _in_any(stages: Iterable[Stage]) -> Q:
    keys = [stage.segment.pk for stage in stages if stage.segment]
    if not keys:
        return Q(pk__in=())
    return Q(Exists(Membership.objects.filter(segment__in=keys, customer=OuterRef("pk"))))
