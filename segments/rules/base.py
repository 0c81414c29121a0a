"""Rules, conditions and groups: their query, displayed value and sentence; and the registry of filters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, Literal, Self

from django.db.models import Q, QuerySet

from core.db.sql import Query

from .context import EvaluationContext, Statistic

FindRule = Callable[[str], "Rule | None"]
"""Returns the expanded rule of a segment by its slug; None if the segment answers by its stored members."""

FilterGroup = Literal["profile", "orders", "spending", "behaviour", "segments"]
Unit = Literal["count", "amount", "share", "days", "moment", "date", "text", "flag", "free"]


class Exposure(Enum):
    """Who may try a filter out, and see a customer's value in its explanation.

    With ``PERSONAL``, counting the matches of many rules would reveal contact data bit by bit.
    """

    OPEN = "all staff may use the filter and see the value"
    VALUE = "all staff may use the filter; the value is contact data"
    PERSONAL = "only staff who may see contact data may use the filter"


@dataclass(frozen=True)
class Preset:
    """A common question that a filter answers, and the words by which staff search for it, separated by commas.

    In ``parameters``, an empty text or list is what the person fills in.
    """

    label: str
    parameters: Mapping[str, Any]
    synonyms: str
    is_negated: bool = False


class Rule:
    """A rule: a condition, or a group of rules."""

    def q(self, context: EvaluationContext) -> Q:
        """Build the query of customers who match."""
        raise NotImplementedError

    def sentence(self) -> str:
        """Return the rule in English, to follow "everyone who"."""
        raise NotImplementedError

    def negated_sentence(self) -> str:
        """Return the opposite of the rule in English, to follow "everyone who"."""
        return f"is not a customer who {self.sentence()}"

    def with_segment_names(self, names: Mapping[str, str]) -> Self:
        """Return the rule for display, with names in place of the slugs of segments."""
        return self

    def parts(self, context: EvaluationContext) -> "Sequence[tuple[Rule, EvaluationContext]]":
        """Return the rules that it consists of, each with the context in which it is asked."""
        return ()

    def conditions(self) -> "Iterator[Condition]":
        """Yield every condition of the tree, also those asked ahead."""
        raise NotImplementedError

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        """Select customers whose answer can differ between two instants although nothing was recorded about them.

        Each query selects customers' keys from a short range of an index. Together they may select too many customers,
        but never too few. Filters on data without a history, such as contact data, select none.
        """
        return []

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        """Select the instants at which the answer can change if nothing more is recorded.

        Each query selects customers' keys as ``key`` with instants as ``border``. These are later than the instant of
        the records, and at most ``within`` later. The queries may select too many instants, but never too few: between
        two of them, no answer changes. With ``context.customer``, they are those of one customer.
        """
        return []

    def statistics(self) -> list[Statistic]:
        """Return the population statistics that it needs."""
        return []

    def references(self) -> set[str]:
        """Return the slugs of the segments it refers to."""
        return {slug for condition in self.conditions() for slug in condition.referenced_segments()}

    def expand(self, find_rule: FindRule, *, asks_rules: bool) -> "Rule":
        """Return the rule with the rules of other segments where these are asked in place of stored members.

        They are asked everywhere with ``asks_rules``, otherwise ahead only. Raises LookupError from ``find_rule``.
        """
        return self

    def span_ahead(self) -> timedelta:
        """Return how far ahead any of its conditions is asked."""
        return timedelta()


class Condition(Rule):
    """A filter with its parameters: a frozen dataclass whose fields are declared by ``param`` and its variants."""

    name: ClassVar[str]
    group: ClassVar[FilterGroup]
    label: ClassVar[str]
    unit: ClassVar[Unit]
    example: ClassVar[dict[str, Any]]
    synonyms: ClassVar[str]
    """Other words by which staff search for the filter, separated by commas."""
    presets: ClassVar[Sequence[Preset]]
    verbs: ClassVar[tuple[str, str]] = ("is", "is not")
    """How the rule editor asks for the condition and for its opposite, if no operator of the filter says it."""
    needs_one: ClassVar[bool] = False
    """Whether at least one of the optional parameters is required."""
    exclusive: ClassVar[Sequence[str]] = ()
    """Parameters of which at most one is given."""
    prevented_by: ClassVar[Sequence[str]] = ()
    """What a customer does that keeps time from changing the answer, as verbs to follow “unless they”."""
    exposure: ClassVar[Exposure] = Exposure.PERSONAL
    """A filter that does not declare its exposure is restricted to staff who may see contact data."""

    def value(self, context: EvaluationContext) -> Any:
        """Return the expression of the customer's value, which the explanation shows."""
        raise NotImplementedError

    def detailed_sentence(self, context: EvaluationContext, money: Callable[[Decimal], str]) -> str:
        """Return the sentence with the statistics that it compares with. ``money`` formats amounts."""
        return self.sentence()

    def conditions(self) -> "Iterator[Condition]":
        yield self

    def nested_rule(self) -> Rule | None:
        """Return the rule that is a parameter of the condition."""
        return None

    def with_nested_rule(self, rule: Rule) -> "Condition":
        """Return the condition with another rule as its parameter."""
        raise NotImplementedError

    def effective_exposure(self) -> Exposure:
        """Return the exposure with these parameters."""
        return self.exposure

    def referenced_segments(self) -> set[str]:
        """Return the slugs of the segments it refers to."""
        return set()


