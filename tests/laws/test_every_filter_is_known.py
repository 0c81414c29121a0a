"""The oracle and the random rules know every filter of the registry, with each parameter and each word."""

from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from segments.rules import Condition, registry
from segments.rules.catalogue import parameters_schema
from tests.support import oracle
from tests.support.oracle import matching
from tests.support.oracle_parameters import Filter, Kind
from tests.support.strategies import OF_PROPERTY, PARTS, instants, operands, parameters, shops
from tests.support.value_pools import ZONES

SHOPS = 25


def complaints(registered: Mapping[str, type[Condition]], known: Mapping[str, Filter]) -> list[str]:
    """Return a sentence for each filter, parameter and word that only one of the registry and the oracle knows."""
    said = [
        f"The filter {name} is registered, but the oracle does not know it: add it to tests/support/oracle.py."
        for name in registered.keys() - known.keys()
    ]
    said += [
        f"The oracle knows the filter {name}, which is not registered."
        for name in known.keys() - registered.keys()
    ]
    for name in registered.keys() & known.keys():
        said += differences(name, parameters_schema(registered[name]), known[name])
    return sorted(said)


def differences(name: str, schema: dict[str, Any], known: Filter) -> Iterator[str]:
    """Say where the parameters of a filter and what the oracle knows of them differ."""
    words, required = set(words_of(schema)), set(schema.get("required", ()))
    for word in words - known.words:
        yield f"The filter {name} takes {word}, which the oracle does not know."
    for word in known.words - words:
        yield f"The oracle has {name} take {word}, which the filter refuses."
    for parameter in required ^ known.required:
        yield f"The filter {name} and the oracle disagree on whether {parameter} must be given."
    if ("oneOf" in schema, "minProperties" in schema) != (bool(known.alone), known.needs_one):
        yield f"The filter {name} and the oracle disagree on whether one of several words must be given."
    if set(schema.get("not", {}).get("required", ())) != set(known.exclusive):
        yield f"The filter {name} and the oracle disagree on which parameters exclude one another."


def words_of(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Return the paths of all words of a JSON Schema; each choice of a value is a word."""
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from words_of(one, path)
    elif "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from words_of(inner, f"{path}.{name}" if path else name)
    elif "enum" in schema:
        yield from (f"{path}={choice}" for choice in schema["enum"])
    else:
        yield path


def test_the_oracle_knows_every_filter_with_every_parameter_and_word() -> None:
    assert complaints(registry, oracle.FILTERS) == []


def words_drawn(kind: Kind) -> set[str]:
    """Return the words, without their choices, that random rules use of a kind."""
    match kind.name:
        case "choice":
            return {""}
        case "product":
            return {f"{part}.{word}" for part, asked in PARTS.items() for word in asked}
        case "property":
            return {"property"}.union(*OF_PROPERTY)
        case _:
            return set(operands(kind)) if kind.words else set()


def test_random_rules_use_every_word_of_each_kind() -> None:
    kinds = {kind for known in oracle.FILTERS.values() for kind in (*known.alone, *known.named.values())}
    differing = {
        kind.name: {word.partition("=")[0] for word in kind.words} ^ words_drawn(kind) for kind in kinds
    }

    assert {name: words for name, words in differing.items() if words} == {}, (
        "see tests/support/strategies.py"
    )


def test_random_rules_give_every_parameter_and_match_some_customers_but_not_others() -> None:
    never_given = {(name, parameter) for name, known in oracle.FILTERS.items() for parameter in known.named}
    never_split = set(oracle.FILTERS)
    every = {name: st.tuples(*[parameters(known)] * 3) for name, known in oracle.FILTERS.items()}

    @settings(
        max_examples=SHOPS, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(shops(min_people=6), instants(), st.fixed_dictionaries(every))
    def draw(shop: oracle.Shop, at: Any, drawn: dict[str, Any]) -> None:
        everybody = {person.key for person in shop.people if person.met_at <= at}
        for name, several in drawn.items():
            for one in several:
                never_given.difference_update((name, parameter) for parameter in one)
                if name in never_split and set() < matching({name: one}, shop, at, ZONES[0]) < everybody:
                    never_split.remove(name)

    draw()
    assert never_given == set(), "random rules never give these parameters: see tests/support/strategies.py"
    assert never_split == set(), (
        "random rules and shops never tell customers apart by these: see tests/support/value_pools.py"
    )
