"""How much the customer spent."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, QuerySet

from core.values.decimals import SCALE, from_units
from segments.rules.base import (
    Condition,
    EvaluationContext,
    Exposure,
    Statistic,
    condition,
    inline_param,
    param,
)
from segments.rules.measures import (
    ORDER_VALUE,
    RoundedRatio,
    aggregate_subquery,
    coalesce_zero,
    passed_buyers_queryset,
    relative_q,
    threshold_statistic,
)
from segments.rules.operators import Number, Period, Relative
from segments.rules.time_changes import orders_in_window

from .orders import counting_orders_queryset, limits_phrase


class _AmountCondition(Condition):
    words: Number | Relative
    during: Period | None

    def q(self, context: EvaluationContext) -> Q:
        value = self.value(context)
        if isinstance(self.words, Number):
            return self.words.q(value, SCALE)
        return relative_q(self.words, self._cut(self.words), value, context)

    def needed(self) -> list[Statistic]:
        return [self._cut(self.words)] if isinstance(self.words, Relative) else []

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        queries = orders_in_window(since, until, self.during.spans if self.during else ())
        if isinstance(self.words, Relative):
            value = self.value(until) if self.during else None
            queries.append(passed_buyers_queryset(self._cut(self.words), self.name, value, since, until))
        return queries

    def sentence(self) -> str:
        return self._said(self.words.phrase())

    def explained(self, context: EvaluationContext, money: Callable[[Decimal], str]) -> str:
        if isinstance(self.words, Number):
            return self._said(self.words.phrase(write=money))
        figure = self._cut(self.words).of(context)
        return self._said(self.words.phrase(money(from_units(figure)) if isinstance(figure, int) else ""))

    def _said(self, compared: str) -> str:
        raise NotImplementedError

    def _cut(self, words: Relative) -> Statistic:
        period = f" {self.during.phrase()}" if self.during else ""
        return threshold_statistic(words, f"{self.name}{period}", self.value, moves=bool(self.during))


@condition("total_spent", group="spending", label="Total spent", unit="amount", example={"above": "average"})
class TotalSpent(_AmountCondition):
    """Sum of the value of counting orders, 0 for none; with a period, of those placed in it."""

    exposure = Exposure.OPEN

    words: Number | Relative = inline_param(Number, Relative)
    during: Period | None = param(Period)

    def value(self, context: EvaluationContext) -> Any:
        if not self.during:
            return context.fact("total_spent")
        return coalesce_zero(aggregate_subquery(counting_orders_queryset(context, self.during), ORDER_VALUE))

    def _said(self, compared: str) -> str:
        return f"spent {compared}{limits_phrase(self.during)}"


@condition(
    "average_order_value",
    group="spending",
    label="Average order value",
    unit="amount",
    example={"at_least": 50},
)
class AverageOrderValue(_AmountCondition):
    """Mean value of counting orders; missing for none."""

    exposure = Exposure.OPEN

    words: Number | Relative = inline_param(Number, Relative)
    during: Period | None = param(Period)

    def value(self, context: EvaluationContext) -> Any:
        if not self.during:
            return context.fact("average_order_value")
        return aggregate_subquery(
            counting_orders_queryset(context, self.during), RoundedRatio(ORDER_VALUE, Count("pk"))
        )

    def _said(self, compared: str) -> str:
        of = "of " if isinstance(self.words, Number) else ""
        return f"has an average order value {of}{compared}{limits_phrase(self.during)}"
