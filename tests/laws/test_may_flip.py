"""Time alone changes answers only for the customers that `may_flip` returns, and these are few."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.db import execution
from customers.models import Customer
from segments.evaluation.compiler import CompiledRules
from segments.evaluation.context import context_at, shop_zone
from segments.evaluation.expansion import expand_rule
from segments.rules import Condition, EvaluationContext, Rule, parse, registry
from segments.rules.declarations import InlineParam, Param
from segments.rules.operators import Moment, Period, Relative
from tests.support import oracle, value_pools
from tests.support.histories import MOVES, borders_of
from tests.support.shop_in_database import import_sample_shop, imported_shop
from tests.support.strategies import conditions, instants, parameters, rules, shops, swept, words

pytestmark = pytest.mark.django_db

RULES_AT_ONCE = 12  # a shop costs more than a rule
slowly = settings(deadline=None, suppress_health_check=list(HealthCheck))


# -- Never too few


def check(shop: oracle.Shop, several: Sequence[dict], instants: Sequence[datetime], zone: ZoneInfo) -> None:
    """Compare the answers at each instant with those at the previous one."""
    parsed = [expand_rule(parse(rule)) for rule in several]
    with (
        override_settings(TIME_ZONE=zone.key),
        time_machine.travel(instants[-1], tick=False),
        imported_shop(shop, zone, update_facts=False),
    ):
        together, alone = CompiledRules(parsed, zone), [CompiledRules([rule], zone) for rule in parsed]
        before, answers = None, dict[int, int]()
        for at in instants:
            now = context_at(at)
            assert now.facts == "facts"
            note_figures(parsed, now)
            new_answers = bits_of_customers(together, now)
            if before:
                for place, (given_rule, rule) in enumerate(zip(several, alone, strict=True)):
                    old, new = ({key for key, bits in each.items() if bits >> place & 1}
                                for each in (answers, new_answers))  # fmt: skip
                    assert old ^ new <= named(rule, before, now), given_rule
            before, answers = now, new_answers


def note_figures(several: Iterable[Rule], context: EvaluationContext) -> None:
    """Compute the statistics that the rules need: a refresh stores them for the next one."""
    for rule in several:
        for needed in rule.statistics():
            needed.value_in(context)


def named(rule: CompiledRules, since: EvaluationContext, until: EvaluationContext) -> set[int]:
    """Return the keys of the customers whose answers may differ, including new customers."""
    return {key for query in rule.may_flip(since, until) for (key,) in execution.fetch_all(query)}


def bits_of_customers(rules: CompiledRules, context: EvaluationContext) -> dict[int, int]:
    """Return the answers for each customer, of each rule one bit."""
    return {key: bits for key, bits, _ in execution.fetch_all(rules.all_answers_sql(context))}


def at_borders(around: datetime, places: Sequence[int], moves: Sequence[timedelta]) -> Any:
    """Return the instants at which periods of the rules start or end for records of the shop, and some near them."""

    def chosen(shop: oracle.Shop, several: Sequence[dict]) -> list[datetime]:
        borders = borders_of(shop, several) or [around]
        met = [borders[place % len(borders)] for place in places]
        return sorted({around, *met, *(one - move for one, move in zip([around, *met], moves, strict=False))})

    return chosen


INSTANTS = st.builds(
    at_borders,
    instants(),
    st.lists(st.integers(0, 2**16), min_size=3, max_size=3),
    st.lists(st.sampled_from([move for move in MOVES if move]), min_size=2, max_size=2),
)
each = settings(slowly, max_examples=4)
histories = {
    "shop": shops() | shops(min_people=6),
    "several": st.lists(st.one_of(conditions(), rules()), min_size=RULES_AT_ONCE, max_size=RULES_AT_ONCE),
    "instants": INSTANTS,
    "zone": st.sampled_from(value_pools.ZONES),
}


@settings(slowly, max_examples=30)
@given(**histories)
def test_may_flip_includes_every_customer_whose_answer_changes(shop, several, instants, zone):
    check(shop, several, instants(shop, several), zone)


@pytest.mark.long
@settings(slowly, max_examples=2_000)
@given(**histories)
def test_may_flip_includes_every_customer_whose_answer_changes_in_many_histories(
    shop, several, instants, zone
):
    check(shop, several, instants(shop, several), zone)


def check_filter(name: str, how: settings = each) -> None:
    """Check that ``may_flip`` of a filter returns every customer whose answer by the oracle changes."""
    known = oracle.FILTERS[name]
    drawn = parameters(known)
    moved = swept(known)
    alone = words({name: drawn if moved is None else drawn | moved})

    @how
    @given(
        shop=shops(min_people=6),
        several=st.lists(alone, min_size=RULES_AT_ONCE, max_size=RULES_AT_ONCE),
        instants=INSTANTS,
        zone=st.sampled_from(value_pools.ZONES),
    )
    def law(shop, several, instants, zone):
        check(shop, several, instants(shop, several), zone)

    law()


@pytest.mark.parametrize("name", oracle.FILTERS)
def test_may_flip_of_each_filter_includes_every_customer_whose_answer_changes(name):
    check_filter(name)


# -- Nor many

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTES = [NOON + n * MINUTE for n in (0, 1, 2, 60, 12 * 60 - 1)]  # the last one ends at midnight
CUSTOMERS = 1_000
FEW = CUSTOMERS // 100


def variants(cls: type[Condition]) -> list[dict[str, Any]]:
    """Return the example of a filter, and parameters whose answer changes with time or with others' orders."""
    given = [cls.example]
    for item in fields(cls):  # type: ignore[arg-type]
        parameter = item.metadata["parameter"]
        if isinstance(parameter, InlineParam):
            others = {word for kind in parameter.kinds for word in kind.words}
            rest = {word: value for word, value in cls.example.items() if word not in others}
            given += [rest | words for kind in parameter.kinds for words in MOVING.get(kind, [])]
    for item in fields(cls):  # type: ignore[arg-type]
        parameter = item.metadata["parameter"]
        if isinstance(parameter, Param):
            moving = [{item.name.rstrip("_"): words} for words in MOVING.get(parameter.kind, [])]
            given += [one | words for one in list(given) for words in moving]
    return given


MOVING: dict[Any, list[dict[str, Any]]] = {
    Moment: [{"within_last": "30d"}, {"not_within_last": "7d"}, {"between": ["2026-03-01", "2026-03-31"]}],
    Period: [{"within_last": "30d"}, {"between": ["2026-03-01", "2026-03-31"]}],
    Relative: [{"above": "average"}, {"below": "median"}, {"top_percent": 20}],
}


def test_each_filter_names_few_customers_for_a_minute(db):
    import_sample_shop(CUSTOMERS, NOON)
    assert Customer.objects.count() >= CUSTOMERS
    several = [{name: one} for name in registry for one in variants(registry[name]) if name != "birthday"]
    parsed = [expand_rule(parse(rule)) for rule in several]
    compiled = [CompiledRules([rule], shop_zone()) for rule in parsed]
    for since in MINUTES:
        with time_machine.travel(since + MINUTE, tick=False):
            before = context_at(since)
            note_figures(parsed, before)
            now = context_at(since + MINUTE)
            counts = {
                json.dumps(given_rule): len(named(rule, before, now))
                for given_rule, rule in zip(several, compiled, strict=True)
            }
        assert {rule: count for rule, count in counts.items() if count > FEW} == {}
