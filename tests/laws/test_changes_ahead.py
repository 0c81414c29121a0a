"""When answers change by themselves: at the first border at which the oracle returns another answer."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customers.models import Customer
from segments import segment_store
from segments.evaluation.context import context_at
from segments.evaluation.explanation import explain_each
from segments.evaluation.upcoming import find_upcoming
from segments.models import Segment
from segments.rules import parse
from tests.support import oracle
from tests.support.histories import borders_of, referring, spans_in
from tests.support.oracle_operators import Clock
from tests.support.shop_in_database import imported_shop
from tests.support.strategies import (
    SWEPT,
    conditions,
    groups,
    instants,
    rules,
    shops,
    words,
)
from tests.support.value_pools import ZONES

pytestmark = pytest.mark.django_db

RULES_AT_ONCE = 8  # a shop costs more than a rule
REFERRED = "r0"
FARTHEST = timedelta(days=400)
WITHIN = (timedelta(days=1), timedelta(days=7), timedelta(days=90))
slowly = settings(deadline=None, suppress_health_check=list(HealthCheck))
Changes = dict[str, tuple[datetime, bool]]


def first_changes(rule: dict, shop: oracle.Shop, at: datetime, zone: ZoneInfo) -> Changes:
    """Return when each customer's answer first differs within 400 days, and whether they match then."""
    now = oracle.Past(shop, Clock(at, zone), asks_rules=True)
    matched = oracle.evaluated(rule, now.ahead(timedelta()))
    found: Changes = {}
    for later in moments_ahead(rule, shop, at, zone):
        for key in oracle.evaluated(rule, now.ahead(later - at)) ^ matched:
            found.setdefault(key, (later, key not in matched))
    return found


def moments_ahead(rule: dict, shop: oracle.Shop, at: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return every instant at which the oracle's answer may change, and those a microsecond before and after."""
    asked = with_referred_rules(rule, shop)
    borders = set(borders_of(shop, [asked]))
    if "birthday" in str(asked):
        borders |= set(midnights(asked, at, zone))
    return sorted(border for border in borders if at < border <= at + FARTHEST)


def with_referred_rules(rule: Any, shop: oracle.Shop) -> Any:
    match rule:
        case {"in_segment": {"is": slug, "in": span}} if slug in shop.rules:
            return {"ahead": {"in": span, "rule": shop.rules[slug]}}
        case {"in_segment": {"is": slug}} if slug in shop.rules:
            return shop.rules[slug]
        case dict():
            return {name: with_referred_rules(value, shop) for name, value in rule.items()}
        case list():
            return [with_referred_rules(one, shop) for one in rule]
    return rule


def midnights(asked: dict, at: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    clock = Clock(at, zone)
    spans = {timedelta(0), *spans_in(asked)}
    for n in range(1, 2 * FARTHEST.days + 2):
        midnight = clock.midnight(clock.today() + timedelta(days=n))
        for span in spans:
            yield midnight + span
            yield midnight + span - oracle.MICROSECOND


def check(
    shop: oracle.Shop, several: list[dict], referred: dict, at: datetime, within: timedelta, zone: ZoneInfo
) -> None:
    shop = replace(shop, rules={REFERRED: referred})
    with override_settings(TIME_ZONE=zone.key), imported_shop(shop, zone):
        segment_store.save_segment(Segment(slug=REFERRED, name=REFERRED, rule=referred))
        now = context_at(at)
        expected = [first_changes(rule, shop, at, zone) for rule in several]
        parsed = [parse(rule) for rule in several]
        for rule, changes in zip(several, expected, strict=True):
            upcoming = [
                (one.customer_id, one.at, one.change) for one in find_upcoming(parse(rule), now, within)
            ]
            assert upcoming == sorted(
                (
                    (key, later, "entered" if enters else "left")
                    for key, (later, enters) in changes.items()
                    if later <= at + within
                ),
                key=lambda one: (one[1], one[0]),
            ), rule
        for customer in Customer.objects.filter(now.existing_q()):
            for place, tree in enumerate(explain_each(parsed, customer, now)):
                first = expected[place].get(customer.customer_id, (None, None))[0]
                assert tree is not None
                assert tree.changes_at == first, (several[place], customer.customer_id)


SWEPT_RULES = st.one_of(words(SWEPT), groups(words(SWEPT)), conditions(), rules(), referring(REFERRED))
each = settings(slowly, max_examples=2)


def histories(rule: Any = SWEPT_RULES) -> dict[str, Any]:
    return {
        "shop": shops(min_people=6),
        "several": st.lists(rule, min_size=RULES_AT_ONCE, max_size=RULES_AT_ONCE),
        "referred": words(SWEPT) | rules(),
        "at": instants(),
        "within": st.sampled_from(WITHIN),
        "zone": st.sampled_from(ZONES),
    }


@settings(slowly, max_examples=10)
@given(**histories())
def test_each_answer_changes_first_when_the_oracle_says(shop, several, referred, at, within, zone):
    check(shop, several, referred, at, within, zone)


@pytest.mark.long
@settings(slowly, max_examples=1_000)
@given(**histories())
def test_each_answer_changes_first_when_the_oracle_says_in_many_histories(
    shop, several, referred, at, within, zone
):
    check(shop, several, referred, at, within, zone)


def check_filter(name: str, how: settings = each) -> None:
    """Check the borders of a filter with parameters by which time changes its answer."""

    @how
    @given(**histories(words({name: SWEPT[name]})))
    def law(shop, several, referred, at, within, zone):
        check(shop, several, referred, at, within, zone)

    law()


@pytest.mark.parametrize("name", SWEPT)
def test_each_filter_changes_first_when_the_oracle_says(name):
    check_filter(name)
