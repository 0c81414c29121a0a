"""Each fact, stored or as of any instant, equals what plain Python computes from the records.

That appended records come to the same row as records summed up from scratch is part of the laws of refreshes.
"""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db.models import Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customers.facts import definitions, relations, update
from customers.models import Customer, Facts, FactsAsOf
from tests.support.oracle import Shop
from tests.support.oracle_facts import FACTS
from tests.support.oracle_shop import Customer as PastCustomer
from tests.support.shop_in_database import imported_shop
from tests.support.strategies import instants, shops
from tests.support.value_pools import ZONES

pytestmark = pytest.mark.django_db


def expected(shop: Shop, at: datetime) -> dict[str, dict[str, Any]]:
    people = {person.key: PastCustomer(person, at) for person in shop.people if person.met_at <= at}
    return {key: {name: fact(person) for name, fact in FACTS.items()} for key, person in people.items()}


def found(model: type[Model], at: datetime) -> dict[str, dict[str, Any]]:
    printed = dict(Customer.objects.values_list("pk", "customer_id"))
    rows = model._default_manager.filter(first_seen_at__lte=at).values("customer_id", *FACTS)
    return {printed[row.pop("customer_id")]: dict(row) for row in rows}


def test_the_oracle_knows_every_fact() -> None:
    declared = {fact.name for fact in definitions.declared_facts()} | {"first_seen_at"}

    assert declared - FACTS.keys() == set(), "say in tests/support/oracle_facts.py what these facts are"
    assert FACTS.keys() - declared == set(), "the oracle knows facts that are not declared"


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(shops(min_people=4), instants(), st.sampled_from(ZONES))
def test_stored_facts_and_facts_as_of_an_instant_match_the_records(
    shop: Shop, at: datetime, zone: ZoneInfo
) -> None:
    with imported_shop(shop, zone):
        updated_until = update.facts_updated_until() or at
        assert found(Facts, updated_until) == expected(shop, updated_until)

        relations.prepare_recomputed_relation(at)
        assert found(FactsAsOf, at) == expected(shop, at)
