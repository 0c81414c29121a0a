"""The filter that asks a rule ahead of time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self

from django.db.models import DateTimeField, Q, QuerySet, Value

from core.db.sql import Query
from core.durations import duration_text
from segments.rules import values
from segments.rules.base import Condition, Exposure, FindRule, Preset, Rule, condition
from segments.rules.context import EvaluationContext, Statistic
from segments.rules.declarations import NESTED_RULE, required
from segments.rules.groups import part_sentence
from segments.rules.parameters import Scalar

AHEAD_SPAN = Scalar(values.AHEAD)


@condition(
    "ahead",
    group="segments",
    label="In the future",
    unit="moment",
    example={"in": "7d", "rule": {"last_activity": {"not_within_last": "90d"}}},
    synonyms="ahead, future, soon, about to, will be, going to, at risk, next week, upcoming, before it happens, churn",
    presets=(
        Preset(
            "Will soon be inactive",
            {"in": "7d", "rule": {"last_activity": {"not_within_last": "90d"}}},
            "about to churn, about to be lost, soon inactive, at risk, win back early",
        ),
    ),
)
class Ahead(Condition):
    """The customer will match a rule after a time, if nothing more is recorded.

    The rule is asked for the later instant with the records of now. Averages and other statistics stay those of now,
    and so do contact data and fixed lists. A segment in the rule is asked by its own rule at the later instant, unless
    it is paused, failing or a fixed list.
    """

    verbs = ("will match", "will not match")
    exposure = Exposure.OPEN

    in_: timedelta = required(AHEAD_SPAN)
    rule: Rule = required(NESTED_RULE)

    def parts(self, context: EvaluationContext) -> Sequence[tuple[Rule, EvaluationContext]]:
        return [(self.rule, context.ahead(self.in_))]

    def conditions(self) -> Iterator[Condition]:
        yield self
        yield from self.rule.conditions()

    def references(self) -> set[str]:
        return self.rule.references()

    def nested_rule(self) -> Rule:
        return self.rule

    def with_nested_rule(self, rule: Rule) -> Self:
        return replace(self, rule=rule)  # type: ignore[type-var]

    def effective_exposure(self) -> Exposure:
        """Return the strictest exposure of its conditions."""
        found = {one.effective_exposure() for one in self.rule.conditions()}
        return next((one for one in (Exposure.PERSONAL, Exposure.VALUE) if one in found), self.exposure)

    def q(self, context: EvaluationContext) -> Q:
        return self.rule.q(context.ahead(self.in_))

    def value(self, context: EvaluationContext) -> Any:
        """Return the instant for which the rule is asked."""
        return Value(context.ahead(self.in_).at, output_field=DateTimeField())

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        return self.rule.may_flip(since.ahead(self.in_), until.ahead(self.in_))

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        return self.rule.borders(context.ahead(self.in_), within)

    def statistics(self) -> list[Statistic]:
        return self.rule.statistics()

    def span_ahead(self) -> timedelta:
        return self.in_ + self.rule.span_ahead()

    def expand(self, find_rule: FindRule, *, asks_rules: bool) -> Self:
        return self.with_nested_rule(self.rule.expand(find_rule, asks_rules=True))

    def with_segment_names(self, names: Mapping[str, str]) -> Self:
        return self.with_nested_rule(self.rule.with_segment_names(names))

    def sentence(self) -> str:
        return f"will be, {ahead_phrase(self.in_)}, a customer who {part_sentence(self.rule)}"

    def negated_sentence(self) -> str:
        return f"will not be, {ahead_phrase(self.in_)}, a customer who {part_sentence(self.rule)}"


def ahead_phrase(span: timedelta) -> str:
    return f"in {duration_text(span)} if nothing more is recorded"
