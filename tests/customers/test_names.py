"""What staff call a person: by name or address where there is one, as a visitor where there is not."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from customers.models import Customer
from segments.models import Segment
from segments.refresh.engine import refresh_all
from tests.support import shop

pytestmark = pytest.mark.django_db

BROWSER = "3f1f0c1a-9d7e-4b0a-8f5e-0123456789ab"
HEADER = "customer_id,email,phone,first_name,last_name,source"
EVENTS = "message_id,customer_id,anonymous_id,event,occurred_at"


def client_of(role: str) -> Client:
    client, user = Client(), User.objects.create_user(role.lower(), is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client


def visits(browser: str, *hours: int) -> list[str]:
    return [f"{browser}-{hour},,{browser},Page Viewed,2026-03-01T{hour:02}:00:00Z" for hour in hours]


def names() -> dict[str, str]:
    return {one.customer_id: one.name for one in Customer.objects.select_related("facts")}


def page(client: Client, view: str, *args: Any, **query: Any) -> str:
    response = client.get(reverse(f"admin:{view}", args=args), query)
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("c1,lea@example.org,+4930123456,Lea,Lang,google", "Lea Lang"),
        ("c1,lea@example.org,+4930123456,,Lang,", "Lang"),
        ("c1,lea@example.org,+4930123456,,,google", "lea@example.org"),
        ("c1,,+4930123456,,,", "+4930123456"),
        ("1017,,,,,google", "Customer 1017"),
        ("lea@example.org,,,,,", "lea@example.org"),
        (f"{BROWSER},,,,,", "Customer"),
        (f"{'ab12' * 8},,,,,", "Customer"),
    ],
)
def test_a_customer_is_called_by_name_then_address_then_number_then_readable_id(row: str, name: str) -> None:
    shop.customers(row, header=HEADER)

    assert list(names().values()) == [name]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("instagram", "Visitor from Instagram"),
        ("", "Visitor"),
        ("(direct)", "Visitor"),
        ("x" * 255, f"Visitor from X{'x' * 39}"),
    ],
)
def test_a_visitor_is_called_by_source_and_visits(source: str, name: str) -> None:
    shop.events(*visits(BROWSER, 1, 5, 9), header=EVENTS)
    Customer.objects.update(source=source)

    assert list(names().values()) == [f"{name}, 3 visits"]


def test_one_visit_is_singular() -> None:
    shop.events(*visits(BROWSER, 1), header=EVENTS)

    assert list(names().values()) == ["Visitor, 1 visit"]


@pytest.fixture
def people() -> None:
    """Three visitors, the newest of all, and a known customer who came first; all in the segment everybody."""
    shop.customers("c1,lea@example.org,,Lea,Lang,", header=HEADER)
    for number in range(3):
        shop.events(*visits(f"{BROWSER[:-1]}{number}", 1, 4), header=EVENTS)
    Customer.objects.exclude(customer_id="c1").update(source="instagram")
    shop.segment("everybody", {"any": [{"known": {"is": True}}, {"known": {"is": False}}]})
    refresh_all()


@pytest.mark.usefixtures("people")
def test_pages_name_people_and_never_show_the_id_of_a_browser() -> None:
    client = client_of("Marketer")
    segment = Segment.objects.get(slug="everybody").pk
    visitor = Customer.objects.get(customer_id=f"anonymous:{BROWSER[:-1]}0")
    for view, args in (
        ("customers_customer_changelist", []),
        ("segments_segment_members", [segment]),
        ("segments_segment_versions", [segment]),
        ("customers_customer_explain", [visitor.pk]),
    ):
        shown = page(client, view, *args)
        assert "Visitor from Instagram, 2 visits" in shown
        assert BROWSER[:-1] not in shown, view

    shown = page(client, "customers_customer_change", visitor.pk)
    assert "Visitor from Instagram, 2 visits</h2>" in shown
    assert re.search(r"> Customers </a>.*> Visitor from Instagram, 2 visits </a>", shown)
    assert BROWSER[:-1] not in re.sub(r"<h4>Ids</h4>.*?</ul>", "", shown)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("view", ["customers_customer_changelist", "segments_segment_members"])
def test_known_people_come_first_and_a_visitor_costs_no_query(
    view: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = client_of("Marketer")
    args = [Segment.objects.get(slug="everybody").pk] if "segment" in view else []
    page(client, view, *args)

    with django_assert_max_num_queries(25) as once:
        shown = page(client, view, *args)
    assert shown.index("Lea Lang") < shown.index("Visitor from Instagram")

    for number in range(3, 9):
        shop.events(*visits(f"{BROWSER[:-1]}{number}", 1), header=EVENTS)
    refresh_all()
    with django_assert_max_num_queries(len(once) + 3):  # fewer than the six who came
        assert page(client, view, *args).count("Visitor") > 8


@pytest.mark.usefixtures("people")
def test_a_role_without_contact_data_sees_first_letters() -> None:
    viewer = client_of("Viewer")

    for view, args in (
        ("customers_customer_changelist", []),
        ("segments_segment_members", [Segment.objects.get(slug="everybody").pk]),
    ):
        shown = page(viewer, view, *args)
        assert "L••• L•••" in shown
        assert "Lea" not in shown
        assert "Visitor from Instagram, 2 visits" in shown
