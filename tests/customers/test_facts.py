"""Updating facts: queues are emptied in batches, with few statements, which a distributed PostgreSQL runs as well."""

from collections.abc import Iterator

import pytest
import time_machine

from customers.facts import relations, update
from customers.identity import lookup
from customers.models import Customer, Facts, Touched
from tests.support import shop
from tests.support.shop import NOON, days
from tests.support.statement_recorder import record_statements

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def at_noon() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def assert_facts_are_right() -> None:
    shop.assert_facts_are_those_of_the_records()
    shop.assert_totals_are_those_of_the_facts()


def order_count(public_id: str) -> int:
    customer = lookup.find_customer(public_id)
    facts = customer and relations.facts_of_customer(customer, NOON + days(2))
    return facts.order_count if facts else 0


def test_a_long_queue_is_updated_in_batches(monkeypatch) -> None:
    monkeypatch.setattr(update, "UPDATE_BATCH_SIZE", 2)
    monkeypatch.setattr(update, "MIN_UPDATE_BATCH_SIZE", 2)
    shop.orders(*(f"o{number},c{number},2026-03-01,10" for number in range(4)), update_facts=False)
    shop.events("m1,,a1,View,2026-03-02", update_facts=False)
    progress: list[int] = []

    assert update.update_facts(NOON, progress.append) == 5

    assert progress == [2, 4, 5]
    assert Touched.objects.count() == 5
    assert_facts_are_right()


def test_appended_events_are_added_to_the_facts_with_few_statements(django_assert_max_num_queries) -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,10")
    shop.events(
        "m1,c1,,Product Added,2026-03-02", "m2,c2,,View,2026-03-02", "m3,,a1,View,2026-03-02",
        update_facts=False,
    )  # fmt: skip

    with django_assert_max_num_queries(20):
        assert update.update_facts(NOON) == 3

    assert dict(Facts.objects.values_list("customer__customer_id", "event_count")) == {
        "c1": 1, "c2": 1, "anonymous:a1": 1
    }  # fmt: skip
    assert_facts_are_right()


def test_an_order_and_an_event_appended_together_are_added_to_the_facts() -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,10")
    shop.events("m1,c1,,Product Added,2026-03-02", "m2,c2,,Product Added,2026-03-02")
    shop.orders("o3,c1,2026-03-03,10", update_facts=False)
    shop.events("m3,c2,,Product Added,2026-03-03", "m4,c1,,View,2026-03-04", update_facts=False)

    update.update_facts(NOON)

    assert dict(Facts.objects.values_list("customer__customer_id", "cart_quantity")) == {
        "c1": 0, "c2": 20_000
    }  # fmt: skip
    assert_facts_are_right()


def test_a_record_dated_ahead_counts_once_its_time_has_come_and_is_the_first_of_a_new_customer(
    at_noon,
) -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c1,2026-03-16,10")
    shop.orders("o3,c2,2026-03-16,10")
    assert Facts.objects.get(customer__customer_id="c2").first_seen_at == NOON - days(0.5) + days(1)
    assert not update.is_update_due(NOON)

    at_noon.move_to(NOON + days(1))
    assert update.update_facts() == 2

    assert (order_count("c1"), order_count("c2")) == (2, 1)
    assert_facts_are_right()


def test_statements_about_facts_and_consent_keep_the_rules() -> None:
    with record_statements() as recorder:
        header = "customer_id,email,newsletter"
        shop.customers("c1,c1@b.org,subscribed", "c2,c2@b.org,unsubscribed", header=header)
        shop.customers("c1,c1@b.org,unsubscribed", "c2,c2@b.org,", header=header)
        shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-16,10")
        shop.orders("o3,c1,2026-03-03,10")
        shop.events("m1,c1,a1,View,2026-03-04", "m2,c2,,View,2026-03-05")
        update.recompute_all(NOON)
        key = Customer.objects.get(customer_id="c2").pk
        shop.orders("o4,c2,2026-03-14,10", update_facts=False)
        with recorder.one_customer():
            one = Customer.objects.filter(pk=key).values("pk")
            assert relations.prepare_relation_for(one, NOON) == "facts_as_of"
    assert order_count("c2") == 2
