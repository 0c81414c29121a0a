"""What every condition is: data, a question, a value to show, and a way to say it."""

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
    """Who may try a filter out, and see a customer's value in its explanation."""

    OPEN = "everybody may ask, and see the value"
    VALUE = "everybody may ask; the value is contact data"
    PERSONAL = "only who may see contact data may ask: the answers tell the value, bit by bit"


@dataclass(frozen=True, eq=False)
class EvaluationContext:
    """What a rule is evaluated with. No rule reads the clock.

    ``facts`` names the relation of a customer whose rows hold at ``at``; ``figures`` are the statistics of the
    population then. A placeholder has no instant and no statistics yet.
    """

    at: Any  # a datetime, or the LateInstant of a placeholder
    zone: ZoneInfo
    facts: str = "facts"
    figures: PopulationStatistics = field(default_factory=PopulationStatistics)
    is_placeholder: bool = False

    def late_param(self, fill: Callable[["EvaluationContext"], Any], output_field: Any = None) -> LateParam:
        """Return a parameter that ``fill`` computes from this context, or from the one that replaces it."""
        return LateParam(fill, self, output_field=output_field)

    def figure(self, needed: "Statistic", read: Callable[[Any], Any] = lambda figure: figure) -> LateParam:
        """Return a parameter for a statistic, or for what ``read`` makes of it; NULL without a population."""

        def fill(context: EvaluationContext) -> Any:
            figure = needed.of(context)
            return None if figure is None else read(figure)

        return self.late_param(fill, BigIntegerField())

    def fact(self, name: str) -> F:
        """Refer to a fact of the customer."""
        return F(f"{self.facts}__{name}")

    def orders(self, *, counting: bool = True) -> QuerySet[Order]:
        """Refer to the customer's orders, by default the counting ones."""
        orders = Order.objects.filter(customer=OuterRef("pk"), placed_at__lte=self.at).order_by()
        return orders.filter(status__in=COUNTING_STATUSES) if counting else orders

    def events(self) -> QuerySet[Event]:
        """Refer to the customer's events."""
        return Event.objects.filter(customer=OuterRef("pk"), occurred_at__lte=self.at).order_by()

    def existing_q(self) -> Q:
        """Ask whether the customer had been seen."""
        return Q(**{f"{self.facts}__first_seen_at__lte": self.at})


def placeholder_context(zone: ZoneInfo, facts: str = "facts") -> EvaluationContext:
    """Return a placeholder, to compile queries before their instant is known."""
    placeholder = EvaluationContext(None, zone, facts, is_placeholder=True)
    object.__setattr__(placeholder, "at", LateInstant(placeholder))
    return placeholder


@dataclass(frozen=True)
class Statistic:
    """A figure of the population that a condition asks for.

    It ``moves`` where time alone can move it, and ``is_kept`` where it is read off sums that are kept up to date.
    """

    name: str
    compute: Callable[[EvaluationContext], StatisticValue]
    moves: bool = False
    is_kept: bool = False

    def of(self, context: EvaluationContext) -> StatisticValue:
        """Return the statistic in a context, computing it unless it is known."""
        return context.figures.of(self.name, lambda: self.compute(context))


class ParameterKind(Protocol):
    """A kind of parameter: reads itself from JSON, or raises RuleError with the path."""

    def parse(self, given: Any, path: str) -> Any:
        """Read a value."""

    def schema(self) -> dict[str, Any]:
        """Give its JSON Schema."""


@dataclass(frozen=True)
class InlineParam:
    """A parameter whose words stand in the condition itself: ``{"order_count": {"at_least": 2}}``."""

    kinds: tuple[type[Operator], ...]
    required: bool = True


@dataclass(frozen=True)
class Param:
    """A parameter under a name of its own: ``{"order_count": {…, "during": {…}}}``."""

    kind: ParameterKind | type[Operator]
    required: bool


def inline_param(*kinds: type[Operator], required: bool = True) -> Any:
    """Declare a parameter of flat words; of several kinds the word and its value tell which."""
    return (
        field(metadata={"parameter": InlineParam(kinds, required)})
        if required
        else field(default=None, metadata={"parameter": InlineParam(kinds, required)})
    )


