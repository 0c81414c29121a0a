"""Every rule gives, on every history, what a plain-Python reading of the contract gives."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from django.test import override_settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segments.evaluation.context import context_at
from segments.evaluation.matching import customers_matching, public_ids
from segments.rules import parse
from tests import oracle
from tests.pools import ZONES
from tests.shop_in_database import brought_in
from tests.strategies import CONDITIONS, conditions, instants, rules, shops

pytestmark = pytest.mark.django_db

RULES_AT_ONCE = 12  # a shop costs more than a rule
slowly = settings(deadline=None, suppress_health_check=list(HealthCheck))


def check(shop: oracle.Shop, several: list[dict], at: datetime, zone: ZoneInfo) -> None:
    with override_settings(TIME_ZONE=zone.key), brought_in(shop, zone):
        now = context_at(at)
        for rule in several:
            found = list(public_ids(customers_matching(parse(rule), now)))
            assert sorted(found) == sorted(oracle.matching(rule, shop, at, zone)), rule


some = settings(slowly, max_examples=4)
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


@pytest.mark.parametrize("name", CONDITIONS)
def test_each_filter_over_random_histories(name):
    alone = CONDITIONS[name].map(lambda parameters: {name: parameters})

    @some
    @given(
        shop=shops(),
        several=st.lists(alone, min_size=RULES_AT_ONCE, max_size=RULES_AT_ONCE),
        at=instants(),
        zone=st.sampled_from(ZONES),
    )
    def law(shop, several, at, zone):
        check(shop, several, at, zone)

    law()
