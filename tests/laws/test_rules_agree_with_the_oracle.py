"""On every history, every rule matches the customers that a plain-Python oracle returns."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments.evaluation.context import context_at
from segments.evaluation.matching import customers_matching, public_ids
from segments.rules import parse
from tests.support import oracle
from tests.support.shop_in_database import imported_shop
from tests.support.strategies import conditions, instants, parameters, rules, shops
from tests.support.value_pools import ZONES

pytestmark = pytest.mark.django_db

RULES_AT_ONCE = 12  # a shop costs more than a rule
slowly = settings(deadline=None, suppress_health_check=list(HealthCheck))


def check(shop: oracle.Shop, several: list[dict], at: datetime, zone: ZoneInfo) -> None:
    with override_settings(TIME_ZONE=zone.key), imported_shop(shop, zone):
        now = context_at(at)
        for rule in several:
            found = list(public_ids(customers_matching(parse(rule), now)))
            assert sorted(found) == sorted(oracle.matching(rule, shop, at, zone)), rule


each = settings(slowly, max_examples=4)
histories = {
    "shop": shops(),
    "several": st.lists(st.one_of(conditions(), rules()), min_size=RULES_AT_ONCE, max_size=RULES_AT_ONCE),
    "at": instants(),
    "zone": st.sampled_from(ZONES),
}


@settings(slowly, max_examples=40)
@given(**histories)
def test_random_rules_over_random_histories(shop, several, at, zone):
    check(shop, several, at, zone)


@pytest.mark.long
@settings(slowly, max_examples=2_000)
@given(**histories)
def test_many_random_rules_over_random_histories(shop, several, at, zone):
    check(shop, several, at, zone)


def check_filter(name: str, how: settings = each) -> None:
    """Compare a filter with the oracle, with random parameters on random shops."""
    alone = parameters(oracle.FILTERS[name]).map(lambda given: {name: given})

    @how
    @given(
        shop=shops(),
        several=st.lists(alone, min_size=RULES_AT_ONCE, max_size=RULES_AT_ONCE),
        at=instants(),
        zone=st.sampled_from(ZONES),
    )
    def law(shop, several, at, zone):
        check(shop, several, at, zone)

    law()


@pytest.mark.parametrize("name", oracle.FILTERS)
def test_each_filter_over_random_histories(name):
    check_filter(name)