@dataclass(frozen=True)
class Group(Rule):
    """Several rules combined."""

    rules: tuple[Rule, ...]
    word: ClassVar[str]

    def with_segment_names(self, names: Mapping[str, str]) -> Self:
        return replace(self, rules=tuple(rule.with_segment_names(names) for rule in self.rules))

    def parts(self, context: EvaluationContext) -> Sequence[tuple[Rule, EvaluationContext]]:
        return [(rule, context) for rule in self.rules]

    def references(self) -> set[str]:
        return set().union(*(rule.references() for rule in self.rules))

    def conditions(self) -> Iterator[Condition]:
        for rule in self.rules:
            yield from rule.conditions()

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        return [query for rule in self.rules for query in rule.may_flip(since, until)]

    def borders(self, context: EvaluationContext, within: timedelta) -> list[Query]:
        return [query for rule in self.rules for query in rule.borders(context, within)]

    def statistics(self) -> list[Statistic]:
        return [statistic for rule in self.rules for statistic in rule.statistics()]

    def expand(self, find_rule: FindRule, *, asks_rules: bool) -> Self:
        expanded = tuple(rule.expand(find_rule, asks_rules=asks_rules) for rule in self.rules)
        return self if expanded == self.rules else replace(self, rules=expanded)

    def span_ahead(self) -> timedelta:
        return max(rule.span_ahead() for rule in self.rules)


registry: dict[str, type[Condition]] = {}


def condition(
    name: str,
    *,
    group: FilterGroup,
    label: str,
    unit: Unit,
    example: dict[str, Any],
    synonyms: str,
    presets: Sequence[Preset] = (),
) -> Callable[[type[Condition]], type[Condition]]:
    """Register a filter under its name. An incomplete declaration raises TypeError at import."""

    def register(cls: type[Condition]) -> type[Condition]:
        cls = dataclass(frozen=True)(cls)
        if name in registry:
            raise TypeError(f"the filter {name!r} is registered twice")
        if not cls.__doc__ or any("parameter" not in item.metadata for item in fields(cls)):  # type: ignore[arg-type]
            raise TypeError(
                f"the filter {name!r} needs a docstring, and inline_param(), param() or required() for each field"
            )
        if not synonyms:
            raise TypeError(f"the filter {name!r} needs the words by which staff search for it")
        cls.name, cls.group, cls.label, cls.unit, cls.example = name, group, label, unit, example
        cls.synonyms, cls.presets = synonyms, presets
        registry[name] = cls
        return cls

    return register
