"""The search of the admin finds what its user may see: customers, orders, segments, campaigns and pages."""

import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from customers.facts import update
from segments.models import Segment

from .support import furnished_shop
from .support.shop import customers, orders

pytestmark = pytest.mark.django_db


@pytest.fixture
def search() -> Callable[..., list[str]]:
    """Return the titles of what one of the staff finds."""
    customers(
        "c1,anna@example.org,+4930123456,Anna,Müller",
        "c2,bob@example.org,,Bob,<b>Bold</b>",
        header="customer_id,email,phone,first_name,last_name",
    )
    orders("#1001,c1,2026-03-01T10:00:00Z,50")
    update.update_facts()
    Segment.objects.create(name="Café friends", slug="cafe", rule={"known": {"is": True}})
    furnished_shop.furnish_shop()

    def searched(who: str, term: str) -> list[str]:
        response = furnished_shop.logged_in_client(who).get(reverse("admin:search"), {"s": term})
        assert response.status_code == 200
        found = re.findall(r'<span class="stacked"><span>(.*?)</span><small>', response.content.decode())
        return [title for title in found if title]

    return searched


@pytest.mark.parametrize(
    ("term", "title"),
    [
        ("muller ann", "Anna Müller"),
        ("c1", "Anna Müller"),
        ("anna@ex", "Anna Müller"),
        ("1001", "Order #1001"),
        ("#1001", "Order #1001"),
        ("cafe", "Café friends"),
        ("CAFÉ FR", "Café friends"),
        ("guests opening", "Opening"),
        ("webhook", "Webhooks"),
        ("cron", "Schedules"),
        ("colleague", "Invite a colleague"),
        ("bold", "Bob &lt;b&gt;Bold&lt;/b&gt;"),
    ],
)
def test_an_administrator_finds_people_orders_segments_campaigns_and_pages(term, title, search):
    assert title in search("administrator", term)[:2]


def test_a_viewer_finds_neither_contact_data_nor_pages_of_the_system(search):
    assert [
        search("viewer", term) for term in ("muller", "anna@", "+4930", "cron", "api keys", "colleague")
    ] == [[]] * 6
    assert search("viewer", "c1") == ["A••• M•••"]
    assert search("viewer", "1001") == ["Order #1001"]
    assert search("viewer", "cafe") == ["Café friends"]


def test_staff_without_a_permission_find_nothing_of_its_kind(search):
    User.objects.create(username="keeper", is_staff=True).user_permissions.set(
        Permission.objects.filter(codename="view_campaign")
    )

    assert [search("keeper", term) for term in ("c1", "1001", "cafe")] == [[], [], []]
    assert search("keeper", "opening") == ["Opening"]


def test_a_search_for_nothing_or_anything_odd_finds_nothing(search):
    assert [search("administrator", term) for term in ("", "  ", "\x00", "%", "zzzzzz", "x" * 5_000)] == [
        []
    ] * 6


def test_a_search_that_takes_too_long_says_so(search, settings):
    settings.SEARCH_PATIENCE = 0

    response = furnished_shop.logged_in_client("administrator").get(reverse("admin:search"), {"s": "cafe"})

    assert "took too long" in response.content.decode()
    assert "Café friends" in response.content.decode()


def test_a_search_takes_few_queries(search, django_assert_max_num_queries):
    client = furnished_shop.logged_in_client("administrator")

    with django_assert_max_num_queries(30):
        client.get(reverse("admin:search"), {"s": "example"})
