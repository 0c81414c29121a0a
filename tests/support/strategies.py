"""Hypothesis strategies for rules, shops and instants that often meet: both draw from the same small pools.

`rules()` draws valid rules over every filter and word that the oracle knows, `shops()` shops of up to twelve people,
`instants()` the moments to evaluate at. `CONDITIONS` has a strategy for the parameters of each filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

from hypothesis import strategies as st

from . import oracle, value_pools
from .oracle_parameters import Filter, Kind
from .strategies_shops import instants, shops

__all__ = ["CONDITIONS", "conditions", "instants", "rules", "shops"]

Json = dict[str, Any]
Words = st.SearchStrategy[Json]
Operands = dict[str, st.SearchStrategy[Any]]
"""For each word of a kind, what it may be given."""


# Words of each kind -------------------------------------------------------------------------------


def words(singles: dict[str, st.SearchStrategy[Any]]) -> Words:
    """Exactly one of the words, with its operand."""
    return st.one_of(*(st.fixed_dictionaries({word: operand}) for word, operand in singles.items()))


def both(*parts: Words) -> Words:
    """The parameters of all parts in one object."""
    return st.tuples(*parts).map(
        lambda drawn: {word: value for part in drawn for word, value in part.items()}
    )


def at_times(**optional: st.SearchStrategy[Any]) -> Words:
    """Some of the optional parameters; every other time none, or conditions would seldom be met."""
    return st.one_of(st.just({}), st.fixed_dictionaries({}, optional=optional))


def listed(pool: Sequence[str]) -> Operands:
    """Words about lists."""
    one = st.sampled_from(pool)
    several = st.lists(one, min_size=1, max_size=3)
    return {"has": one, "has_any": several, "has_all": several}


def pairs(one: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.tuples(one, one).map(sorted)


def number(pool: Sequence[float]) -> Operands:
    one = st.sampled_from(pool)
    singles = ["is", "is_not", "at_least", "more_than", "at_most", "less_than"]
    return {**dict.fromkeys(singles, one), "between": pairs(one)}


def text(pool: Sequence[str]) -> Operands:
    """Words about texts like the pool's: in other case and spelling, in part, and with SQL's wildcards."""
    cased = sorted(
        {
            form
            for one in pool
            for form in (one, one.upper(), one.lower(), one.swapcase(), normalize("NFD", one))
        }
    )
    parts = sorted(
        {part for one in cased for part in (one, one[:2], one[:-1], one[1:3]) if part.strip() == part != ""}
    )
    one, part = st.sampled_from(cased), st.sampled_from([*parts, "%", "_", "\\"])
    several = st.lists(one, min_size=1, max_size=3, unique=True)
    return {
        **dict.fromkeys(["is", "is_not"], one),
        **dict.fromkeys(["in", "not_in"], several),
        **dict.fromkeys(["contains", "starts_with"], part),
        "exists": st.booleans(),
    }


SPANS = st.sampled_from(value_pools.SPANS)
DAYS = st.sampled_from(["0d", "1d", "7d", "30d", "365d"])
DATES = st.sampled_from([day.isoformat() for day in value_pools.DATES])
FIXED = {"before": DATES, "on_or_after": DATES, "between": pairs(DATES)}

PERIOD: Operands = {"within_last": SPANS, **FIXED}
MOMENT: Operands = {"within_last": SPANS, "not_within_last": SPANS, "ever": st.booleans(), **FIXED}
LATELY = words(dict.fromkeys(["within_last", "not_within_last"], SPANS))


@st.composite
def nested_rules(draw: st.DrawFn, *, swept: bool) -> Json:
    """Rules that are asked ahead. They are drawn late, since conditions that contain them contain themselves."""
    return draw(ANY_SWEPT if swept else NESTED_RULE)


SPANS_AHEAD = st.sampled_from(["1d", "7d", "30d", "4w", "12h", "90m", "120d"])
SWEPT_KINDS = {
    "moment": LATELY,
    "period": words({"within_last": SPANS}),
    "span": SPANS,
    "days": DAYS,
    "rule": nested_rules(swept=True),
}

PERCENT = st.sampled_from([1, 20, 33.3, 50, 62.5, 100])
FIGURE = st.sampled_from(["average", "median"])
RELATIVE: Operands = {"above": FIGURE, "below": FIGURE, "top_percent": PERCENT, "bottom_percent": PERCENT}

PARTS = {
    "sku": text(value_pools.SKUS),
    "name": text(value_pools.NAMES),
    "category": text(value_pools.CATEGORIES),
    "brand": text(value_pools.BRANDS),
}
ONE_PART: Operands = {part: words(asked) for part, asked in PARTS.items()}
PRODUCT = st.one_of(words(ONE_PART), both(words(ONE_PART), words(ONE_PART)))

OF_PROPERTY = (text(value_pools.FREE_TEXTS), number(value_pools.FREE_NUMBERS))
PROPERTY = both(
    st.fixed_dictionaries({"property": st.sampled_from(value_pools.PROPERTY_NAMES)}),
    st.one_of(*map(words, OF_PROPERTY)),
)


# Filters ------------------------------------------------------------------------------------------


def operands(kind: Kind) -> Operands:
    """What each word of a kind may be given."""
    match kind.name:
        case "number":
            return number(kind.values)
        case "text":
            return text(kind.values)
        case "list":
            return listed(kind.values)
        case name:
            return {"moment": MOMENT, "period": PERIOD, "relative": RELATIVE}[name]


def drawn(kind: Kind) -> st.SearchStrategy[Any]:
    """Values of a kind of parameter; for one with words, objects with one of them."""
    match kind.name:
        case "choice" | "name":
            return st.sampled_from(kind.values)
        case name if name in VALUES:
            return VALUES[name]
        case _:
            return words(operands(kind))


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "product": PRODUCT,
    "property": PROPERTY,
    "flag": st.booleans(),
    "span": SPANS,
    "span ahead": SPANS_AHEAD,
    "rule": nested_rules(swept=False),
    "days": DAYS,
    "buckets": pairs(st.sampled_from([0, 10, 25, 49, 50, 75, 99])),
}


def parameters(filter_: Filter) -> Words:
    """Parameters of a filter that the oracle knows: what it needs, and some of the others."""
    optional = {name: drawn(kind) for name, kind in filter_.named.items() if not kind.is_required}
    if filter_.needs_one:
        return st.one_of(words(optional), st.fixed_dictionaries(optional))
    needed = {name: drawn(kind) for name, kind in filter_.named.items() if kind.is_required}
    alone = [st.one_of(*map(drawn, filter_.alone))] if filter_.alone else []
    some = at_times(**optional) if alone or needed else st.fixed_dictionaries({}, optional=optional)
    return one_of_exclusive(filter_, both(st.fixed_dictionaries(needed), *alone, some))


def one_of_exclusive(filter_: Filter, drawn: Words) -> Words:
    """Keep one of the parameters of which at most one is given."""

    def kept(given: Json) -> Json:
        others = [name for name in given if name in filter_.exclusive][1:]
        return {name: value for name, value in given.items() if name not in others}

    return drawn.map(kept) if filter_.exclusive else drawn


def swept(filter_: Filter) -> Words | None:
    """Parameters by which time alone changes a filter's answer, if there are any."""
    moments = [kind for kind in filter_.alone if kind.name == "moment"]
    timed = {name: SWEPT_KINDS[kind.name] for name, kind in filter_.named.items() if kind.name in SWEPT_KINDS}
    if not moments and not timed:
        return None
    spans = {name for name, kind in filter_.named.items() if kind.name == "span" and not kind.is_required}
    always = {name: strategy for name, strategy in timed.items() if name not in spans}
    needed = {name: drawn(kind) for name, kind in filter_.named.items() if kind.is_required}
    others = {name: drawn(kind) for name, kind in filter_.named.items() if name not in needed | always}
    alone = [LATELY] if moments else [st.one_of(*map(drawn, filter_.alone))] if filter_.alone else []
    return one_of_exclusive(filter_, both(st.fixed_dictionaries(needed | always), *alone, at_times(**others)))


