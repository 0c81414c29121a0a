"""Hypothesis strategies for rules, shops and instants that often meet: both draw from the same small pools.

`rules()` gives valid rules over every filter and word, `shops()` shops of up to twelve people, `instants()`
the moments to evaluate at. `CONDITIONS` has a strategy for the parameters of each filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

from hypothesis import strategies as st

from tests import pools
from tests.strategies_shops import instants, shops

__all__ = ["CONDITIONS", "conditions", "instants", "rules", "shops"]

Json = dict[str, Any]
Words = st.SearchStrategy[Json]


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


def listed(pool: Sequence[str]) -> Words:
    """Words about lists."""
    one = st.sampled_from(pool)
    several = st.lists(one, min_size=1, max_size=3)
    return words({"has": one, "has_any": several, "has_all": several})


def pairs(one: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.tuples(one, one).map(sorted)


def number(pool: Sequence[float]) -> Words:
    one = st.sampled_from(pool)
    singles = ["is", "is_not", "at_least", "more_than", "at_most", "less_than"]
    return words({**dict.fromkeys(singles, one), "between": pairs(one)})


def text(pool: Sequence[str]) -> Words:
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
    return words(
        {
            **dict.fromkeys(["is", "is_not"], one),
            **dict.fromkeys(["in", "not_in"], several),
            **dict.fromkeys(["contains", "starts_with"], part),
            "exists": st.booleans(),
        }
    )


SPANS = st.sampled_from(pools.SPANS)
DATES = st.sampled_from([day.isoformat() for day in pools.DATES])
FIXED = {"before": DATES, "on_or_after": DATES, "between": pairs(DATES)}

PERIOD = words({"within_last": SPANS, **FIXED})
MOMENT = words({"within_last": SPANS, "not_within_last": SPANS, "ever": st.booleans(), **FIXED})

PERCENT = st.sampled_from([1, 20, 33.3, 50, 62.5, 100])
FIGURE = st.sampled_from(["average", "median"])
RELATIVE = words({"above": FIGURE, "below": FIGURE, "top_percent": PERCENT, "bottom_percent": PERCENT})

COUNT = number(pools.COUNTS)
AMOUNT = number(pools.AMOUNTS)
SCORE = number([1, 2, 3, 4, 5])

FIELDS = {
    "sku": text(pools.SKUS),
    "name": text(pools.NAMES),
    "category": text(pools.CATEGORIES),
    "brand": text(pools.BRANDS),
}
PRODUCT = st.one_of(
    *(st.fixed_dictionaries({field: asked}) for field, asked in FIELDS.items()),
    both(words(FIELDS), words(FIELDS)),
)
COUPON = text(pools.COUPONS)
WHERE = both(
    st.fixed_dictionaries({"property": st.sampled_from(pools.PROPERTY_NAMES)}),
    text(pools.FREE_TEXTS) | number(pools.FREE_NUMBERS),
)


# Filters ------------------------------------------------------------------------------------------

CONDITIONS: dict[str, Words] = {
    "known": words({"is": st.booleans()}),
    "newsletter": words({"is": st.sampled_from(["subscribed", "unsubscribed", "never", "pending"])}),
    "first_seen": MOMENT,
    "order_count": both(COUNT, at_times(during=PERIOD, product=PRODUCT, coupon=COUPON)),
    "first_order": MOMENT,
    "last_order": MOMENT,
    "total_spent": both(AMOUNT | RELATIVE, at_times(during=PERIOD)),
    "average_order_value": both(AMOUNT | RELATIVE, at_times(during=PERIOD)),
    "days_between_orders": number(pools.GAPS),
    "discounted_order_share": both(number(pools.SHARES), at_times(during=PERIOD)),
    "last_activity": MOMENT,
    "session_count": both(COUNT, at_times(during=PERIOD)),
    "open_cart": both(words({"within_last": SPANS}), at_times(older_than=SPANS, value=AMOUNT)),
    "event_count": both(
        COUNT,
        at_times(event=st.sampled_from(pools.EVENT_NAMES)),
        at_times(during=PERIOD, product=PRODUCT, where=WHERE),
    ),
    "rfm": st.one_of(
        words({"recency": SCORE, "frequency": SCORE, "monetary": SCORE}),
        st.fixed_dictionaries({"recency": SCORE, "frequency": SCORE, "monetary": SCORE}),
    ),
    "contact": words({"has": st.sampled_from(["email", "phone"])}),
    "subscribed_at": MOMENT,
    "country": text(pools.COUNTRIES),
    "language": text(pools.LANGUAGES),
    "city": text(pools.CITIES),
    "source": text(pools.SOURCES),
    "attribute": both(
        st.fixed_dictionaries({"name": st.sampled_from(pools.ATTRIBUTE_NAMES)}),
        text(pools.FREE_TEXTS) | number(pools.FREE_NUMBERS) | MOMENT | listed(pools.LIST_TEXTS),
    ),
    "birthday": words({"within_next": st.sampled_from(["0d", "1d", "7d", "30d", "365d"])}),
    "bought": both(words({"product": PRODUCT}), at_times(during=PERIOD, coupon=COUPON)),
    "viewed": both(words({"product": PRODUCT}), at_times(during=PERIOD, and_not_bought=st.just(True))),
    "refund_count": both(COUNT, at_times(during=PERIOD)),
    "in_segment": both(words({"is": st.sampled_from(pools.SLUGS)}), at_times(entered=MOMENT)),
    "random_bucket": both(
        words({"between": pairs(st.sampled_from([0, 10, 25, 49, 50, 75, 99]))}),
        at_times(salt=st.sampled_from(["a", "spring", "ß"])),
    ),
}


# Rules --------------------------------------------------------------------------------------------

ANY_CONDITION = words(CONDITIONS)


def conditions() -> Words:
    """One condition, without groups."""
    return ANY_CONDITION


def rules(max_leaves: int = 8) -> Words:
    """A condition, or groups of groups of them; far from the limits of depth and number."""
    return st.recursive(ANY_CONDITION, groups, max_leaves=max_leaves)


def groups(children: Words) -> Words:
    some = st.lists(children, min_size=1, max_size=3)
    return words({"all": some, "any": some, "none": some})
