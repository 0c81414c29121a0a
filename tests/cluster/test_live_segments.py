"""One machine answers which segments a customer is in now."""

import pytest

from customers.identity import lookup
from segments import segment_store
from segments.evaluation import live
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.shop import NOON, days
from tests.support.statement_classes import Class, explained_statements

pytestmark = pytest.mark.django_db(transaction=True)


def test_live_segments_are_asked_of_the_machine_of_the_customer() -> None:
    shop.orders("o1,c1,2026-03-01,50", "o2,c2,2026-03-02,70")
    segment_store.install_templates()
    refresh_all(NOON)
    customer = lookup.find_customer("c1")
    assert customer

    with explained_statements(1024) as statements:
        slugs = live.matching_segments(customer.pk, NOON + days(1))

    assert "first-order" in slugs
    assert {one.kind for one in statements} == {Class.ONE_SHARD}
