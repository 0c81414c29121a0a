"""Conditions: their parameters, query, displayed value and sentence; and the registry of filters."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, Literal, Protocol
from zoneinfo import ZoneInfo

from django.db.models import BigIntegerField, F, OuterRef, Q, QuerySet

from customers.models import COUNTING_STATUSES, Event, Order

from .errors import RuleError
from .late_params import LateInstant, LateParam
from .operators import Operator
from .population import PopulationStatistics, StatisticValue

FilterGroup = Literal["profile", "orders", "spending", "behaviour", "segments"]
Unit = Literal["count", "amount", "share", "days", "moment", "date", "text", "flag", "free"]


class Exposure(Enum):
    """Who may try a filter out, and see a customer's value in its explanation.

    With ``PERSONAL``, counting the matches of many rules would reveal contact data bit by bit.
    """

    OPEN = "all staff may use the filter and see the value"
    VALUE = "all staff may use the filter; the value is contact data"
    PERSONAL = "only staff who may see contact data may use the filter"


@dataclass(frozen=True, eq=False)
class EvaluationContext:
    """What a rule is evaluated with. No rule reads the clock.

    ``facts`` names the relation of a customer that holds the facts at ``at``. ``statistics`` are the population
    statistics at ``at``. A placeholder has no instant and no statistics yet.
    """

    at: Any  # a datetime, or the LateInstant of a placeholder
    zone: ZoneInfo
    facts: str = "facts"
    statistics: PopulationStatistics = field(default_factory=PopulationStatistics)
    is_placeholder: bool = False

    def late_param(self, fill: Callable[["EvaluationContext"], Any], output_field: Any = None) -> LateParam:
        """Return a parameter that ``fill`` computes from this context, or from the one that replaces it."""
        return LateParam(fill, self, output_field=output_field)

    def statistic(
        self, statistic: "Statistic", read: Callable[[Any], Any] = lambda value: value
    ) -> LateParam:
        """Return a parameter for a statistic, converted by ``read``; NULL if the population is empty."""

        def fill(context: EvaluationContext) -> Any:
            value = statistic.value_in(context)
            return None if value is None else read(value)

        return self.late_param(fill, BigIntegerField())

    def fact(self, name: str) -> F:
        return F(f"{self.facts}__{name}")

    def orders(self, *, counting: bool = True) -> QuerySet[Order]:
        """Return the orders of the outer query's customer, by default only those that count."""
        orders = Order.objects.filter(customer=OuterRef("pk"), placed_at__lte=self.at).order_by()
        return orders.filter(status__in=COUNTING_STATUSES) if counting else orders

    def events(self) -> QuerySet[Event]:
        """Return the events of the outer query's customer."""
        return Event.objects.filter(customer=OuterRef("pk"), occurred_at__lte=self.at).order_by()

    def existing_q(self) -> Q:
        """Build the query of customers first seen by the instant."""
        return Q(**{f"{self.facts}__first_seen_at__lte": self.at})


def placeholder_context(zone: ZoneInfo, facts: str = "facts") -> EvaluationContext:
    """Return a context to compile queries with before their instant is known."""
    placeholder = EvaluationContext(None, zone, facts, is_placeholder=True)
    object.__setattr__(placeholder, "at", LateInstant(placeholder))
    return placeholder


@dataclass(frozen=True)
class Statistic:
    """A population statistic that a condition needs.

    ``changes_with_time`` tells whether time alone can change it. ``is_from_totals`` tells whether it is computed from
    sums that fact updates maintain, which is cheap.
    """

    name: str
    compute: Callable[[EvaluationContext], StatisticValue]
    changes_with_time: bool = False
    is_from_totals: bool = False

    def value_in(self, context: EvaluationContext) -> StatisticValue:
        """Return the value in a context. It is computed once for each context."""
        return context.statistics.get_or_compute(self.name, lambda: self.compute(context))


class ParameterKind(Protocol):
    """A kind of parameter."""

    def parse(self, given: Any, path: str) -> Any:
        """Parse JSON; raise RuleError with the path if it is invalid."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the parameter."""


@dataclass(frozen=True)
class InlineParam:
    """A parameter whose operator is a key of the condition itself: ``{"order_count": {"at_least": 2}}``."""

    kinds: tuple[type[Operator], ...]
    required: bool = True


@dataclass(frozen=True)
class Param:
    """A parameter with its own name: ``{"order_count": {…, "during": {…}}}``."""

    kind: ParameterKind | type[Operator]
    required: bool


def inline_param(*kinds: type[Operator], required: bool = True) -> Any:
    """Declare an inline parameter. Of several kinds, the operator and its value decide which is parsed."""
    return (
        field(metadata={"parameter": InlineParam(kinds, required)})
        if required
        else field(default=None, metadata={"parameter": InlineParam(kinds, required)})
    )


