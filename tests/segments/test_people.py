"""The people of a segment: a table whose columns, order and filters staff choose, and what they select from it."""

import csv
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from campaigns.models import Campaign
from customers.models import Customer
from segments.admin.people import selection
from segments.models import Membership, Segment
from segments.refresh.engine import refresh_all
from tests.support import shop

pytestmark = pytest.mark.django_db

EVERYBODY = {"any": [{"known": {"is": True}}, {"known": {"is": False}}]}
HEADER = "customer_id,email,first_name,last_name,country,newsletter"


def client_of(role: str) -> Client:
    client, user = Client(), User.objects.create_user(role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client


@pytest.fixture
def marketer() -> Client:
    return client_of("Marketer")


@pytest.fixture
def everybody(db: None) -> Segment:
    """Three customers and a visitor; Anna spent most, Ben ordered most often, Cleo never ordered."""
    shop.customers(
        "a,anna@example.org,Anna,Zimmer,IT,true",
        "b,ben@example.org,Ben,Young,FR,",
        "c,cleo@example.org,Cleo,Xu,IT,true",
        header=HEADER,
    )
    shop.orders("o1,a,2026-03-01,900", "o2,b,2026-02-01,10", "o3,b,2026-02-11,10.50", "o4,b,2026-02-21,10")
    shop.events("m1,,browser-1,Page Viewed,2026-03-01T10:00:00Z")
    segment = shop.segment("everybody", EVERYBODY)
    refresh_all()
    return Segment.objects.get(pk=segment.pk)


def address(segment: Segment, name: str = "members", query: str = "") -> str:
    return reverse(f"admin:segments_segment_{name}", args=[segment.pk]) + query


def names(client: Client, segment: Segment, query: str = "") -> list[str]:
    response = client.get(address(segment, query=query))
    assert response.status_code == 200
    return [member.customer.name for member in response.context["members"]]


def downloaded(response: Any) -> list[list[str]]:
    return list(csv.reader(b"".join(response).decode().splitlines()))


VISITOR = "Visitor, 1 visit"
ANNA, BEN, CLEO = "Anna Zimmer", "Ben Young", "Cleo Xu"


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("name", [CLEO, BEN, ANNA, VISITOR]),
        ("-name", [ANNA, BEN, CLEO, VISITOR]),
        ("-spent", [ANNA, BEN, VISITOR, CLEO]),
        ("orders", [VISITOR, CLEO, ANNA, BEN]),
        ("-last_order", [ANNA, BEN, VISITOR, CLEO]),
        ("last_order", [BEN, ANNA, VISITOR, CLEO]),
        ("-average", [ANNA, BEN, VISITOR, CLEO]),
        ("country", [BEN, CLEO, ANNA, VISITOR]),
    ],
)
def test_people_are_sorted_by_any_column_with_missing_values_last(
    sort: str, order: list[str], marketer: Client, everybody: Segment
) -> None:
    assert names(marketer, everybody, f"?sort={sort}") == order


def test_every_column_can_be_shown_sorted_by_and_exported(marketer: Client, everybody: Segment) -> None:
    columns = [column.key for column, _ in marketer.get(address(everybody)).context["all_columns"]]
    assert len(columns) > 15
    for key in columns:
        for sort in (key, f"-{key}"):
            assert len(names(marketer, everybody, f"?columns={key}&sort={sort}")) == 4
        header, *rows = downloaded(marketer.get(address(everybody, "members_csv", f"?columns={key}")))
        assert header == ["customer_id", "name", *([key] if key != "name" else header[2:])]
        assert len(rows) == 4


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("known=no", {VISITOR}),
        ("known=yes", {ANNA, BEN, CLEO}),
        ("newsletter=subscribed", {ANNA, CLEO}),
        ("country=it", {ANNA, CLEO}),
        ("orders=1", {ANNA, BEN}),
        ("spent=31", {ANNA}),
        ("spent=30", {ANNA, BEN}),
        ("active=1", {CLEO}),
        ("q=young", {BEN}),
        ("country=IT&orders=0&known=yes&newsletter=subscribed&spent=1", {ANNA}),
    ],
)
def test_people_are_filtered(query: str, found: set[str], marketer: Client, everybody: Segment) -> None:
    response = marketer.get(address(everybody, query=f"?{query}"))

    assert {member.customer.name for member in response.context["members"]} == found
    assert response.context["total"] == len(found)


def test_chosen_columns_are_remembered_and_exported_as_seen(marketer: Client, everybody: Segment) -> None:
    shown = marketer.get(address(everybody, query="?columns=spent&columns=city&sort=-spent&country=IT"))
    export = shown.context["export"]

    header, *rows = downloaded(marketer.get(address(everybody, "members_csv", export)))
    assert header == ["customer_id", "name", "spent", "city"]
    assert rows == [["a", ANNA, "900.0000", ""], ["c", CLEO, "0.0000", ""]]

    other = shop.segment("others", {"known": {"is": True}})
    headers = [head["column"].key for head in marketer.get(address(other)).context["headers"]]
    assert headers == ["name", "spent", "city"]


