"""Filters on members of other segments."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from django.db.models import Exists, F, Q, QuerySet, Subquery

from segments.models import Membership, Segment
from segments.rules import values
from segments.rules.base import Condition, Exposure, condition
from segments.rules.context import EvaluationContext
from segments.rules.declarations import param, required
from segments.rules.operators import Moment
from segments.rules.parameters import Scalar
from segments.rules.time_changes import records_in_window


@condition(
    "in_segment",
    group="segments",
    label="In segment",
    unit="moment",
    example={"is": "hero"},
    synonyms="member, group, list, fixed list, audience, cohort, include, exclude",
)
class InSegment(Condition):
    """The customer is a member of another segment."""

    exposure = Exposure.OPEN

    is_: str = required(Scalar(values.SLUG))
    entered: Moment | None = param(Moment)

    def _memberships(self, context: EvaluationContext) -> Any:
        return self._members().filter(customer=context.customer_key)

    def _members(self) -> Any:
        # Not joined: the members can be on other machines than the segments.
        return Membership.objects.filter(segment__in=Segment.objects.filter(slug=self.is_))

    def q(self, context: EvaluationContext) -> Q:
        memberships = self._memberships(context)
        if self.entered is None:
            return Q(Exists(memberships))
        return Q(Exists(memberships.filter(self.entered.q(F("entered_at"), context.at, context.zone))))

    def value(self, context: EvaluationContext) -> Any:
        return Subquery(self._memberships(context).values("entered_at"))

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        """Select by the moment of entry. Changes of the other segment make their customers candidates anyway."""
        if self.entered is None:
            return []
        return records_in_window(self._members(), "entered_at", since, until, self.entered.spans)

    def referenced_segments(self) -> set[str]:
        return {self.is_}

    def with_segment_names(self, names: Mapping[str, str]) -> Self:
        return replace(self, is_=names.get(self.is_, self.is_))  # type: ignore[type-var]

    def sentence(self) -> str:
        return f"is in the segment “{self.is_}”" + (
            f", entered {self.entered.phrase()}" if self.entered else ""
        )

    def negated_sentence(self) -> str:
        return super().negated_sentence() if self.entered else f"is not in the segment “{self.is_}”"
