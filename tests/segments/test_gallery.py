"""The gallery of templates shows how many customers match, and which segments exist already."""

from collections.abc import Iterator

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from segments import segment_store
from segments.models import Segment
from segments.templates import PURPOSES, TEMPLATES
from tests.support import shop
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    return client


@pytest.fixture
def buyers(client: Client) -> Iterator[None]:
    with time_machine.travel(NOON, tick=False):
        shop.customers("c1,c1@example.org", "c2,", "c3,c3@example.org")
        shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-01-01,10", "o3,c3,2025-01-01,10")
        client.force_login(User.objects.get())  # in the time of the shop
        yield


def size(client: Client, slug: str, **parameters: str) -> str:
    address = reverse("admin:segments_segment_template_size", args=[slug])
    query = {f"{slug}-{name}": value for name, value in parameters.items()}
    return " ".join(client.get(address, query).content.decode().split()).replace(" >", ">")


def test_every_template_is_shown_once_under_its_purpose(client) -> None:
    groups = client.get(reverse("admin:segments_segment_from_template")).context["groups"]

    assert [title for title, _ in groups] == list(PURPOSES.values())
    assert sorted(card.template.slug for _, cards in groups for card in cards) == sorted(TEMPLATES)


def test_a_template_shows_how_many_customers_match(buyers, client) -> None:
    told = size(client, "lost")

    assert '1 <small class="muted">of 3 customers, 1 known' in told
    assert "was last active longer than 90 days ago" in told
    assert not Segment.objects.exists()


def test_the_number_changes_with_the_parameters(buyers, client) -> None:
    assert "2 <small" in size(client, "lost", days="40")
    assert "longer than 40 days ago" in size(client, "lost", days="40")


@pytest.mark.parametrize("days", ["0", "x", "", "1.5", "99999"])
def test_the_error_of_an_invalid_parameter_says_what_to_change(days, buyers, client) -> None:
    assert "Days:" in size(client, "lost", days=days)


def test_an_unknown_template_is_not_found(client) -> None:
    address = reverse("admin:segments_segment_template_size", args=["ghost"])
    assert client.get(address).status_code == 404


def test_existing_segments_are_linked(client) -> None:
    segment = segment_store.create_from_template(TEMPLATES["lost"], slug="gone", name="Gone", days=10)

    content = client.get(reverse("admin:segments_segment_from_template")).content.decode()
    assert content.count("✓ you have") == 1
    assert reverse("admin:segments_segment_change", args=[segment.pk]) in content
    assert "Gone" in content


def test_a_segment_gets_the_given_name(client) -> None:
    data = {"template": "lost", "lost-slug": "lost", "lost-days": "120", "lost-name": "Lost for 120 days"}
    client.post(reverse("admin:segments_segment_from_template"), data)

    assert Segment.objects.get(slug="lost").name == "Lost for 120 days"
