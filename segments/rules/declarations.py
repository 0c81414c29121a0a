"""How the parameters of a filter are declared, as fields of its class."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from .operators import Operator


class ParameterKind(Protocol):
    """A kind of parameter."""

    def parse(self, given: Any, path: str) -> Any:
        """Parse JSON; raise RuleError with the path if it is invalid."""

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the parameter."""


class NestedRule:
    """The kind of a parameter that is a rule. The parser of rules parses it, so it has no parser of its own."""


NESTED_RULE = NestedRule()


@dataclass(frozen=True)
class InlineParam:
    """A parameter whose operator is a key of the condition itself: ``{"order_count": {"at_least": 2}}``."""

    kinds: tuple[type[Operator], ...]
    required: bool = True


@dataclass(frozen=True)
class Param:
    """A parameter with its own name: ``{"order_count": {…, "during": {…}}}``."""

    kind: ParameterKind | type[Operator] | NestedRule
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


def required(kind: ParameterKind | type[Operator] | NestedRule) -> Any:
    """Declare a required parameter with its own name."""
    return field(metadata={"parameter": Param(kind, required=True)})
