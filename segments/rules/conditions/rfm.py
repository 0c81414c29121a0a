"""RFM: recency, frequency and monetary scores among the buyers."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Case, CharField, Q, QuerySet, Value, When
from django.db.models.functions import Concat
from django.db.models.lookups import GreaterThan, LessThanOrEqual

from core.values.decimals import from_units
from segments.rules import population
from segments.rules.base import Condition, Exposure, Preset, condition
from segments.rules.context import EvaluationContext, Statistic
from segments.rules.declarations import param
from segments.rules.formatting import format_instant, format_number
from segments.rules.late_params import LateParam
from segments.rules.lookups import MAX_BIGINT, MIN_BIGINT, constant_q
from segments.rules.measures import buyers_queryset
from segments.rules.operators import Number
from segments.rules.time_changes import customer_keys, orders_in_window, passed_by_statistic_q

SCORES = (1, 2, 3, 4, 5)
INSTANT_BOUNDS = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))
SCORED_FACTS = {"recency": "last_order_at", "frequency": "order_count", "monetary": "total_spent"}


@condition(
    "rfm",
    group="spending",
    label="RFM scores",
    unit="text",
    example={"recency": {"is": 5}, "monetary": {"at_least": 4}},
    synonyms="RFM, recency, frequency, monetary, score, quintile, champions, VIP, loyal, at risk, engagement, best "
    "customers",
    presets=(
        Preset(
            "Champions by RFM",
            {"recency": {"at_least": 4}, "frequency": {"at_least": 4}, "monetary": {"at_least": 4}},
            "champions, VIP, best customers, loyal",
        ),
        Preset(
            "Good customers at risk by RFM",
            {"recency": {"at_most": 2}, "frequency": {"at_least": 4}},
            "at risk, win back, churn, slipping away",
        ),
    ),
)
class Rfm(Condition):
    """Quintile scores from 1 to 5 among customers with a counting order. 5 is always the best score.

    A score is 1 plus the number of cuts that lie strictly below the customer's value. There are four cuts (20, 40, 60
    and 80 %, interpolated linearly, not rounded). The value is the number of orders for frequency and the total spent
    for monetary. The recency score is 6 minus the score of the time since the last order. Source: Hughes (1994),
    Strategic Database Marketing, with interpolated quintiles.
    """

    verbs = ("are", "are not")

    exposure = Exposure.OPEN

    needs_one = True
    recency: Number | None = param(Number)
    frequency: Number | None = param(Number)
    monetary: Number | None = param(Number)

    def _given_scores(self) -> dict[str, Number]:
        given = {"recency": self.recency, "frequency": self.frequency, "monetary": self.monetary}
        return {name: number for name, number in given.items() if number}

    def q(self, context: EvaluationContext) -> Q:
        query = Q()
        for name, number in self._given_scores().items():
            value = context.fact(SCORED_FACTS[name])
            # A customer without orders has no scores, although the order count is 0 and not missing.
            query &= Q(GreaterThan(context.fact("order_count"), 0)) & _scores_q(
                value, _cut_params(name, context), number
            )
        return query

    def statistics(self) -> list[Statistic]:
        return [_cuts_statistic(name) for name in self._given_scores()]

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        """Select buyers whose value a cut passes. Recency cuts are moments, so only orders change them."""
        queries = orders_in_window(since, until)
        for name in self._given_scores():
            bounds = INSTANT_BOUNDS if name == "recency" else (MIN_BIGINT, MAX_BIGINT)
            between = [
                passed_by_statistic_q(
                    SCORED_FACTS[name],
                    _cuts_statistic(name),
                    since,
                    until,
                    _cut_converter(name, place),
                    bounds,
                )
                for place in range(4)
            ]
            queries.append(customer_keys(until.facts_rows().filter(reduce(or_, between), order_count__gte=1)))
        return queries

    def value(self, context: EvaluationContext) -> Any:
        """Return the scores as "R5 F4 M3"."""
        parts: list[Any] = []
        for name in SCORED_FACTS:
            steps = [
                When(LessThanOrEqual(context.fact(SCORED_FACTS[name]), cut), then=Value(str(score)))
                for score, cut in zip(SCORES, _cut_params(name, context), strict=False)
            ]
            parts += [Value(f"{' ' if parts else ''}{name[0].upper()}"), Case(*steps, default=Value("5"))]
        scored = Concat(*parts, output_field=CharField())
        return Case(When(GreaterThan(context.fact("order_count"), 0), then=scored), default=Value(""))

    def sentence(self) -> str:
        phrase = ", ".join(
            f"{name} score of {number.phrase()}" for name, number in self._given_scores().items()
        )
        return f"has an RFM {phrase}"

    def detailed_sentence(self, context: EvaluationContext, money: Callable[[Decimal], str]) -> str:
        """Return the sentence with the values above which the scores from 2 to 5 begin."""
        write: dict[str, Callable[[int], str]] = {
            "recency": lambda cut: format_instant(
                population.EPOCH + cut * population.MICROSECOND, context.zone
            ),
            "frequency": lambda cut: format_number(Decimal(cut)),
            "monetary": lambda cut: money(from_units(cut)),
        }
        cuts = {name: _cuts_statistic(name).value_in(context) for name in self._given_scores()}
        scores = "; ".join(
            f"{name} 2 to 5 above {', '.join(map(write[name], found))}"
            for name, found in cuts.items()
            if isinstance(found, list)
        )
        return self.sentence() + (f" ({scores})" if scores else "")


def _cuts_statistic(name: str) -> Statistic:
    """Return the statistic with the greatest value of each score from 1 to 4.

    Recency cuts are moments of the last order. So time alone changes no score: a customer's time since the last order
    exceeds a cut exactly if the moment of the order is before the mirrored cut.
    """

    def compute(context: EvaluationContext) -> list[int] | None:
        cuts = population.quintile_cuts(buyers_queryset(context, context.fact(SCORED_FACTS[name])))
        if cuts is None:
            return None
        if name == "recency":
            return [-(-cut.numerator // cut.denominator) - 1 for cut in cuts]
        return [cut.numerator // cut.denominator for cut in cuts]

    return Statistic(f"rfm {name}", compute)


def _cut_converter(name: str, place: int) -> Callable[[Any], Any]:
    return lambda cuts: population.from_microseconds(cuts[place]) if name == "recency" else cuts[place]


def _cut_params(name: str, context: EvaluationContext) -> list[LateParam]:
    """Return late parameters for the four cuts. They are NULL if there are no buyers."""
    return [context.statistic(_cuts_statistic(name), _cut_converter(name, place)) for place in range(4)]


def _scores_q(value: Any, cuts: list[Any], number: Number) -> Q:
    """Build the query of values whose score fits."""
    query = constant_q(False)
    for score in filter(number.holds, SCORES):
        has_score = constant_q(True)
        if score > 1:
            has_score &= Q(GreaterThan(value, cuts[score - 2]))
        if score < 5:
            has_score &= Q(LessThanOrEqual(value, cuts[score - 1]))
        query |= has_score
    return query