def param(kind: ParameterKind | type[Operator]) -> Any:
    """Declare an optional parameter with its own name."""
    return field(default=None, metadata={"parameter": Param(kind, required=False)})


def required(kind: ParameterKind | type[Operator]) -> Any:
    """Declare a required parameter with its own name."""
    return field(metadata={"parameter": Param(kind, required=True)})


class Rule:
    """A rule: a condition, or a group of rules."""

    def q(self, context: EvaluationContext) -> Q:
        """Build the query of customers who match."""
        raise NotImplementedError

    def sentence(self) -> str:
        """Return the rule in English, to follow "everyone who"."""
        raise NotImplementedError

    def conditions(self) -> "Iterator[Condition]":
        """Yield every condition of the tree."""
        raise NotImplementedError

    def references(self) -> set[str]:
        """Return the slugs of the segments it refers to."""
        return {slug for condition in self.conditions() for slug in condition.referenced_segments()}


class Condition(Rule):
    """A filter with its parameters: a frozen dataclass whose fields are declared by ``param`` and its variants."""

    name: ClassVar[str]
    group: ClassVar[FilterGroup]
    label: ClassVar[str]
    unit: ClassVar[Unit]
    example: ClassVar[dict[str, Any]]
    needs_one: ClassVar[bool] = False
    """Whether at least one of the optional parameters is required."""
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

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        """Select customers whose answer can differ between two instants although nothing was recorded about them.

        Each query selects customers' keys from a short range of an index. Together they may select too many customers,
        but never too few. Filters on data without a history, such as contact data, select none.
        """
        return []

    def effective_exposure(self) -> Exposure:
        """Return the exposure with these parameters."""
        return self.exposure

    def statistics(self) -> list[Statistic]:
        """Return the population statistics that the condition needs."""
        return []

    def referenced_segments(self) -> set[str]:
        """Return the slugs of the segments it refers to."""
        return set()


@dataclass(frozen=True)
class Group(Rule):
    """Several rules combined."""

    rules: tuple[Rule, ...]
    word: ClassVar[str]

    def conditions(self) -> Iterator[Condition]:
        for rule in self.rules:
            yield from rule.conditions()


registry: dict[str, type[Condition]] = {}


def condition(
    name: str, *, group: FilterGroup, label: str, unit: Unit, example: dict[str, Any]
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
        cls.name, cls.group, cls.label, cls.unit, cls.example = name, group, label, unit, example
        registry[name] = cls
        return cls

    return register


def parse_condition(cls: type[Condition], given: Any, path: str) -> Condition:
    """Parse a condition's parameters from JSON; raise RuleError."""
    if not isinstance(given, dict):
        raise RuleError(path, "expected an object with the filter's parameters")
    taken: set[str] = set()
    values: dict[str, Any] = {}
    for item in fields(cls):  # type: ignore[arg-type]
        parameter = item.metadata["parameter"]
        if isinstance(parameter, InlineParam):
            words = {word for kind in parameter.kinds for word in kind.words}
            taken |= words
            if parameter.required or words & given.keys():
                values[item.name] = _parse_inline(parameter, given, path)
        else:
            name = item.name.rstrip("_")  # ``is_`` and ``name_``: Python and Condition have the plain names
            taken.add(name)
            if name in given:
                values[item.name] = parameter.kind.parse(given[name], f"{path}.{name}")
            elif parameter.required:
                raise RuleError(f"{path}.{name}", "missing")
    for name in given:
        if name not in taken:
            raise RuleError(
                f"{path}.{name}", f"is not a parameter of {cls.name}; expected {', '.join(sorted(taken))}"
            )
    if cls.needs_one and not values:
        raise RuleError(path, f"expected one or more of {', '.join(item.name for item in fields(cls))}")  # type: ignore[arg-type]
    return cls(**values)


def _parse_inline(parameter: InlineParam, given: Mapping[str, Any], path: str) -> Operator:
    words = list(dict.fromkeys(word for kind in parameter.kinds for word in kind.words))
    found = [word for word in words if word in given]
    if len(found) != 1:
        raise RuleError(
            path,
            f"expected exactly one of {', '.join(words)}" + (f"; found {', '.join(found)}" if found else ""),
        )
    kinds = [kind for kind in parameter.kinds if found[0] in kind.words]
    for kind in kinds[:-1]:
        try:
            return kind.read(given, path)
        except RuleError:
            continue
    if len(kinds) == 1:
        return kinds[0].read(given, path)
    try:
        return kinds[-1].read(given, path)
    except RuleError:
        raise RuleError(f"{path}.{found[0]}", _expected(kinds, found[0])) from None


def _expected(kinds: list[type[Operator]], word: str) -> str:
    values = {
        "is": "a text or a number",
        "is_not": "a text or a number",
        "between": "two numbers or two dates",
    }
    return f"expected {values.get(word, ' or '.join(kind.__name__.lower() for kind in kinds))}"