def test_a_role_without_contact_data_sorts_by_no_masked_column(everybody: Segment) -> None:
    viewer = client_of("Viewer")
    shown = viewer.get(address(everybody))

    linked = {head["column"].key for head in shown.context["headers"] if head["url"]}
    assert "spent" in linked
    assert "name" not in linked
    assert names(viewer, everybody, "?sort=name") == names(viewer, everybody)
    content = viewer.get(
        address(everybody, "members_csv", "?columns=email&columns=city&columns=name&columns=id")
    )
    assert not [told for told in ("anna", "Anna", "Zimmer") if told in b"".join(content).decode()]


def test_selected_people_are_put_on_a_new_list_or_added_to_one(marketer: Client, everybody: Segment) -> None:
    anna, ben = (Membership.objects.get(customer__customer_id=one).customer_id for one in "ab")
    selected = address(everybody, "members_selected")
    asked = marketer.post(selected, {"do": "list", "customer": [anna]})
    assert "1 person is added" in " ".join(asked.content.decode().split())

    data = {"do": "list", "customer": [anna], "confirmed": "yes"}
    assert "Choose a list or name a new one" in marketer.post(selected, data).content.decode()
    marketer.post(selected, data | {"name": "Best"})
    best = Segment.objects.get(name="Best")
    assert shop.members(best.slug) == ["a"]

    marketer.post(selected, {"do": "list", "customer": [ben], "confirmed": "yes", "segment": best.pk})
    assert shop.members(best.slug) == ["a", "b"]

    marketer.post(
        f"{selected}?country=it", {"do": "list", "everybody": "yes", "confirmed": "yes", "name": "Italy"}
    )
    assert shop.members(Segment.objects.get(name="Italy").slug) == ["a", "c"]


def test_a_campaign_starts_for_selected_people_or_for_the_segment_itself(
    marketer: Client, everybody: Segment
) -> None:
    selected = address(everybody, "members_selected")
    whole = marketer.post(selected, {"do": "campaign", "everybody": "yes"})
    assert whole["Location"] == reverse("admin:campaigns_campaign_segment", args=[everybody.pk])

    data = {"do": "campaign", "everybody": "yes", "confirmed": "yes", "name": "Subscribers"}
    some = marketer.post(f"{selected}?newsletter=subscribed", data)
    chosen = Segment.objects.get(name="Subscribers")
    assert some["Location"] == reverse("admin:campaigns_campaign_segment", args=[chosen.pk])
    marketer.post(some["Location"], {})
    assert Campaign.objects.get().segment == chosen
    assert shop.members(chosen.slug) == ["a", "c"]


def test_selected_people_are_exported_in_the_order_of_the_table(marketer: Client, everybody: Segment) -> None:
    keys = list(Membership.objects.filter(is_known=True).values_list("customer_id", flat=True))
    query = "?columns=orders&sort=-orders"
    response = marketer.post(
        address(everybody, "members_selected", query), {"do": "download", "customer": [*keys[:3], 4711]}
    )

    assert [row[0] for row in downloaded(response)] == ["customer_id", "b", "a", "c"]


def test_nothing_happens_to_nobody_and_strangers_are_not_selected(
    marketer: Client, everybody: Segment
) -> None:
    shop.customers("stranger,stranger@example.org")
    key = Customer.objects.get(customer_id="stranger").pk
    selected = address(everybody, "members_selected")
    for data in ({"do": "list"}, {"customer": ["x"]}, {"do": "x", "everybody": "yes"}):
        assert "Select people first" in marketer.post(selected, data, follow=True).content.decode()

    marketer.post(selected, {"do": "list", "customer": [key], "confirmed": "yes", "name": "None"})
    assert shop.members(Segment.objects.get(name="None").slug) == []


def test_too_many_people_are_not_put_on_a_list_by_one_press(
    marketer: Client, everybody: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "MAX_SELECTED", 3)
    data = {"do": "list", "everybody": "yes", "confirmed": "yes", "name": "All"}

    refused = marketer.post(address(everybody, "members_selected"), data, follow=True)

    assert "more than 3 people" in refused.content.decode()
    assert not Segment.objects.filter(name="All").exists()


@pytest.mark.parametrize("role", ["Viewer", "Marketer"])
def test_a_person_costs_no_query_whatever_the_columns(
    role: str, everybody: Segment, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    shop.customers(*(f"more{number},more{number}@example.org" for number in range(40)))
    refresh_all()
    client = client_of(role)
    columns = [column.key for column, _ in client.get(address(everybody)).context["all_columns"]]
    query = f"?{urlencode({'columns': columns}, doseq=True)}"

    with django_assert_max_num_queries(25):
        assert len(names(client, everybody, query)) == 44
    with django_assert_max_num_queries(15):
        assert len(downloaded(client.get(address(everybody, "members_csv", query)))) == 45
