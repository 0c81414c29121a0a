"""Segments over HTTP: created, edited, deleted and listed, and the refreshes that clients request."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from customers.models import Customer
from segments import segment_store, tasks
from segments.changes import retention
from segments.models import Refresh, Segment, Version
from segments.refresh.engine import refresh_all, refresh_segments
from segments_project.celery import app
from tests.support import shop
from tests.support.api_client import API, ApiClient, error_paths
from tests.support.shop import NOON

pytestmark = pytest.mark.django_db

KNOWN = {"known": {"is": True}}
BUYERS = {"order_count": {"at_least": 1}}


@pytest.fixture
def caller() -> ApiClient:
    return ApiClient()


def new(slug: str = "buyers", **given: Any) -> dict[str, Any]:
    return {"slug": slug, "name": slug.title(), "rule": BUYERS} | given


def refreshed(slug: str, at: datetime = NOON) -> None:
    refresh_segments([Segment.objects.get(slug=slug)], at)


# -- Creating


def test_a_segment_is_created_and_read(caller) -> None:
    response = caller.call("post", "segments/", new(description="Wer je bestellt hat. 🛍"))

    told = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"http://testserver{API}segments/buyers/"
    assert told == caller.get("segments/buyers/")
    assert (told["description"], told["rule"]) == ("Wer je bestellt hat. 🛍", BUYERS)
    assert (told["status"], told["version"], told["size"]) == ("new", 1, 0)
    version = Version.objects.get()
    assert (version.saved_by, version.saved_by_name) == (None, "key client")


def test_a_segment_is_created_from_a_template(caller) -> None:
    told = caller.post("segments/", {"template": "lost", "parameters": {"days": 60}}, 201)

    assert (told["slug"], told["name"]) == ("lost", "Lost")
    assert told["rule"] == {"last_activity": {"not_within_last": "60d"}}
    assert Segment.objects.get().template_parameters == {"days": 60}
    told = caller.post("segments/", {"template": "lost", "slug": "gone", "name": "Gone"}, 201)
    assert (told["slug"], told["name"], told["rule"]) == (
        "gone", "Gone", {"last_activity": {"not_within_last": "90d"}},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ({}, ["slug", "name", "rule"]),
        ([], [""]),
        ("text", [""]),
        (new(slug="no spaces"), ["slug"]),
        (new(slug="a\u0000", name="a"), ["slug", "slug"]),
        (new(slug="x" * 101), ["slug"]),
        (new(slug="preview"), ["slug"]),
        (new(slug="membership"), ["slug"]),
        (new(name=""), ["name"]),
        (new(name="\ud800"), ["name"]),
        (new(name="a\u0000b"), ["name"]),
        (new(name=7.5, size=3, sise=3), ["size", "sise"]),
        (new(rule=None), ["rule"]),
        (new(rule=[]), ["rule"]),
        (new(rule={"all": [{"order_count": {"at_least": "2"}}]}), ["rule.all[0].order_count.at_least"]),
        (new(rule={"any": [{"shoe_size": {"is": 42}}]}), ["rule.any[0].shoe_size"]),
        (new(rule={"in_segment": {"is": "nowhere"}}), ["rule"]),
        (new(rule={"country": {"is": "\ud800"}}), ["rule.country.is"]),
        (new(slug="taken"), ["slug"]),
        ({"template": "lost", "slug": "taken"}, ["slug"]),
        ({"template": "lots"}, ["template"]),
        ({"template": "lost", "parameters": {"days": 0}}, ["parameters.days"]),
        ({"template": "lost", "parameters": {"days": "nan"}}, ["parameters.days"]),
        ({"template": "lost", "parameters": {"days": 10**400}}, ["parameters.days"]),
        ({"template": "lost", "parameters": {"weeks": 2}}, ["parameters.weeks"]),
        ({"template": "lost", "rule": KNOWN}, ["rule"]),
    ],
)
def test_invalid_fields_are_refused_with_their_path(caller, sent, where) -> None:
    shop.segment("taken", KNOWN)

    told = caller.post("segments/", sent, 400)

    assert told["code"] == "invalid"
    assert error_paths(told) == where
    assert [one.slug for one in Segment.objects.all()] == ["taken"]


@pytest.mark.parametrize(
    "body", ['{"rule": ' + '{"all": [' * 50_000, "[" * 100_000 + "]" * 100_000, "{", "\x00"]
)
def test_invalid_json_is_refused(caller, body) -> None:
    response = Client().post(f"{API}segments/", body, content_type="application/json", headers=caller.headers)

    assert (response.status_code, response.json()["code"]) == (400, "parse_error")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ("null", [""]),
        ('{"slug": "a", "name": "a", "rule": {"order_count": {"is": 1e400}}}', ["rule.order_count.is"]),
        ('{"template": "lost", "parameters": {"days": 1e400}}', ["parameters.days"]),
    ],
)
def test_values_that_only_json_can_express_are_refused(caller, body, where) -> None:
    response = Client().post(f"{API}segments/", body, content_type="application/json", headers=caller.headers)

    assert (response.status_code, error_paths(response.json())) == (400, where)


def test_a_deeply_nested_rule_is_refused_at_any_place(caller) -> None:
    deep: Any = {"known": {"is": True}}
    for _ in range(200):
        deep = {"all": [deep]}

    assert "nested too deeply" in caller.post("segments/", new(rule=deep), 400)["message"]
    told = caller.post("segments/", new(rule={"country": {"in": json.loads("[" * 300 + "]" * 300)}}), 400)
    assert error_paths(told) == ["rule.country.in"]


# -- Editing


def test_an_edit_changes_the_given_fields_and_a_rule_creates_a_version(caller) -> None:
    caller.post("segments/", new(description="Old"), 201)

    named = caller.patch("segments/buyers/", {"name": "Buyers of all sorts"})
    assert (named["name"], named["description"], named["version"]) == ("Buyers of all sorts", "Old", 1)
    refreshed("buyers")
    edited = caller.patch("segments/buyers/", {"rule": KNOWN})
    assert (edited["version"], edited["status"], edited["rule"]) == (2, "edited", KNOWN)
    moved = caller.patch("segments/buyers/", {"slug": "known"})
    assert moved["slug"] == "known"
    assert caller.get("segments/known/") == moved
    assert caller.get("segments/buyers/", 404)["code"] == "not_found"


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ({"size": 7, "refreshed_at": None, "nane": "x"}, ["size", "refreshed_at", "nane"]),
        ({"slug": "other"}, ["slug"]),
        ({"rule": {"in_segment": {"is": "above"}}}, ["rule"]),
        ({"rule": {"known": {"is": 1}}}, ["rule.known.is"]),
        ({"name": "x" * 201}, ["name"]),
        ({"template": "lost"}, ["template"]),
    ],
)
def test_an_invalid_edit_changes_nothing(caller, sent, where) -> None:
    shop.segment("buyers", BUYERS)
    shop.segment("above", {"in_segment": {"is": "buyers"}})
    shop.segment("other", KNOWN)
    before = caller.get("segments/buyers/")

    assert error_paths(caller.patch("segments/buyers/", {"description": "new"} | sent, 400)) == where
    assert caller.get("segments/buyers/") == before


def test_name_and_description_of_a_fixed_list_are_edited(caller) -> None:
    segment_store.create_fixed_list("chosen", "Chosen", [], NOON)

    assert caller.patch("segments/chosen/", {"name": "The chosen"})["name"] == "The chosen"
    assert error_paths(caller.patch("segments/chosen/", {"rule": KNOWN}, 400)) == ["rule"]


def test_an_edit_of_an_outdated_version_is_refused(caller) -> None:
    shop.segment("buyers", BUYERS)
    mine = caller.call("get", "segments/buyers/")["ETag"]
    refreshed("buyers")  # is no edit
    first = caller.call("patch", "segments/buyers/", {"name": "Mine"}, If_Match=mine)
    assert first.status_code == 200

    late = caller.call("patch", "segments/buyers/", {"name": "Late"}, If_Match=mine)
    assert (late.status_code, late.json()["code"]) == (412, "changed")
    assert caller.call("patch", "segments/buyers/", {"nane": "Late"}, If_Match=mine).status_code == 400
    assert caller.call("delete", "segments/buyers/", If_Match=mine).status_code == 412
    assert caller.get("segments/buyers/")["name"] == "Mine"

    weak = f"W/{first['ETag']}"  # as a proxy makes it that compresses
    assert caller.call("patch", "segments/buyers/", {"name": "Next"}, If_Match=weak).status_code == 200
    assert caller.call("delete", "segments/buyers/", If_Match="*").status_code == 204


# -- Deleting


def test_a_segment_is_deleted_unless_rules_refer_to_it(caller) -> None:
    shop.segment("buyers", BUYERS)
    shop.segment("above", {"in_segment": {"is": "buyers"}})

    told = caller.request("delete", "segments/buyers/", status=409)
    assert told["code"] == "in_use"
    assert "above" in told["message"]

    caller.delete("segments/above/")
    caller.delete("segments/buyers/")
    assert not Segment.objects.exists()
    assert caller.request("delete", "segments/buyers/", status=404)["code"] == "not_found"


# -- Who may


@pytest.mark.parametrize(
    ("method", "address", "sent"),
    [
        ("post", "segments/", new("more")),
        ("patch", "segments/buyers/", {"name": "x"}),
        ("delete", "segments/buyers/", None),
        ("post", "segments/buyers/refresh/", None),
        ("post", "segments/nothing/refresh/", None),
    ],
)
def test_a_key_without_the_scope_changes_nothing(method, address, sent) -> None:
    shop.segment("buyers", BUYERS)

    error = ApiClient("segments:read", "members:read", "ingest").request(method, address, sent, 403)

    assert error["code"] == "missing_scope"
    assert "segments:write" in error["message"]
    assert Segment.objects.get().name == "Buyers"
    assert not Refresh.objects.exists()


def test_staff_change_segments_with_the_permissions_of_the_admin() -> None:
    anna = User.objects.create_user("anna", is_staff=True)
    client = Client()
    client.force_login(anna)

    def send(method: str, address: str, sent: Any = None) -> int:
        body = {"data": json.dumps(sent), "content_type": "application/json"} if sent else {}
        status: int = getattr(client, method)(API + address, **body).status_code
        return status

    calls: list[tuple[str, str, Any]] = [
        ("post", "segments/", new()),
        ("patch", "segments/buyers/", {"name": "B"}),
        ("delete", "segments/buyers/", None),
    ]
    assert [send(*call) for call in calls] == [403, 403, 403]
    for permission, call, status in zip(
        ("add_segment", "change_segment", "delete_segment"), calls, (201, 200, 204), strict=True
    ):
        anna.user_permissions.add(Permission.objects.get(codename=permission))
        assert send(*call) == status
    assert Version.objects.count() == 0
    assert [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")] == [
        "Created by the API.", "Edited by the API: name.", "Deleted by the API.",
    ]  # fmt: skip


# -- Listing


def test_the_list_is_filtered_by_kind_status_and_name(caller) -> None:
    shop.customers("c1,c1@example.org")
    for slug in ("fresh", "edited", "failing", "paused", "new"):
        shop.segment(slug, KNOWN)
    for slug in ("fresh", "edited", "failing"):
        refreshed(slug)
    segment_store.save_segment(Segment.objects.get(slug="edited"), by=None)
    caller.patch("segments/edited/", {"rule": BUYERS})
    Segment.objects.filter(slug="failing").update(last_error="Broken")
    Segment.objects.filter(slug="paused").update(is_active=False)
    segment_store.create_fixed_list("static", "Chosen ÄÖ", [], NOON)

    def listed(query: str) -> list[str]:
        return [one["slug"] for one in caller.get(f"segments/?{query}")["results"]]

    everything = caller.get("segments/")["results"]
    assert {one["slug"] for one in everything} == {one["status"] for one in everything}
    for one in everything:
        assert listed(f"status={one['status']}") == [one["slug"]]
    assert listed("kind=static") == ["static"]
    assert len(listed("kind=dynamic")) == 5
    assert listed("search=AIL") == ["failing"]
    assert listed("search=chosen") == ["static"]
    assert listed("search=e&kind=dynamic&status=new&page_size=1") == ["new"]
    for wrong in ("kind=other", "status=open", "search=%00", f"search={'x' * 201}"):
        told = caller.get(f"segments/?{wrong}", 400)
        assert error_paths(told) == [wrong.partition("=")[0]]


def test_an_unchanged_list_or_segment_is_not_sent_again(caller, django_assert_max_num_queries) -> None:
    segment_store.install_templates()

    def tags() -> list[str]:
        return [caller.call("get", address)["ETag"] for address in ("segments/", "segments/lead/")]

    def again(address: str, tag: str) -> int:
        status: int = caller.call("get", address, If_None_Match=f'W/{tag}, "x"').status_code
        return status

    page, one = tags()
    with django_assert_max_num_queries(4):
        assert (again("segments/", page), again("segments/lead/", one)) == (304, 304)
    assert again("segments/?page_size=2", page) == 200

    shop.customers("c1,c1@example.org")
    refreshed("lead")
    assert (again("segments/", page), again("segments/lead/", one)) == (200, 200)
    page, one = tags()
    caller.patch("segments/lead/", {"name": "Mine"})
    assert (again("segments/", page), again("segments/lead/", one)) == (200, 200)
    page, one = tags()
    caller.delete("segments/hero/")
    assert (again("segments/", page), again("segments/lead/", one)) == (200, 304)


# -- Refreshes


def test_a_refresh_is_queued_and_followed(caller) -> None:
    app.control.purge()
    shop.customers("c1,c1@example.org", "c2,")
    shop.segment("known", KNOWN)

    response = caller.call("post", "segments/known/refresh/")
    queued = response.json()
    assert response.status_code == 202
    assert (queued["state"], queued["segment"], queued["at"], queued["results"]) == (
        "queued",
        "known",
        None,
        [],
    )
    assert caller.post("segments/known/refresh/", status=202)["id"] == queued["id"]
    assert caller.get(response["Location"]) == queued
    assert app.control.purge() == 1

    segment = Segment.objects.get()
    tasks.refresh_segment(segment.pk, queued["id"])
    tasks.refresh_segment(segment.pk, queued["id"])  # a message may come twice

    done = caller.get(f"refreshes/{queued['id']}/")
    assert (done["state"], done["error"], Refresh.objects.count()) == ("done", "", 1)
    assert done["results"] == [
        {"segment": "known", "version": 1, "size": 1, "known_size": 1, "entered": 1, "left": 0, "error": ""}
    ]
    assert done["at"] == caller.get("segments/known/")["refreshed_at"]
    assert caller.post("segments/known/refresh/", status=202)["id"] != queued["id"]


def test_a_refresh_that_overtakes_a_queued_one_leaves_correct_members(caller) -> None:
    shop.orders("o1,c1,2026-03-01,10", "o2,c2,2026-03-01,90")
    shop.segment("rich", {"total_spent": {"above": "average"}})
    queued = caller.post("segments/rich/refresh/", status=202)["id"]
    refresh_all()
    shop.orders("o3,c1,2026-03-02,500")
    tasks.refresh_segment(Segment.objects.get().pk, queued)
    shop.orders("o4,c2,2026-03-03,9000")

    refresh_all()

    assert shop.members("rich") == ["c2"]
    assert "rich" in shop.command("verify_segments")


def test_a_fixed_list_has_no_refresh(caller) -> None:
    segment_store.create_fixed_list("chosen", "Chosen", [], NOON)

    assert caller.post("segments/chosen/refresh/", status=409)["code"] == "no_rule"
    assert caller.post("segments/nothing/refresh/", status=404)["code"] == "not_found"
    for unknown in (10**9, 10**30):
        assert caller.get(f"refreshes/{unknown}/", 404)["code"] == "not_found"


def test_a_queued_refresh_that_no_worker_started_is_deleted(caller) -> None:
    shop.segment("known", KNOWN)
    caller.post("segments/known/refresh/", status=202)
    now = datetime.now(UTC)

    assert retention.delete_old_refreshes(now + timedelta(hours=1)) == 0
    assert retention.delete_old_refreshes(now + timedelta(hours=25)) == 1


@pytest.mark.django_db(transaction=True)
def test_a_refresh_of_a_new_or_edited_segment_is_queued(caller) -> None:
    app.control.purge()
    caller.post("segments/", new(), 201)
    caller.patch("segments/buyers/", {"name": "Just another name"})

    first = Refresh.objects.get()
    assert (first.state, first.segment) == ("queued", Segment.objects.get())
    tasks.refresh_segment(Segment.objects.get().pk, first.pk)
    assert caller.get("segments/buyers/")["status"] == "fresh"
    caller.patch("segments/buyers/", {"rule": KNOWN})
    assert Refresh.objects.filter(state="queued").count() == 1
    assert app.control.purge() == 2


def test_a_segment_needs_few_queries(caller, django_assert_max_num_queries) -> None:
    caller.post("segments/", new("first"), 201)
    assert Customer.objects.count() == 0

    with django_assert_max_num_queries(12):
        caller.post("segments/", new(), 201)
    with django_assert_max_num_queries(13):
        caller.patch("segments/buyers/", {"rule": KNOWN})
