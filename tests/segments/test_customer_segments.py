"""The segments on a customer's page: periods of membership, and explanations of all segments."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from customers.models import Customer
from segments import segment_store
from segments.models import Segment
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

MOST_QUERIES = 25


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


def opened(client: Client, name: str, customer_id: str = "c1", **query: str) -> Any:
    customer = Customer.objects.get(customer_id=customer_id)
    return client.get(reverse(f"admin:customers_customer_{name}", args=[customer.pk]), query)


def explained(client: Client, **query: str) -> dict[str, Any]:
    return {one.segment.slug: one for one in opened(client, "explain", **query).context["explained"]}


def test_periods_in_segments_have_their_causes(client) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        shop.customers("c1,c1@example.org")
        shop.segment("waiting", {"open_cart": {"within_last": "7d"}})
        refresh_all()
        clock.shift(timedelta(hours=1))
        shop.events("m1,c1,,Product Added,2026-03-15T12:30Z")
        refresh_all()
        clock.shift(days(8))
        refresh_all()
        clock.shift(days(1))
        shop.events("m2,c1,,Product Added,2026-03-24T12:30Z")
        refresh_all()

    periods = opened(client, "change").context["periods"]

    [now], [before] = periods.now, periods.before
    assert now.entered_at == NOON + days(9) + timedelta(hours=1)
    assert before.entered_at == NOON + timedelta(hours=1)
    assert before.left_at == NOON + days(8) + timedelta(hours=1)
    assert before.entered_because == "something was recorded about the customer"
    assert before.left_because == "time passed"


def test_every_segment_is_explained_in_few_queries(client, django_assert_max_num_queries) -> None:
    shop.customers("c1,c1@example.org")
    segment_store.install_templates()
    refresh_all()

    with django_assert_max_num_queries(MOST_QUERIES):
        told = explained(client)

    assert len(told) == 16
    assert (told["lead"].tree.met, bool(told["lead"].entered_at)) == (True, True)
    assert told["first-time-buyers"].tree.lacking == (
        "placed exactly 1 order",
        "placed their last order in the last 30 days",
    )


@pytest.mark.parametrize(
    ("rule", "lacking"),
    [
        ({"any": [{"country": {"is": "FR"}}, {"order_count": {"is": 1}}]},
         ("has a country that is “France” or placed exactly 1 order",)),
        ({"none": [{"known": {"is": True}}, {"country": {"is": "FR"}}]}, ("not: is known",)),
        ({"all": [{"known": {"is": True}}, {"country": {"is": "FR"}}]}, ("has a country that is “France”",)),
        ({"known": {"is": True}}, ()),
    ],
)  # fmt: skip
def test_an_explanation_shows_what_is_missing(rule, lacking, client) -> None:
    shop.customers("c1,c1@example.org")
    shop.segment("asked", rule)

    assert explained(client)["asked"].tree.lacking == lacking


def test_an_explanation_shows_what_the_next_refresh_will_do(client) -> None:
    shop.customers("c1,c1@example.org")
    shop.segment("waiting", {"open_cart": {"within_last": "7d"}})
    refresh_all()
    shop.events("m1,c1,,Product Added," + (NOON - days(1)).isoformat(), update_facts=False)

    with time_machine.travel(NOON, tick=False):
        [one] = explained(client).values()

    assert one.ahead == "will enter at the next refresh"


def test_one_segment_is_explained_or_shows_why_not(client) -> None:
    shop.customers("c1,c1@example.org")
    shop.segment("known", {"known": {"is": True}})
    shop.segment("broken", {"known": {"is": True}})
    Segment.objects.filter(slug="broken").update(rule={"gone": {}})
    segment_store.create_fixed_list("friends", "Friends", [], NOON)

    assert list(explained(client, segment="known")) == ["known"]
    told = explained(client)
    assert "is invalid" in told["broken"].problem
    assert "fixed list" in told["friends"].problem
    assert "does not exist any more" in opened(client, "explain", segment="ghost").content.decode()


def test_many_segments_are_explained_page_by_page(client) -> None:
    shop.customers("c1,c1@example.org")
    for number in range(35):
        shop.segment(f"s{number:02}", {"order_count": {"is": number}})

    first = opened(client, "explain", page="1")
    second = opened(client, "explain", page=str(first.context["next"]))
    slugs = [one.segment.slug for response in (first, second) for one in response.context["explained"]]
    assert slugs == [f"s{number:02}" for number in range(35)]
    assert not second.context["next"]
