"""A refresh moves between machines only what was recorded, not the customers."""

from datetime import timedelta

import pytest

from segments import segment_store
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.shop import NOON
from tests.support.statement_classes import explained_statements

pytestmark = pytest.mark.django_db(transaction=True)

CUSTOMERS = 4_000
RECORDED = 5
KEY = 5  # bytes of a customer's key at least, so that the keys of all customers take more than is allowed


def test_a_refresh_moves_only_rows_of_customers_with_something_new() -> None:
    keys = [f"c{number:05}" for number in range(CUSTOMERS)]
    shop.customers(*(f"{key},{key}@example.com" for key in keys), header="customer_id,email")
    # The average moves, but past nobody: otherwise all of them would be candidates.
    totals = [10, 90] * (CUSTOMERS // 2)
    before = NOON - timedelta(days=90)
    shop.orders(*(f"o{key},{key},{before},{total}" for key, total in zip(keys, totals, strict=True)))
    segment_store.install_templates()
    rich = shop.segment("rich", {"total_spent": {"at_least": 1000}})
    refresh_all(NOON)
    shop.orders(*(f"n{key},{key},{NOON},5000" for key in keys[:RECORDED]), update_facts=False)

    with explained_statements(CUSTOMERS * KEY) as statements:
        refresh_all(NOON + timedelta(minutes=1))

    rich.refresh_from_db()
    assert rich.size == RECORDED
    assert statements
    assert not [str(one) for one in statements if max(one.received, one.broadcast) >= CUSTOMERS * KEY], (
        "these statements move rows of all customers"
    )