def param(kind: ParameterKind | type[Operator]) -> Any:
    """Declare an optional parameter under its own name."""
    return field(default=None, metadata={"parameter": Param(kind, required=False)})


def required(kind: ParameterKind | type[Operator]) -> Any:
    """Declare a parameter under its own name that must be given."""
    return field(metadata={"parameter": Param(kind, required=True)})


class Rule:
    """A rule: a condition, or a group of rules."""

    def q(self, context: EvaluationContext) -> Q:
        """Ask who matches."""
        raise NotImplementedError

    def sentence(self) -> str:
        """Say it, to follow "everyone who"."""
        raise NotImplementedError

    def conditions(self) -> "Iterator[Condition]":
        """Give every condition of the tree."""
        raise NotImplementedError

    def references(self) -> set[str]:
        """Name the segments it refers to."""
        return {slug for condition in self.conditions() for slug in condition.referred()}


class Condition(Rule):
    """A filter with its parameters: a frozen dataclass whose fields are ``flat`` or ``named`` parameters."""

    name: ClassVar[str]
    group: ClassVar[FilterGroup]
    label: ClassVar[str]
    unit: ClassVar[Unit]
    example: ClassVar[dict[str, Any]]
    needs_one: ClassVar[bool] = False
    """Whether any one of its optional parameters has to be given."""
    exposure: ClassVar[Exposure] = Exposure.PERSONAL
    """Declared by each filter: one that declares nothing is kept to those who may see contact data."""

    def value(self, context: EvaluationContext) -> Any:
        """Refer to the customer's value that the question is about, for the explanation."""
        raise NotImplementedError

    def explained(self, context: EvaluationContext, money: Callable[[Decimal], str]) -> str:
        """Say it with the figures of the population that it compares with; ``money`` writes amounts."""
        return self.sentence()

    def conditions(self) -> "Iterator[Condition]":
        """Give itself."""
        yield self

    def may_flip(self, since: EvaluationContext, until: EvaluationContext) -> list[QuerySet[Any]]:
        """Name for whom the answer can differ between two instants although nothing was recorded about them.

        Each query gives customers' keys from a narrow range of an index; together they may name too many, never
        too few. Where a question has no past, as with contact data, they name nobody.
        """
        return []

    def exposed(self) -> Exposure:
        """Return who may ask with these parameters."""
        return self.exposure

    def needed(self) -> list[Statistic]:
        """Name the figures of the population it asks for."""
        return []

    def referred(self) -> set[str]:
        """Name the segments it refers to."""
        return set()


@dataclass(frozen=True)
class Group(Rule):
    """Rules taken together."""

    rules: tuple[Rule, ...]
    word: ClassVar[str]

    def conditions(self) -> Iterator[Condition]:
        """Give the conditions of all its rules."""
        for rule in self.rules:
            yield from rule.conditions()


registry: dict[str, type[Condition]] = {}


def condition(
    name: str, *, group: FilterGroup, label: str, unit: Unit, example: dict[str, Any]
) -> Callable[[type[Condition]], type[Condition]]:
    """Register a filter under its name; what it lacks shows at import, not at a customer's."""

    def register(cls: type[Condition]) -> type[Condition]:
        cls = dataclass(frozen=True)(cls)
        if name in registry:
            raise TypeError(f"the filter {name!r} is registered twice")
        if not cls.__doc__ or any("parameter" not in item.metadata for item in fields(cls)):  # type: ignore[arg-type]
            raise TypeError(f"the filter {name!r} needs a docstring, and flat() or named() for each field")
        cls.name, cls.group, cls.label, cls.unit, cls.example = name, group, label, unit, example
        registry[name] = cls
        return cls

    return register


def parse_condition(cls: type[Condition], given: Any, path: str) -> Condition:
    """Read a condition's parameters from JSON."""
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
            name = item.name.rstrip("_")  # ``is`` is a word of Python's own, ``name`` one of ours
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
