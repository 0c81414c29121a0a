"""Live segments equal those that a refresh at the same instant would give."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from customers.models import Customer, Facts
from segments import segment_store
from segments.evaluation import live
from segments.models import Membership, Segment
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.shop import NOON, days
from tests.support.statement_recorder import record_statements

pytestmark = pytest.mark.django_db


def live_segments(customer_id: str, at: datetime) -> list[str]:
    return sorted(live.matching_segments(Customer.objects.get(customer_id=customer_id).pk, at))


def stored_segments(customer_id: str) -> list[str]:
    rows = Membership.objects.filter(customer__customer_id=customer_id, segment__is_active=True)
    return sorted(rows.values_list("segment__slug", flat=True))


@pytest.fixture
def refreshed() -> None:
    with time_machine.travel(NOON, tick=False):
        shop.customers("c1,c1@example.org", "c2,", "c3,c3@example.org")
        shop.orders(
            "o1,c1,2026-03-01,10", "o2,c1,2026-03-10,40", "o3,c2,2026-03-01,10", "o4,c3,2025-10-01,5",
        )  # fmt: skip
        shop.events("m1,,a1,Product Added,2026-03-14", "m2,c2,,View,2026-03-14")
        segment_store.install_templates()
        refresh_all(NOON)


@pytest.mark.parametrize("who", ["c1", "c2", "c3", "anonymous:a1"])
def test_without_new_records_live_segments_equal_the_stored_ones(refreshed, who) -> None:
    assert live_segments(who, NOON) == stored_segments(who) != []


@pytest.mark.parametrize("who", ["c1", "c2", "c3", "anonymous:a1"])
@pytest.mark.parametrize("later", [days(7), days(40), days(400)])
def test_live_segments_at_a_later_instant_equal_those_of_a_refresh_then(refreshed, who, later) -> None:
    expected = live_segments(who, NOON + later)

    refresh_all(NOON + later)

    assert expected == stored_segments(who)


def test_records_count_before_facts_are_updated(refreshed) -> None:
    before = shop.rows_of(Facts, Membership)

    with time_machine.travel(NOON + timedelta(minutes=5), tick=False):
        shop.orders("new,anna,2026-03-15T12:01Z,10", update_facts=False)
        shop.events("m3,c3,,Product Added,2026-03-15T12:02Z", update_facts=False)

        assert "first-order" in live_segments("anna", NOON + timedelta(minutes=5))
        assert "waiting" in live_segments("c3", NOON + timedelta(minutes=5))
    assert shop.rows_of(Facts, Membership) == before


def test_live_segments_of_several_customers_equal_those_of_a_refresh(refreshed) -> None:
    """Merged where records follow those summed up; summed up anew where one comes late, changes or joins others."""
    at = NOON + timedelta(minutes=5)
    with time_machine.travel(at, tick=False):
        shop.events("m3,,a1,Product Added,2026-03-15T12:01Z", "m4,,a9,View,2026-03-15T12:02Z",
                    "m5,c3,,View,2025-01-01", "m6,c2,a9,Signed In,2026-03-15T12:03Z", update_facts=False)  # fmt: skip
        shop.orders(
            "o5,c3,2026-03-15T12:04Z,70", "o1,c1,2026-03-01,11", "o6,new,2026-03-15,1", update_facts=False
        )
        everybody = dict(Customer.objects.existing().values_list("customer_id", "pk"))
        before = shop.rows_of(Facts, Membership)

        found = live.matching_segments_by_customer(
            list(everybody.values()),
            Segment.objects.active(),
            live.context_for_customers(list(everybody.values()), at),
        )

        assert shop.rows_of(Facts, Membership) == before
        refresh_all(at)
    for customer_id, key in everybody.items():
        assert sorted(one.slug for one in found[key]) == stored_segments(customer_id)


def test_a_record_dated_ahead_counts_once_it_is_due(refreshed) -> None:
    with time_machine.travel(NOON, tick=False):
        shop.events("ahead,c1,,Product Added,2026-03-16T12:00Z")

    assert "waiting" not in live_segments("c1", NOON + timedelta(hours=1))
    assert "waiting" in live_segments("c1", NOON + days(2))


def test_a_merged_visitor_is_in_no_segment(refreshed) -> None:
    shop.events("m4,c1,a1,Signed In,2026-03-15T12:00Z")

    visitor = Customer.objects.get(customer_id="anonymous:a1")

    assert live.matching_segments(visitor.pk, NOON + days(1)) == []


def test_live_segments_need_few_statements(refreshed, django_assert_num_queries) -> None:
    customer = Customer.objects.get(customer_id="c1").pk
    live.matching_segments(customer, NOON + days(1))

    with django_assert_num_queries(2):
        live.matching_segments(customer, NOON + days(2))


def test_the_answers_about_a_customer_are_restricted_to_the_customer(refreshed) -> None:
    customer = Customer.objects.get(customer_id="c1").pk

    with record_statements() as recorder, recorder.one_customer():
        assert live.matching_segments(customer, NOON)


def test_a_shop_without_segments_has_no_live_segments(db) -> None:
    shop.customers("c1,c1@example.org")

    assert live_segments("c1", datetime.now(UTC)) == []


def test_paused_segments_are_left_out(refreshed) -> None:
    Segment.objects.filter(slug="repeat").update(is_active=False)

    assert live_segments("c1", NOON) == [slug for slug in stored_segments("c1") if slug != "repeat"]
