"""Hypothesis strategies for shops, and for the instants to look at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from math import prod
from typing import Any

from hypothesis import strategies as st

from . import value_pools
from .oracle_shop import Event, Order, Person, Shop

# Integers beyond 24 bits are mostly drawn small, which would leave the last choices at their first value.
MOST_COMBINATIONS = 2**24


def instants() -> st.SearchStrategy[datetime]:
    """Moments to evaluate at: mostly the one around which the histories lie."""
    return st.just(value_pools.BASE) | st.just(value_pools.BASE) | st.sampled_from(value_pools.INSTANTS)


def shops(
    recorded_at: datetime = value_pools.RECORDED_AT,
    max_people: int = 12,
    lines_without_sku: bool = True,
    min_people: int = 0,
) -> st.SearchStrategy[Shop]:
    """Shops that any instant may find empty, crowded, or full of people who are still to come.

    Ids, e-mail addresses and phone numbers are unique. Visitors (without a customer_id) have only events.
    Both static segments exist, with or without members.
    """
    known = customers(recorded_at, lines_without_sku)
    people = st.lists(known | known | visitors(recorded_at), min_size=min_people, max_size=max_people)
    members = st.lists(each(value_pools.SLUGS, range(max_people), value_pools.MOMENTS), max_size=6)
    return st.builds(assembled, people, members)


def each(*choices: Sequence[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """One value of each sequence in a single draw: a draw for each would take most of a test's time."""
    combinations = prod(map(len, choices))
    assert combinations <= MOST_COMBINATIONS

    def values(number: int) -> tuple[Any, ...]:
        drawn = []
        for choice in choices:
            number, index = divmod(number, len(choice))
            drawn.append(choice[index])
        return tuple(drawn)

    return st.integers(0, combinations - 1).map(values)


# Records ------------------------------------------------------------------------------------------


def orders(lines_without_sku: bool) -> st.SearchStrategy[tuple[Order, ...]]:
    some = value_pools.LINES + (value_pools.LINES_WITHOUT_SKU if lines_without_sku else ())
    lines = [(), *((one,) for one in some), *((one, other) for one in some for other in some)]
    money = each(
        value_pools.MOMENTS,
        value_pools.TOTALS,
        value_pools.REDUCTIONS,
        value_pools.REDUCTIONS,
        value_pools.COUPONS_OR_NONE,
    )
    order = st.builds(order_of, money, each(value_pools.STATUSES, value_pools.CURRENCIES, lines))
    return st.lists(order, max_size=5).map(tuple)


def order_of(money: tuple[Any, ...], rest: tuple[Any, ...]) -> Order:
    placed_at, total, discount_total, refunded_total, coupon_code = money
    status, currency, lines = rest
    return Order(
        order_id="",
        placed_at=placed_at,
        status=status,
        total=total,
        discount_total=discount_total,
        refunded_total=refunded_total,
        currency=currency,
        coupon_code=coupon_code,
        lines=lines,
    )


EVENT = each(
    value_pools.MOMENTS,
    value_pools.STEPS,
    value_pools.EVENT_NAMES,
    value_pools.PRODUCT_PROPERTIES,
    value_pools.FREE_PROPERTIES,
).map(lambda drawn: event_of(*drawn))


def event_of(time: datetime, step: Any, name: str, product: dict[str, Any], free: dict[str, Any]) -> Event:
    return Event("", name, time + step, product | free)


# People -------------------------------------------------------------------------------------------


def customers(recorded_at: datetime, lines_without_sku: bool) -> st.SearchStrategy[Person]:
    """People with a customer_id; the ids themselves come with `numbered`."""
    return st.builds(
        person_of,
        st.just(recorded_at),
        each(
            *([None, "{}@example.com"], [None, None, "+4915112345{:03}"], [None, "Ünï"], [None, "O'Neill"]),
            *(
                [None, *choice]
                for choice in (
                    value_pools.COUNTRIES,
                    value_pools.CITIES,
                    value_pools.LANGUAGES,
                    value_pools.SOURCES,
                )
            ),
        ),
        each(
            [None, *value_pools.BIRTHS],
            value_pools.CONSENTS,
            value_pools.MOMENTS_OR_NONE,
            value_pools.MOMENTS_OR_NONE,
        ),
        st.lists(each(value_pools.ATTRIBUTE_NAMES, value_pools.ATTRIBUTE_CELLS), max_size=4).map(dict),
        orders(lines_without_sku),
        st.lists(EVENT, max_size=5).map(tuple),
    )


def person_of(
    recorded_at: datetime,
    contact: tuple[Any, ...],
    dates: tuple[Any, ...],
    attributes: dict[str, str],
    orders: tuple[Order, ...],
    events: tuple[Event, ...],
) -> Person:
    email, phone, first_name, last_name, country, city, language, source = contact
    birth_date, newsletter, subscribed_at, first_seen = dates
    return Person(
        recorded_at=recorded_at,
        customer_id="",
        email=email,
        phone=phone,
        first_name=first_name,
        last_name=last_name,
        country=country,
        city=city,
        language=language,
        source=source,
        birth_date=birth_date,
        newsletter=newsletter,
        # Who never subscribed has no moment of it.
        subscribed_at=None if newsletter == "never" else subscribed_at,
        first_seen=first_seen,
        attributes=attributes,
        orders=orders,
        events=events,
    )


def visitors(recorded_at: datetime) -> st.SearchStrategy[Person]:
    """People met only under a browser's id: nothing is known of them but events."""
    return st.builds(
        Person,
        recorded_at=st.just(recorded_at),
        anonymous_id=st.just(""),
        events=st.lists(EVENT, min_size=1, max_size=4).map(tuple),
    )


# Shops --------------------------------------------------------------------------------------------


def assembled(people: list[Person], members: list[tuple[str, int, datetime]]) -> Shop:
    everybody = tuple(numbered(n, person) for n, person in enumerate(people))
    inside = [(slug, everybody[n].key, entered) for slug, n, entered in members if n < len(everybody)]
    return Shop(
        everybody,
        {slug: {key: entered for its, key, entered in inside if its == slug} for slug in value_pools.SLUGS},
    )


def numbered(n: int, person: Person) -> Person:
    """The person with ids of their own: they come from the place in the shop, so that no two are alike."""
    named = replace(
        person,
        orders=tuple(replace(order, order_id=f"o{n}-{i}") for i, order in enumerate(person.orders)),
        events=tuple(replace(event, message_id=f"m{n}-{i}") for i, event in enumerate(person.events)),
    )
    if person.customer_id is None:
        return replace(named, anonymous_id=f"a{n}")
    return replace(
        named,
        customer_id="kundin-ß" if n == 3 else f"c{n}",
        email=person.email and person.email.format(n),
        phone=person.phone and person.phone.format(n),
    )
