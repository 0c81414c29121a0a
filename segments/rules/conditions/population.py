"""Where the customer stands among the buyers: recency, frequency and monetary scores."""

from typing import Any

from django.db.models import Case, CharField, Q, Value, When
from django.db.models.functions import Concat
from django.db.models.lookups import GreaterThan, LessThanOrEqual

from segments.rules import figures
from segments.rules.asking import always
from segments.rules.base import AsOf, Condition, condition, named
from segments.rules.measures import buyers
from segments.rules.words import Number

SCORES = (1, 2, 3, 4, 5)
FACTS = {"recency": "last_order_at", "frequency": "order_count", "monetary": "total_spent"}


@condition(
    "rfm",
    group="spending",
    label="RFM scores",
    unit="text",
    example={"recency": {"is": 5}, "monetary": {"at_least": 4}},
)
class Rfm(Condition):
    """Quintile scores from 1 to 5 among customers with a counting order; 5 is best everywhere.

    A score is 1 plus how many of the four cuts (20, 40, 60, 80 %, interpolated linearly, not rounded) lie
    strictly below the value: the number of orders, the sum spent, or, for recency, 6 less the score of the time
    since the last order. Source: Hughes (1994), Strategic Database Marketing, with interpolated quintiles.
    """

    recency: Number | None = named(Number)
    frequency: Number | None = named(Number)
    monetary: Number | None = named(Number)

    def problems(self) -> dict[str, str]:
        """At least one score is asked for."""
        return {} if self._asked() else {"": "expected one or more of recency, frequency, monetary"}

    def _asked(self) -> dict[str, Number]:
        given = {"recency": self.recency, "frequency": self.frequency, "monetary": self.monetary}
        return {name: number for name, number in given.items() if number}

    def q(self, as_of: AsOf) -> Q:
        question = Q()
        for name, number in self._asked().items():
            cuts = _cuts(name, as_of)
            if cuts is None:
                return always(False)
            value = as_of.fact(FACTS[name])
            # Who has no order has no value to compare for recency; a count of 0 is none either.
            question &= Q(GreaterThan(as_of.fact("order_count"), 0)) & _scores_q(value, cuts, number)
        return question

    def value(self, as_of: AsOf) -> Any:
        """Give the scores as "R5 F4 M3"."""
        parts: list[Any] = []
        for name in FACTS:
            cuts = _cuts(name, as_of)
            if cuts is None:
                return Value("")
            steps = [
                When(LessThanOrEqual(as_of.fact(FACTS[name]), cut), then=Value(str(score)))
                for score, cut in zip(SCORES, cuts, strict=False)
            ]
            parts += [Value(f"{' ' if parts else ''}{name[0].upper()}"), Case(*steps, default=Value("5"))]
        scored = Concat(*parts, output_field=CharField())
        return Case(When(GreaterThan(as_of.fact("order_count"), 0), then=scored), default=Value(""))

    def sentence(self) -> str:
        said = ", ".join(f"{name} score {number.phrase()}" for name, number in self._asked().items())
        return f"has an RFM {said}"


def _cuts(name: str, as_of: AsOf) -> list[Any] | None:
    """Give the four greatest values below which a score ends: score 1 up to the first, and so on.

    For recency the cuts are kept as moments of the last order, so that time alone moves nobody: the time since a
    moment is above a cut exactly where the moment is before the mirrored one.
    """

    def compute() -> list[int] | None:
        cuts = figures.quintile_cuts(buyers(as_of, as_of.fact(FACTS[name])))
        if cuts is None:
            return None
        if name == "recency":
            return [-(-cut.numerator // cut.denominator) - 1 for cut in cuts]
        return [cut.numerator // cut.denominator for cut in cuts]

    cuts = as_of.figures.of(f"rfm {name}", compute)
    if not isinstance(cuts, list):
        return None
    return [figures.moment(cut) for cut in cuts] if name == "recency" else list(cuts)


def _scores_q(value: Any, cuts: list[Any], number: Number) -> Q:
    """Ask for the scores that fit, as the runs of values that have them."""
    question = always(False)
    for score in filter(number.holds, SCORES):
        one = always(True)
        if score > 1:
            one &= Q(GreaterThan(value, cuts[score - 2]))
        if score < 5:
            one &= Q(LessThanOrEqual(value, cuts[score - 1]))
        question |= one
    return question
