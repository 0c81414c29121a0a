"""SQL as a value: parts keep their parameters in order, and a wrong number of parameters is rejected."""

import pytest

from core.db import execution
from core.db.sql import Sql, compile_query, compose, union_all
from customers.models import Customer
from tests.support import shop


def test_it_refuses_parameters_that_do_not_fit_the_text() -> None:
    with pytest.raises(ValueError, match="1 placeholders got 0"):
        Sql("SELECT %s")
    with pytest.raises(ValueError, match="0 placeholders got 1"):
        Sql("SELECT '100 %%'", (1,))
    with pytest.raises(ValueError, match="2 placeholders"):
        Sql("SELECT %s, %s", (1,))


def test_parts_keep_their_parameters_in_the_order_of_the_text() -> None:
    inner = Sql("SELECT id FROM t WHERE a = %s", (1,))

    composed = compose("SELECT {first} WHERE id IN ({inner}) AND b < {last}", last=3, inner=inner, first=0)

    assert composed == Sql("SELECT %s WHERE id IN (SELECT id FROM t WHERE a = %s) AND b < %s", (0, 1, 3))
    assert inner + Sql(" OR c = %s", (2,)) == Sql("SELECT id FROM t WHERE a = %s OR c = %s", (1, 2))
    assert union_all([inner, inner]).params == (1, 1)


@pytest.mark.django_db
def test_querysets_become_part_of_a_statement() -> None:
    shop.customers("c1,c1@example.org", "c2,")
    known = Customer.objects.filter(email="c1@example.org").values("pk")

    counted = compose("SELECT count(*), {percent} FROM ({known}) AS k", known=known, percent="5 %")

    assert execution.fetch_all(counted) == [(1, "5 %")]
    assert execution.fetch_all(known) == execution.fetch_all(compile_query(known))
    assert execution.fetch_all(Customer.objects.none().values("pk")) == []
