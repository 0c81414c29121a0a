"""Staff find customers by any part of what they know about them, and only by what they may see."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from customers.facts import update
from customers.models import Customer
from tests.support import shop

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture(autouse=True)
def people() -> None:
    shop.customers(
        "c1,anna.rossi@example.org,+39 02 1234567,Anna-Maria,Müller",
        "c2,sean@example.org,,Seán,O’Brien",
        "c3,dmitri@example.org,,Дмитрий,Łucki",
        "c4,,,,",
        header="customer_id,email,phone,first_name,last_name",
    )
    update.update_facts()


def found(client: Client, term: str) -> list[str]:
    response = client.get(reverse("admin:customers_customer_changelist"), {"q": term})
    return sorted(customer.customer_id for customer in response.context["cl"].result_list)


@pytest.mark.parametrize(
    ("term", "whom"),
    [
        *((term, ["c1"]) for term in ("muller", "MÜLL", "üll", "maria", "anna müll", "mul ann", "rossi", "+39 02 12")),
        *((term, ["c2"]) for term in ("sean", "Seán", "obrien", "O'Brien", "o’bri", "bri")),
        *((term, ["c3"]) for term in ("Дмит", "dmitri", "lucki", "łuc")),
        ("c", ["c1", "c2", "c3", "c4"]),
        ("example", ["c1", "c2", "c3"]),
        ("%", []),
        ("_", []),
        ("anna lucki", []),
    ],
)  # fmt: skip
def test_a_customer_is_found_by_any_part_with_and_without_accents(client, term, whom):
    assert found(client, term) == whom


def test_the_search_follows_what_is_sent_later(client):
    shop.customers("c1,Müller-Lüdenscheidt", header="customer_id,last_name")
    shop.customers("c4,new@example.org", header="customer_id,email")

    assert (found(client, "lüdens"), found(client, "anna"), found(client, "new@")) == (["c1"], ["c1"], ["c4"])


def test_a_search_that_takes_too_long_says_so(client, settings):
    settings.SEARCH_PATIENCE = 0

    response = client.get(reverse("admin:customers_customer_changelist"), {"q": "muller"})

    assert "took too long" in response.content.decode()


def test_a_viewer_finds_nobody_by_a_part_of_a_name_or_address():
    viewer = User.objects.create(username="viewer", is_staff=True)
    viewer.groups.set([Group.objects.get(name="Viewer")])
    client = Client()
    client.force_login(viewer)

    assert [found(client, term) for term in ("muller", "ssi", "example", "bri")] == [[], [], [], []]
    assert found(client, "c2") == ["c2"]


def test_an_erased_customer_leaves_no_search_text(client):
    customer = Customer.objects.get(customer_id="c1")
    client.post(reverse("admin:customers_customer_erase", args=[customer.pk]), {"typed": "c1"})

    assert not Customer.objects.filter(search_text__contains="muller").exists()
