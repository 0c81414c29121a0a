"""How staff keep order among segments: duplicates, tags, stars, search, and what a deletion brings about."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from segments import segment_store
from segments.models import Endpoint, Segment
from segments.refresh.engine import refresh_all
from segments.webhooks import endpoints
from tests.support import shop

pytestmark = pytest.mark.django_db

KNOWN = {"known": {"is": True}}


@pytest.fixture
def admin() -> Client:
    return logged_in("admin")


def logged_in(name: str) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser(name))
    return client


def address(name: str, *args: Any) -> str:
    return reverse(f"admin:segments_segment_{name}", args=args)


def text(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def listed(client: Client, **query: str) -> list[str]:
    response = client.get(address("changelist"), query)
    assert response.status_code == 200
    return [segment.slug for segment in response.context["cl"].result_list]


def fields_of(segment: Segment, **changed: str) -> dict[str, str]:
    return {
        "name": segment.name,
        "slug": segment.slug,
        "rule": '{"known": {"is": true}}',
        "is_active": "on",
    } | changed


def test_a_duplicate_is_a_new_segment_with_the_same_rule_and_tags(admin: Client) -> None:
    original = shop.segment("heroes", KNOWN)
    admin.post(address("change", original.pk), fields_of(original, tags="vip, 2026"))
    link = re.search(r'href="([^"]*duplicate=\d+)"', admin.get(address("changelist")).content.decode())
    assert link

    initial = admin.get(link[1]).context["adminform"].form
    given = {name: initial[name].value() for name in ("name", "slug", "rule", "tags")}
    assert given["name"] == "Copy of Heroes"
    assert given["slug"] == "heroes-2"
    made = admin.post(address("add"), given | {"is_active": "on"})

    copy = Segment.objects.get(slug="heroes-2")
    assert made["Location"] == address("change", copy.pk)
    assert copy.rule == KNOWN
    assert [tag.name for tag in copy.tags.all()] == ["2026", "vip"]


@pytest.mark.parametrize("given", ["x", "4711", "9" * 30, ""])
def test_a_duplicate_of_nothing_is_an_empty_form(given: str, admin: Client) -> None:
    assert admin.get(address("add"), {"duplicate": given}).status_code == 200


def test_a_saved_segment_is_refreshed_at_once_and_its_page_fills(
    admin: Client, django_capture_on_commit_callbacks: Any
) -> None:
    shop.customers("c1,c1@example.org")
    segment = Segment(name="New", slug="new")
    with django_capture_on_commit_callbacks(execute=True):
        made = admin.post(address("add"), fields_of(segment))
    created = Segment.objects.get(slug="new")
    assert made["Location"] == address("change", created.pk)
    page = text(admin.get(made["Location"]))
    assert "Finding the members" in page
    assert address("filling", created.pk) in page
    assert "Finding the members" in text(admin.get(address("filling", created.pk)))

    refresh_all()
    filled = admin.get(address("filling", created.pk))
    assert filled["HX-Refresh"] == "true"
    assert "Finding the members" not in text(admin.get(address("change", created.pk)))


def test_tags_narrow_the_list_and_are_found_by_search(admin: Client) -> None:
    heroes, lost = shop.segment("heroes", KNOWN), shop.segment("lost", KNOWN)
    shop.segment("others", KNOWN)
    admin.post(address("change", heroes.pk), fields_of(heroes, tags=" VIP ,, summer  sale,vip"))
    admin.post(address("change", lost.pk), fields_of(lost, tags="vip"))

    assert [tag.name for tag in lost.tags.all()] == ["VIP"]  # spelled as at other segments
    assert listed(admin, tag="VIP") == ["heroes", "lost"]
    assert listed(admin, q="summer") == ["heroes"]
    assert listed(admin, q="vip") == ["heroes", "lost"]
    assert 'href="?tag=summer+sale"' in text(admin.get(address("changelist")))
    assert listed(admin, tag="\x00") == listed(admin, tag="x" * 500) == listed(admin)

    form = admin.get(address("rule", heroes.pk)).context["adminform"].form
    assert form["tags"].value() == "summer sale, VIP"
    admin.post(address("change", heroes.pk), fields_of(heroes, tags=""))
    assert not heroes.tags.exists()
    long = admin.post(address("change", heroes.pk), fields_of(heroes, tags="x" * 51))
    assert "is longer than 50 characters" in text(long)


def test_a_fixed_list_has_tags(admin: Client) -> None:
    friends = segment_store.create_fixed_list("friends", "Friends", [], shop.NOON)
    admin.post(address("change", friends.pk), {"name": "Friends", "slug": "friends", "tags": "vip"})

    assert listed(admin, tag="vip") == listed(admin, kind="static") == ["friends"]


def test_a_star_puts_a_segment_first_for_one_person_only(admin: Client) -> None:
    shop.segment("alpha", KNOWN)
    omega = shop.segment("omega", KNOWN)
    other = logged_in("other")
    back = address("change", omega.pk)
    starred = admin.post(
        address("star", omega.pk), {"starred": "yes"}, headers={"Referer": f"http://testserver{back}"}
    )

    assert starred["Location"] == f"http://testserver{back}"
    assert listed(admin) == ["omega", "alpha"]
    assert listed(admin, starred="yes") == ["omega"]
    assert listed(other) == ["alpha", "omega"]
    assert listed(other, starred="yes") == []
    assert 'aria-pressed="true"' in text(admin.get(back))

    for _ in range(2):
        elsewhere = {"Referer": "https://evil.example/"}
        removed = admin.post(address("star", omega.pk), {"starred": "no"}, headers=elsewhere)
        assert removed["Location"] == address("changelist")
    assert listed(admin) == ["alpha", "omega"]


def test_what_changes_with_a_deletion_is_listed_before_it(admin: Client) -> None:
    shop.customers("c1,c1@example.org")
    segment = shop.segment("heroes", KNOWN)
    refresh_all()
    Segment.objects.update(is_public=True)
    everything = Endpoint(name="Everything", url="https://93.184.216.34/hook")
    endpoints.create_endpoint(everything, [], shop.NOON)
    admin.post(address("star", segment.pk), {"starred": "yes"})

    for response in (
        admin.get(address("delete", segment.pk)),
        admin.post(address("changelist"), {"action": "delete_selected", "_selected_action": segment.pk}),
    ):
        page = text(response)
        assert "1 membership" in page
        assert "The webhook" in page
        assert "Everything" in page
        assert "pages of the shop no longer see" in page
        assert "1 person starred it" in page

    admin.post(address("delete", segment.pk), {"post": "yes"})
    assert not Segment.objects.exists()
