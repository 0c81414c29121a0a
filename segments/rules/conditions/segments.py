"""Filters on members of other segments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Self

from django.db.models import Exists, F, Q, QuerySet, Subquery

from core.db.sql import Query
from segments.models import Membership, Segment
from segments.rules import values
from segments.rules.base import Condition, Exposure, FindRule, Rule, condition
from segments.rules.context import EvaluationContext, Statistic
from segments.rules.declarations import param, required
from segments.rules.operators import Moment
from segments.rules.parameters import Scalar
from segments.rules.time_changes import records_in_window

from .ahead import AHEAD_SPAN, Ahead, ahead_phrase


@condition(
    "in_segment",
    group="segments",
    label="In segment",
    unit="moment",
    example={"is": "hero"},
    synonyms="member, group, list, fixed list, audience, cohort, include, exclude",
)
class InSegment(Condition):
    """The customer is a member of another segment.

    With `in`, the customer will be one after this time if nothing more is recorded. With `entered`, the customer is a
    member who entered at such a time.
    """

    exposure = Exposure.OPEN

    exclusive = ("in", "entered")
    is_: str = required(Scalar(values.SLUG))
    in_: timedelta | None = param(AHEAD_SPAN)
    entered: Moment | None = param(Moment)

    def q(self, context: EvaluationContext) -> Q:
        if self.in_ is not None or (self.entered is None and (context.span_ahead or context.asks_rules)):
            raise TypeError(
                "a rule that asks the rules of other segments must be expanded before it is evaluated"
            )
        memberships = _memberships_queryset(self.is_, context)
        if self.entered is None:
            return Q(Exists(memberships))
        at = context.of_records.at
        return Q(Exists(memberships.filter(self.entered.q(F("entered_at"), at, context.zone))))

    def value(self, context: EvaluationContext) -> Any:
        return Subquery(_memberships_queryset(self.is_, context).values("entered_at"))

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        """Select by the moment of entry. Changes of the other segment make their customers candidates anyway."""
        if self.entered is None:
            return []
        members = _members_queryset(self.is_)
        return records_in_window(
            members, "entered_at", since.of_records, until.of_records, self.entered.spans
        )

    def expand(self, find_rule: FindRule, *, asks_rules: bool) -> Rule:
        if self.in_ is not None:
            return Ahead(self.in_, self._members(find_rule))  # type: ignore[call-arg]
        return self._members(find_rule) if asks_rules and self.entered is None else self

    def _members(self, find_rule: FindRule) -> "SegmentMembers":
        return SegmentMembers(self.is_, self.is_, find_rule(self.is_))

    def span_ahead(self) -> timedelta:
        return self.in_ or timedelta()

    def referenced_segments(self) -> set[str]:
        return {self.is_}

    def with_segment_names(self, names: Mapping[str, str]) -> Self:
        return replace(self, is_=names.get(self.is_, self.is_))  # type: ignore[type-var]

    def sentence(self) -> str:
        if self.in_ is not None:
            return f"will be in the segment “{self.is_}” {ahead_phrase(self.in_)}"
        return f"is in the segment “{self.is_}”" + (
            f", entered {self.entered.phrase()}" if self.entered else ""
        )

    def negated_sentence(self) -> str:
        if self.in_ is not None:
            return f"will not be in the segment “{self.is_}” {ahead_phrase(self.in_)}"
        return super().negated_sentence() if self.entered else f"is not in the segment “{self.is_}”"


@dataclass(frozen=True)
class SegmentMembers(Rule):
    """The members of a segment at an instant other than that of its last refresh: whom its rule matches then.

    Without a rule, they are the stored members. ``name`` is that of sentences.
    """

    slug: str
    name: str
    rule: Rule | None

    def q(self, context: EvaluationContext) -> Q:
        return self.rule.q(context) if self.rule else Q(Exists(_memberships_queryset(self.slug, context)))

    def parts(self, context: EvaluationContext) -> Sequence[tuple[Rule, EvaluationContext]]:
        return [(self.rule, context)] if self.rule else []

    def conditions(self) -> Iterator[Condition]:
        if self.rule:
            yield from self.rule.conditions()

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        return self.rule.may_flip(since, until) if self.rule else []

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        return self.rule.borders(context, within) if self.rule else []

    def statistics(self) -> list[Statistic]:
        return self.rule.statistics() if self.rule else []

    def references(self) -> set[str]:
        return super().references() | {self.slug}

    def span_ahead(self) -> timedelta:
        return self.rule.span_ahead() if self.rule else timedelta()

    def with_segment_names(self, names: Mapping[str, str]) -> Self:
        rule = self.rule and self.rule.with_segment_names(names)
        return replace(self, name=names.get(self.slug, self.slug), rule=rule)

    def sentence(self) -> str:
        return f"is in the segment “{self.name}”"

    def negated_sentence(self) -> str:
        return f"is not in the segment “{self.name}”"


def _memberships_queryset(slug: str, context: EvaluationContext) -> QuerySet[Membership]:
    return _members_queryset(slug).filter(customer=context.customer_key)


def _members_queryset(slug: str) -> QuerySet[Membership]:
    # Not joined: the members can be on other machines than the segments.
    return Membership.objects.filter(segment__in=Segment.objects.filter(slug=slug))
