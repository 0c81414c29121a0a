"""Filters on spending."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Q, QuerySet

from core.db.sql import Query
from core.values.decimals import SCALE, from_units
from segments.rules.base import Condition, Exposure, Preset, condition
from segments.rules.context import EvaluationContext, Statistic
from segments.rules.declarations import inline_param, param
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
from segments.rules.time_changes import borders_of_rows, orders_in_window

from .orders import counting_orders_queryset, limits_phrase


class _AmountCondition(Condition):
    prevented_by = ("order",)

    operator: Number | Relative
    during: Period | None

    def q(self, context: EvaluationContext) -> Q:
        value = self.value(context)
        if isinstance(self.operator, Number):
            return self.operator.q(value, SCALE)
        return relative_q(self.operator, self._threshold(self.operator), value, context)

    def statistics(self) -> list[Statistic]:
        return [self._threshold(self.operator)] if isinstance(self.operator, Relative) else []

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        queries = orders_in_window(since, until, self.during.spans if self.during else ())
        if isinstance(self.operator, Relative):
            value = self.value(until) if self.during else None
            queries.append(
                passed_buyers_queryset(self._threshold(self.operator), self.name, value, since, until)
            )
        return queries

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        spans = self.during.spans if self.during else ()
        return borders_of_rows(context.all_orders(), "placed_at", spans, context, within)

    def sentence(self) -> str:
        return self._phrase(self.operator.phrase())

    def detailed_sentence(self, context: EvaluationContext, money: Callable[[Decimal], str]) -> str:
        if isinstance(self.operator, Number):
            return self._phrase(self.operator.phrase(write=money))
        threshold = self._threshold(self.operator).value_in(context)
        return self._phrase(
            self.operator.phrase(money(from_units(threshold)) if isinstance(threshold, int) else "")
        )

    def _phrase(self, compared: str) -> str:
        raise NotImplementedError

    def _threshold(self, relative: Relative) -> Statistic:
        period = f" {self.during.phrase()}" if self.during else ""
        return threshold_statistic(
            relative, f"{self.name}{period}", self.value, changes_with_time=bool(self.during)
        )


@condition(
    "total_spent",
    group="spending",
    label="Total spent",
    unit="amount",
    example={"above": "average"},
    synonyms="spend, spent, spender, revenue, LTV, lifetime value, CLV, value, sales, turnover, money, amount, "
    "monetary, VIP, worth",
    presets=(
        Preset(
            "Top spenders",
            {"top_percent": 10},
            "VIP, top, best customers, big spenders, high value, whales, spend, LTV, revenue",
        ),
        Preset("Spent more than the average", {"above": "average"}, "above average, good customers, spend"),
    ),
)
class TotalSpent(_AmountCondition):
    """Sum of the values of all counting orders, or of those placed in a period. 0 without orders."""

    exposure = Exposure.OPEN

    operator: Number | Relative = inline_param(Number, Relative)
    during: Period | None = param(Period)

    def value(self, context: EvaluationContext) -> Any:
        if not self.during:
            return context.fact("total_spent")
        return coalesce_zero(aggregate_subquery(counting_orders_queryset(context, self.during), ORDER_VALUE))

    def _phrase(self, compared: str) -> str:
        return f"spent {compared}{limits_phrase(self.during)}"


@condition(
    "average_order_value",
    group="spending",
    label="Average order value",
    unit="amount",
    example={"at_least": 50},
    synonyms="AOV, order value, basket, basket size, basket value, ticket, spend per order, price",
)
class AverageOrderValue(_AmountCondition):
    """Mean value of counting orders. Missing without orders."""

    exposure = Exposure.OPEN

    operator: Number | Relative = inline_param(Number, Relative)
    during: Period | None = param(Period)

    def value(self, context: EvaluationContext) -> Any:
        if not self.during:
            return context.fact("average_order_value")
        return aggregate_subquery(
            counting_orders_queryset(context, self.during), RoundedRatio(ORDER_VALUE, Count("pk"))
        )

    def _phrase(self, compared: str) -> str:
        of = "of " if isinstance(self.operator, Number) else ""
        return f"has an average order value {of}{compared}{limits_phrase(self.during)}"
