"""Live visitors: who is active now, and their segments at this moment, although facts are not updated yet."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from customers.models import Customer
from segments import segment_store
from segments.admin import live_visitors as page
from segments.models import Segment
from segments.refresh.engine import refresh_all
from tests.support import shop
from tests.support.shop import NOON, days

pytestmark = pytest.mark.django_db

EVENTS = "message_id,customer_id,anonymous_id,event,occurred_at,properties"
MOST_QUERIES = 25


@pytest.fixture
def client() -> Client:
    with time_machine.travel(NOON, tick=False):
        client = Client()
        client.force_login(User.objects.create_superuser("admin"))
    return client


def does(
    number: int, who: str, name: str, minutes_ago: float, /, *, update_facts: bool = True, **properties: Any
) -> None:
    """Let somebody do something: a customer, or a visitor where the name begins with ``b``."""
    moment = (NOON - timedelta(minutes=minutes_ago)).isoformat()
    ids = ["", who] if who.startswith("b") else [who, ""]
    row = [f"m{number}", *ids, name, moment, json.dumps(properties)]
    shop.import_rows("events", row, header=EVENTS, update_facts=update_facts)


@pytest.fixture
def busy() -> None:
    """A customer with an open cart, and two visitors, of whom one came for the first time."""
    with time_machine.travel(NOON, tick=False):
        shop.customers("c1,c1@example.org,DE,google", header="customer_id,email,country,source")
        does(1, "c1", "Product Added", 9, name="Lamp", price=20, quantity=2)
        does(2, "c1", "Page Viewed", 8, title="Home")
        does(3, "b1", "Product Viewed", 3, name="Linen shirt", price=39.9)
        does(4, "b2", "Page Viewed", 3000)
        does(5, "b2", "Page Viewed", 20, title="Sale")
        segment_store.install_templates()
        refresh_all(NOON)


def look(client: Client, **query: Any) -> Any:
    with time_machine.travel(NOON, tick=False):
        return client.get(reverse("admin:customers_customer_live"), query)


def seen(client: Client, **query: Any) -> list[str]:
    return [row.customer.customer_id for row in look(client, **query).context["look"].rows]


@pytest.mark.parametrize(
    ("minutes", "who"),
    [("5", ["anonymous:b1"]), ("15", ["c1", "anonymous:b1"]), ("30", ["c1", "anonymous:b1", "anonymous:b2"])],
)
def test_active_visitors_are_listed_latest_first(minutes, who, busy, client) -> None:
    assert seen(client, minutes=minutes) == who


def test_the_chosen_period_limits_the_list(busy, client) -> None:
    for query, minutes in (({}, "15"), ({"minutes": "30"}, "30"), ({"minutes": ""}, "15")):
        content = " ".join(look(client, **query).content.decode().split())
        assert f"in the last {minutes} minutes" in content
        assert re.findall(r'<option value="(\d+)" selected', content) == [minutes]


def test_a_row_shows_the_activity_of_a_visitor(busy, client) -> None:
    response = look(client)

    row = response.context["look"].rows[0]
    assert (row.customer.customer_id, row.cart, row.visit.events) == ("c1", "40.00 EUR", 2)
    assert row.visit.started_at == NOON - timedelta(minutes=9)
    content = response.content.decode()
    for words in (
        "8 min ago",
        "Home",
        "DE",
        "from google",
        "Waiting with a full cart",
        "1 anonymous, 1 known",
    ):
        assert words in content


def test_records_show_before_facts_are_updated(busy, client) -> None:
    with time_machine.travel(NOON, tick=False):
        does(6, "b9", "Product Added", 1, update_facts=False, price=5)
        shop.orders(f"o1,c1,{NOON.isoformat()},10", update_facts=False)

    rows = look(client, minutes="5").context["look"].rows
    told = {row.customer.customer_id: (row.cart, {one.slug for one in row.segments}) for row in rows}
    assert list(told) == ["c1", "anonymous:b9", "anonymous:b1"]
    assert told["anonymous:b9"][0] == "5.00 EUR"
    assert told["anonymous:b9"][1] == {"anonymous", "browsers", "waiting"}
    assert told["c1"][0] == ""
    assert "first-order" in told["c1"][1]


@pytest.mark.parametrize(
    ("query", "who"),
    [
        ({"who": "anonymous"}, ["anonymous:b1", "anonymous:b2"]),
        ({"who": "known"}, ["c1"]),
        ({"cart": "on"}, ["c1"]),
        ({"first_visit": "on"}, ["c1", "anonymous:b1"]),
        ({"viewed": "LINEN"}, ["anonymous:b1"]),
        ({"country": "de"}, ["c1"]),
        ({"segment": "browsers", "who": "anonymous"}, ["anonymous:b1", "anonymous:b2"]),
        ({"rule": '{"event_count": {"at_least": 2}}'}, ["c1", "anonymous:b2"]),
        ({"rule": '{"total_spent": {"top_percent": 10}}'}, []),
    ],
)
def test_a_filter_is_a_rule_that_is_evaluated_now(query, who, busy, client) -> None:
    assert seen(client, minutes="60", **query) == who


def test_a_segment_filter_is_evaluated_live(busy, client) -> None:
    with time_machine.travel(NOON, tick=False):
        does(7, "b1", "Product Added", 1, update_facts=False, price=5)

    assert seen(client, segment="waiting") == ["c1", "anonymous:b1"]
    assert shop.members("waiting") == ["c1"]


def test_a_fixed_list_is_a_filter_and_a_label(busy, client) -> None:
    segment_store.create_fixed_list("friends", "Friends", [Customer.objects.get(customer_id="c1").pk], NOON)

    [row] = look(client, segment="friends").context["look"].rows
    assert "Friends" in [segment.name for segment in row.segments]


def test_a_population_statistic_is_that_of_all_customers(busy, client) -> None:
    """Also where those who are looked at are summed up anew, and no refresh has left the figure."""
    with time_machine.travel(NOON, tick=False):
        shop.orders("o1,rich,2026-01-01,1000", "o2,c1,2026-01-01,10", "o3,poor,2026-01-01,1")
        does(8, "c1", "Page Viewed", 1, update_facts=False)

    assert seen(client, rule='{"total_spent": {"above": "median"}}') == []
    assert seen(client, rule='{"total_spent": {"top_percent": 50}}') == ["c1"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"rule": '{"order_count": {"at_least": "two"}}'}, "rule.order_count.at_least"),
        ({"rule": "{"}, "not JSON"),
        ({"segment": "ghost"}, "Select a valid choice"),
        ({"minutes": "7"}, "Select a valid choice"),
        ({"country": "a\x00"}, "Null characters"),
    ],
)
def test_the_error_of_an_invalid_filter_is_shown(query, words, busy, client) -> None:
    response = look(client, **query)
    assert response.status_code == 200
    assert words in response.content.decode()
    assert not response.context["look"].rows


def test_a_segment_with_an_invalid_rule_does_not_break_the_page(busy, client) -> None:
    Segment.objects.filter(slug="hero").update(rule={"gone": {}})

    assert seen(client) == ["c1", "anonymous:b1"]
    assert "is invalid" in look(client, segment="hero").content.decode()


def test_a_segment_is_created_from_the_filter(busy, client) -> None:
    save = look(client, who="anonymous", segment="browsers").context["save"]

    with time_machine.travel(NOON, tick=False):
        content = client.get(save).context["adminform"].form["rule"].value()
    assert json.loads(content) == {"all": [{"known": {"is": False}}, {"in_segment": {"is": "browsers"}}]}


def test_polling_returns_only_the_part_that_changes(busy, client) -> None:
    with time_machine.travel(NOON, tick=False):
        address = reverse("admin:customers_customer_live")
        content = client.get(address, headers={"HX-Request": "true"}).content.decode()

    assert 'hx-swap-oob="innerHTML:#visitor-count"' in content
    assert "<html" not in content


def test_the_page_says_when_more_visitors_were_active_than_it_evaluates(busy, client, monkeypatch) -> None:
    monkeypatch.setattr(page, "MAX_VISITORS", 2)

    response = look(client, minutes="60")
    assert len(response.context["look"].rows) == 2
    content = " ".join(response.content.decode().split())
    assert "More were active" in content
    assert "<strong>2</strong> latest visitors in the last 60 minutes" in content


@pytest.mark.parametrize(("update_facts", "most"), [(True, MOST_QUERIES), (False, MOST_QUERIES + 15)])
def test_many_visitors_are_paged_in_few_queries(
    update_facts, most, busy, client, django_assert_max_num_queries
) -> None:
    """Whom nobody has settled yet are summed up for the moment, in so many more."""
    with time_machine.travel(NOON, tick=False):
        rows = [[f"p{n}", "", f"b{n + 100}", "Page Viewed", NOON.isoformat(), "{}"] for n in range(60)]
        shop.import_rows("events", *rows, header=EVENTS, update_facts=update_facts)

    with django_assert_max_num_queries(most):
        first = look(client, who="anonymous")
    pages = [seen(client, who="anonymous", page=number) for number in (1, 2, 3, 99)]
    assert [len(shown) for shown in pages] == [25, 25, 11, 11]
    assert len({who for shown in pages for who in shown}) == 61
    assert first.context["look"].fitting == 61


def test_an_empty_list_says_what_to_do(client) -> None:
    assert "Get the tracking snippet" in look(client).content.decode()

    with time_machine.travel(NOON, tick=False):
        does(1, "b1", "Page Viewed", days(3).total_seconds() / 60)
    content = look(client).content.decode()
    assert "The latest event was" in content
    assert "12 Mar 2026" in content


def test_a_filter_without_matches_links_to_all_visitors(busy, client) -> None:
    assert "None of the 2 visitors matches the filter" in look(client, country="ES").content.decode()
