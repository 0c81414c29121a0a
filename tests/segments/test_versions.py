"""Versions of a rule: stored with their author, compared, and restored."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from segments import segment_store
from segments.models import Segment, Version
from tests.support import shop

pytestmark = pytest.mark.django_db

KNOWN = {"known": {"is": True}}
BUYERS = {"order_count": {"at_least": 1}}
BIG = {"all": [{"order_count": {"at_least": 1}}, {"total_spent": {"at_least": 500}}]}


@pytest.fixture
def anna() -> User:
    return User.objects.create_superuser("anna")


@pytest.fixture
def admin(anna: User) -> Client:
    client = Client()
    client.force_login(anna)
    return client


@pytest.fixture
def buyers(anna: User) -> Segment:
    """A segment of two versions: one that a command saved, one that Anna saved."""
    segment = shop.segment("buyers", BUYERS)
    segment.rule = BIG
    return segment_store.save_segment(segment, by=anna)


def versions(slug: str) -> list[tuple[int, Any, str]]:
    found = Version.objects.filter(segment__slug=slug).order_by("number")
    return list(found.values_list("number", "rule", "saved_by_name"))


def address(name: str, *args: object) -> str:
    return reverse(f"admin:segments_segment_{name}", args=args)


def text(response: Any) -> str:
    return " ".join(response.content.decode().split()).replace(" >", ">")


def test_each_edit_of_the_rule_stores_a_version_with_its_author(buyers: Segment, anna: User) -> None:
    buyers.name = "Those who bought"
    segment_store.save_segment(buyers)

    assert versions("buyers") == [(1, BUYERS, ""), (2, BIG, "anna")]
    assert buyers.version == 2
    assert Version.objects.get(number=2).saved_at <= buyers.updated_at


def test_an_import_stores_a_version_if_the_rule_differs() -> None:
    given = [{"slug": "known", "name": "Known", "rule": KNOWN}]
    segment_store.import_segments(given)
    segment_store.import_segments(given)
    segment_store.import_segments([given[0] | {"rule": BUYERS}])

    assert versions("known") == [(1, KNOWN, ""), (2, BUYERS, "")]


def test_a_version_shows_its_author_after_the_account_is_deleted(
    buyers: Segment, anna: User, admin: Client
) -> None:
    User.objects.create_superuser("boss")
    anna.delete()
    version = Version.objects.get(number=2)

    assert version.saved_by is None
    assert version.saved_by_name == "anna"


def test_the_form_stores_a_version_with_its_author(admin: Client) -> None:
    data = {"name": "Known", "slug": "known", "rule": '{"known": {"is": true}}', "is_active": "on"}
    admin.post(address("add"), data)

    assert versions("known") == [(1, KNOWN, "anna")]


def test_the_history_shows_each_version_as_a_sentence(buyers: Segment, admin: Client) -> None:
    content = text(admin.get(address("versions", buyers.pk)))

    assert "anna" in content
    assert content.count('data-label="Version"') == 2


def test_two_versions_are_compared_as_sentences_and_as_json(buyers: Segment, admin: Client) -> None:
    content = text(admin.get(address("compare", buyers.pk), {"from": 1, "to": 2}))

    assert "Everyone who <del>placed at least 1 order</del>" not in content
    assert content.count("<ins>") > 1
    assert "Restore version 1" in content
    assert "Restore version 2" not in content


def test_the_indentation_of_compared_json_is_that_of_the_rule(buyers: Segment, admin: Client) -> None:
    """The style sheet keeps the white space of these cells, so the template must add none."""
    content = admin.get(address("compare", buyers.pk), {"from": 1, "to": 2}).content.decode()

    assert "<td>{</td>" in content
    assert "<td></td>" in content


@pytest.mark.parametrize("query", [{}, {"from": "x", "to": "²"}, {"from": "99"}, {"from": "9" * 30}])
def test_unknown_versions_are_replaced_by_the_latest_two(
    query: dict[str, str], buyers: Segment, admin: Client
) -> None:
    context = admin.get(address("compare", buyers.pk), query).context

    assert (context["before"].number, context["after"].number) == (1, 2)


def test_a_rule_that_was_never_edited_has_nothing_to_compare(admin: Client) -> None:
    known = shop.segment("known", KNOWN)

    assert "nothing to compare yet" in text(admin.get(address("compare", known.pk)))


def test_restoring_creates_a_version_and_can_be_undone(buyers: Segment, admin: Client) -> None:
    said = text(admin.post(address("restore", buyers.pk, 1), follow=True))
    buyers.refresh_from_db()

    assert (buyers.rule, buyers.version) == (BUYERS, 3)
    assert versions("buyers")[-1] == (3, BUYERS, "anna")
    assert "restore version 2" in said

    admin.post(address("restore", buyers.pk, 2))
    admin.post(address("restore", buyers.pk, 2))
    buyers.refresh_from_db()
    assert (buyers.rule, buyers.version) == (BIG, 4)


def test_a_version_that_refers_to_a_deleted_segment_is_not_restored(admin: Client) -> None:
    inner, outer = shop.segment("inner", KNOWN), shop.segment("outer", {"in_segment": {"is": "inner"}})
    outer.rule = BUYERS
    segment_store.save_segment(outer)
    segment_store.delete_segments([inner])

    said = text(admin.post(address("restore", outer.pk, 1), follow=True))

    assert "there is no segment &#x27;inner&#x27;" in said
    assert Segment.objects.get(slug="outer").rule == BUYERS


def test_restoring_needs_the_permission_to_change_segments(buyers: Segment, admin: Client) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_segment"))
    client = Client()
    client.force_login(viewer)

    assert "Restore version" not in text(client.get(address("compare", buyers.pk)))
    assert client.post(address("restore", buyers.pk, 1)).status_code == 403
    assert admin.get(address("restore", buyers.pk, 1)).status_code == 405
    assert admin.post(address("restore", buyers.pk, 9)).status_code == 404