CONDITIONS: dict[str, Words] = {name: parameters(known) for name, known in oracle.FILTERS.items()}


# Rules --------------------------------------------------------------------------------------------

ANY_CONDITION = words(CONDITIONS)
SWEPT: dict[str, Words] = {
    name: strategy for name, known in oracle.FILTERS.items() if (strategy := swept(known)) is not None
}
"""What time alone changes: of all conditions few do, and seldom."""
ANY_SWEPT: Words = words({name: strategy for name, strategy in SWEPT.items() if name != "ahead"})


def conditions() -> Words:
    """One condition, without groups."""
    return ANY_CONDITION


def rules(max_leaves: int = 8) -> Words:
    """A condition, or groups of groups of them; far from the limits of depth and number."""
    return st.recursive(ANY_CONDITION, groups, max_leaves=max_leaves)


def groups(children: Words) -> Words:
    some = st.lists(children, min_size=1, max_size=3)
    return words({"all": some, "any": some, "none": some})


NESTED_RULE: Words = st.one_of(
    words({name: strategy for name, strategy in CONDITIONS.items() if name != "ahead"}),
    ANY_SWEPT,
    st.recursive(ANY_SWEPT, groups, max_leaves=3),
    words({"ahead": st.fixed_dictionaries({"in": SPANS_AHEAD, "rule": ANY_SWEPT})}),
)
"""Rules that are asked ahead."""
