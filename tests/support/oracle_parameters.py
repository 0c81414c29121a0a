"""What filters take, as the contract says it: kinds of parameters with their words, and values that random rules try.

It shares no code with the product. `FILTERS` holds what the oracle knows; `tests.support.strategies` draws rules
from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import oracle_operators


@dataclass(frozen=True)
class Kind:
    """A kind of parameter.

    ``words`` has a path for each word that it takes ("at_least", "sku.is") and for each choice ("above=median");
    a single value has none. ``values`` are those that random rules try.
    """

    name: str
    words: frozenset[str] = frozenset()
    values: tuple[Any, ...] = ()
    is_required: bool = False

    def among(self, values: Sequence[Any]) -> Kind:
        """Return the kind with other values to try."""
        return replace(self, values=tuple(values))

    def required(self) -> Kind:
        """Return the kind for a parameter that must be given."""
        return replace(self, is_required=True)

    def paths(self, name: str) -> Iterable[str]:
        """Return the paths of its words below a parameter's name."""
        joined = [f"{name}{'' if word.startswith('=') else '.'}{word}" for word in self.words]
        return joined or [name]


def choice(*choices: str) -> Kind:
    """Return the kind of one text of a few."""
    return Kind("choice", frozenset(f"={one}" for one in choices), choices)


NUMBER = Kind("number", oracle_operators.NUMBER, (0, 1, 2, 3, 5, 1.5))
RELATIVE = Kind(
    "relative",
    frozenset({f"{word}={figure}" for word in ("above", "below") for figure in ("average", "median")})
    | {"top_percent", "bottom_percent"},
)
MOMENT = Kind("moment", oracle_operators.MOMENT)
PERIOD = Kind("period", oracle_operators.MOMENT - {"ever", "not_within_last"})
TEXT = Kind("text", oracle_operators.TEXT)
LIST = Kind("list", oracle_operators.LIST)
PRODUCT = Kind(
    "product",
    frozenset(
        f"{part}.{word}" for part in ("sku", "name", "category", "brand") for word in oracle_operators.TEXT
    ),
)
PROPERTY = Kind("property", frozenset({"property"}) | oracle_operators.TEXT | oracle_operators.NUMBER)
FLAG = Kind("flag")
SPAN = Kind("span")
SPAN_AHEAD = Kind("span ahead")
RULE = Kind("rule")
DAYS = Kind("days")
NAME = Kind("name")
BUCKETS = Kind("buckets")


@dataclass(frozen=True)
class Filter:
    """What a filter takes, and whom it matches.

    Of the words of the kinds that stand ``alone`` exactly one is given; ``named`` parameters have a name of their own,
    of the ``exclusive`` ones at most one is given.
    """

    alone: tuple[Kind, ...]
    named: Mapping[str, Kind]
    needs_one: bool
    exclusive: tuple[str, ...]
    matching: Callable[[oracle_operators.Words, Any], set[str]]

    @property
    def words(self) -> set[str]:
        """Return the paths of all words it takes."""
        return {word for kind in self.alone for word in kind.words} | {
            path for name, kind in self.named.items() for path in kind.paths(name)
        }

    @property
    def required(self) -> set[str]:
        """Return the names of the parameters that must be given."""
        return {name for name, kind in self.named.items() if kind.is_required}


FILTERS: dict[str, Filter] = {}

Function = Callable[[oracle_operators.Words, Any], set[str]]


def takes(
    *alone: Kind, needs_one: bool = False, exclusive: tuple[str, ...] = (), **named: Kind
) -> Callable[[Function], Function]:
    """Tell the oracle a filter: the function of its name, and its parameters (``is_`` for the word ``is``)."""

    def tell(function: Function) -> Function:
        parameters = {name.rstrip("_"): kind for name, kind in named.items()}
        FILTERS[function.__name__] = Filter(alone, parameters, needs_one, exclusive, function)
        return function

    return tell
