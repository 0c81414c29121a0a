"""The lookup ``__one_of``: what ``__in`` finds, with one parameter."""

import pytest
from django.db import connection
from django.db.models import Q, QuerySet
from django.test.utils import CaptureQueriesContext

from core.db.sql import compile_query
from customers.models import Customer, Identity
from tests.support import shop

pytestmark = pytest.mark.django_db

ODD = ('say "hi"', "back\\slash", "{a,b}", "NULL", "per%cent", "", "a,b")


def keys() -> list[int]:
    return list(Customer.objects.order_by("pk").values_list("pk", flat=True))


def found(customers: QuerySet[Customer]) -> list[str]:
    return list(customers.order_by("customer_id").values_list("customer_id", flat=True))


@pytest.fixture(autouse=True)
def three() -> None:
    shop.customers("c1,c1@example.org", "c2,c2@example.org", "c3,")


def test_it_finds_what_in_finds() -> None:
    first, second, _ = keys()

    assert found(Customer.objects.filter(pk__one_of=[first, second, 0])) == ["c1", "c2"]
    assert found(Customer.objects.filter(~Q(pk__one_of={first}))) == ["c2", "c3"]
    assert found(Customer.objects.filter(email__one_of=("c2@example.org", "c9@example.org"))) == ["c2"]
    assert found(Customer.objects.filter(pk__one_of=dict.fromkeys([second]), country="")) == ["c2"]


def test_it_follows_foreign_keys() -> None:
    first, _, third = keys()

    named = Identity.objects.filter(customer__one_of=[first, third], kind=Identity.Kind.CUSTOMER_ID)

    assert sorted(named.values_list("value", flat=True)) == ["c1", "c3"]
    assert found(Customer.objects.filter(identities__value__one_of=["c3"])) == ["c3"]


@pytest.mark.parametrize("text", ODD)
def test_any_text_is_compared_as_it_is(text: str) -> None:
    Customer.objects.filter(customer_id="c1").update(first_name=text)
    Customer.objects.exclude(customer_id="c1").update(first_name="Kim")

    assert found(Customer.objects.filter(first_name__one_of=[text])) == ["c1"]
    assert found(Customer.objects.filter(first_name__one_of=ODD)) == ["c1"]


def test_no_values_find_nobody_without_a_statement() -> None:
    with CaptureQueriesContext(connection) as statements:
        assert found(Customer.objects.filter(pk__one_of=[])) == []

    assert not statements.captured_queries


def test_many_values_are_one_parameter() -> None:
    compiled = compile_query(Customer.objects.filter(pk__one_of=range(1_000, 41_000)).values("pk"))

    assert len(compiled.params) == 1
    assert found(Customer.objects.filter(pk__one_of=[*keys(), *range(10**6, 10**6 + 40_000)])) == [
        "c1",
        "c2",
        "c3",
    ]
