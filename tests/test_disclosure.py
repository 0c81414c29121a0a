"""Who may not see contact data tries out no rule that tells it: in the admin, in a session of the API, with a key."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from core.api import keys
from customers.facts import update
from customers.models import Customer
from segments.lifecycle import editing
from segments.lifecycle.editing import StageEntry
from segments.models import HistoryRun, Segment
from segments.rules import Condition, Exposure, parse, registry

from .support.shop import customers, event_with, segment

pytestmark = pytest.mark.django_db

WHERE = {"property": "email", "starts_with": "a"}
TELLING: list[Any] = [
    {"attribute": {"name": "street", "starts_with": "G"}},
    {"birthday": {"within_next": "7d"}},
    {"city": {"starts_with": "B"}},
    {"event_count": {"at_least": 1, "where": WHERE}},
    {"event_count": {"event": "anna@example.org", "at_least": 1}},
    {"source": {"is": "+49 30 123456"}},
    {"country": {"in": ["DE", "anna@example.org"]}},
    {"bought": {"product": {"name": {"contains": "@example"}}}},
]
NESTED = [
    {"all": [{"known": {"is": True}}, {"any": [{"none": [TELLING[0]]}, {"order_count": {"is": 0}}]}]},
    {"none": [{"none": [TELLING[3]]}]},
    {"ahead": {"in": "7d", "rule": {"all": [{"known": {"is": True}}, TELLING[1]]}}},
]
BY_TIME: list[Any] = [
    {"in_segment": {"is": "birthdays", "in": "7d"}},
    {"all": [{"ahead": {"in": "1d", "rule": {"none": [{"in_segment": {"is": "birthdays"}}]}}}]},
]
FREE: list[Any] = [
    {"event_count": {"event": "Product Viewed", "at_least": 1}},
    {"contact": {"has": "email"}},
    {"all": [{"known": {"is": True}}, {"in_segment": {"is": "berlin"}}]},
    {"ahead": {"in": "7d", "rule": {"last_activity": {"not_within_last": "30d"}}}},
    {"in_segment": {"is": "berlin", "in": "7d"}},
    {"in_segment": {"is": "birthdays"}},
]


@pytest.fixture(autouse=True)
def shop() -> Segment:
    """Anna, and a segment of a marketer's that finds her by where she lives."""
    customers("c1,anna@example.org,Berlin,Goethestr. 1", header="customer_id,email,city,street")
    event_with('{"sku": "s1", "email": "anna@example.org"}')
    update.update_facts()
    segment("birthdays", {"all": [{"birthday": {"within_next": "0d"}}]})
    return segment("berlin", {"city": {"is": "Berlin"}})


def staff(role: str, *permissions: str) -> Client:
    """Somebody of a role, who may do this and that besides."""
    user = User.objects.create(username=f"a {role}", is_staff=True)
    user.groups.set([Group.objects.get(name=role)])
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def with_key(*scopes: str) -> Client:
    """A program with a key."""
    return Client(headers={"Authorization": f"Bearer {keys.create_key('A tool', scopes)[1]}"})


def sent(client: Client, method: str, address: str, body: Any) -> Any:
    return getattr(client, method)(address, json.dumps(body), content_type="application/json")


def test_a_filter_without_a_declared_exposure_is_restricted():
    personal = {name for name, kind in registry.items() if kind.exposure is Exposure.PERSONAL}

    assert personal == {"attribute", "birthday", "city"}
    assert Condition.exposure is Exposure.PERSONAL
    assert [parse(rule).effective_exposure() for rule in TELLING[:4]] == [Exposure.PERSONAL] * 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("rule", TELLING + NESTED + BY_TIME, ids=json.dumps)
def test_a_viewer_cannot_count_customers_by_masked_data(rule):
    viewer, marketer = staff("Viewer"), staff("Marketer")
    for view in ("count", "details"):
        address = reverse(f"admin:segments_segment_rule_{view}")
        refused, counted = (sent(one, "post", address, {"rule": rule}).json() for one in (viewer, marketer))
        assert "you may not see" in refused["error"]["message"]
        assert refused.keys() == {"error"}
        assert "error" not in counted

    look = viewer.get(reverse("admin:customers_customer_live"), {"rule": json.dumps(rule)}).context["look"]
    assert "you may not see" in look.problem
    assert (look.fitting, look.active, look.rows) == (0, 0, ())


@pytest.mark.parametrize("rule", TELLING + NESTED + BY_TIME, ids=json.dumps)
def test_a_key_without_members_read_cannot_preview_or_save_a_rule_on_masked_data(rule, shop):
    without, reader = with_key("segments:read", "segments:write"), with_key("segments:read", "members:read")

    for method, address, body in (
        ("post", "/api/v1/segments/preview/", {"rule": rule}),
        ("post", "/api/v1/segments/preview/", {"rule": rule, "at": "2026-03-31T06:00:00Z"}),
        ("post", "/api/v1/segments/", {"slug": "probe", "name": "Probe", "rule": rule}),
        ("patch", "/api/v1/segments/berlin/", {"rule": rule}),
    ):
        refused = sent(without, method, address, body)
        assert refused.status_code == 403
        assert refused.json()["code"] == "asks_for_contact_data"
        assert "members:read" in refused.json()["message"]
        assert refused.json()["errors"][0]["path"].startswith("rule")
    shop.refresh_from_db()
    assert shop.rule == {"city": {"is": "Berlin"}}
    assert not Segment.objects.filter(slug="probe").exists()
    assert sent(reader, "post", "/api/v1/segments/preview/", {"rule": rule}).status_code == 200


def test_a_key_without_members_read_does_not_ask_at_a_chosen_instant_who_has_a_birthday():
    asked = {"rule": {"in_segment": {"is": "birthdays"}}, "at": "2026-03-31T06:00:00Z"}
    refused, counted = (
        sent(with_key("segments:read", *more), "post", "/api/v1/segments/preview/", asked)
        for more in ((), ("members:read",))
    )

    assert (refused.status_code, counted.status_code) == (403, 200)
    assert refused.json()["code"] == "asks_for_contact_data"


def test_when_customers_enter_and_leave_tells_a_viewer_nobodys_birthday():
    customers("c2,1990-05-04,2020-01-01", header="customer_id,birth_date,first_seen")
    update.update_facts()
    birthdays = Segment.objects.get(slug="birthdays")
    segment("mixed", {"all": [{"in_segment": {"is": "birthdays"}}, {"first_seen": {"ever": True}}]})
    explain = reverse("admin:customers_customer_explain", args=[Customer.objects.get(customer_id="c2").pk])
    upcoming, file = (
        reverse(f"admin:segments_segment_upcoming{more}", args=[birthdays.pk]) for more in ("", "_csv")
    )

    with time_machine.travel(datetime(2099, 5, 1, 12, tzinfo=UTC), tick=False):
        viewer, marketer = staff("Viewer"), staff("Marketer")
        for slug in ("birthdays", "mixed"):
            hidden, shown = (
                one.get(explain, {"segment": slug}).content.decode() for one in (viewer, marketer)
            )
            assert "Enters on 4 May" in shown
            assert "4 May" not in hidden
        hidden, shown = (one.get(upcoming).content.decode() for one in (viewer, marketer))
        assert "4 May 2099" in shown
        assert "4 May" not in hidden
        assert "you may not see" in hidden
        assert (viewer.get(file).status_code, marketer.get(file).status_code) == (403, 200)


def test_a_past_that_tells_birthdays_needs_the_scope_of_contact_data():
    segment("mixed", {"all": [{"in_segment": {"is": "birthdays"}}, {"first_seen": {"ever": True}}]})
    writer, reader = with_key("segments:read", "segments:write"), with_key("segments:read", "members:read")
    assert sent(writer, "put", "/api/v1/lifecycle/", [{"slug": "mixed"}]).status_code == 200

    for address in (
        "/api/v1/segments/mixed/history/?computed=true&to=2026-03-01",
        "/api/v1/lifecycle/flow/?from=2026-03-01&to=2026-03-02",
    ):
        refused = writer.get(address)
        assert refused.status_code == 403
        assert refused.json()["code"] == "asks_for_contact_data"
        assert reader.get(address).status_code == 200
    assert writer.get("/api/v1/segments/berlin/history/?computed=true&to=2026-03-01").status_code == 200


def test_staff_who_may_not_see_contact_data_compute_no_past_that_tells_it():
    soon = segment("soon", {"birthday": {"within_next": "7d"}})
    editor, marketer = staff("Viewer", "change_segment"), staff("Marketer")
    for view, fields in (("compute", {"years": "1"}), ("compare", {"number": "0", "value": "2"})):
        address = reverse(f"admin:segments_segment_history_{view}", args=[soon.pk])
        editor.post(address, fields)
        assert not HistoryRun.objects.exists()
        marketer.post(address, fields)
        assert HistoryRun.objects.exists()
        HistoryRun.objects.all().delete()


def test_a_flow_lists_nobody_to_a_viewer_if_a_stage_tells_birthdays():
    customers("c2,1990-05-04,2020-01-01", header="customer_id,birth_date,first_seen")
    update.update_facts()
    segment("mixed", {"all": [{"in_segment": {"is": "birthdays"}}, {"first_seen": {"ever": True}}]})
    panel, people = (reverse(f"admin:segments_segment_flow_{name}") for name in ("panel", "people"))
    days = {"since": "2026-05-01", "until": "2026-05-04"}
    cell = days | {"source": "-", "target": "mixed"}

    with time_machine.travel(datetime(2026, 6, 1, 12, tzinfo=UTC), tick=False):
        viewer, marketer = staff("Viewer"), staff("Marketer")
        for slug, expected in (("mixed", [403, 200]), ("berlin", [200, 200])):
            editing.replace_stages([StageEntry(slug)])
            shows_links = [
                "flow/people/" in one.get(panel, days).content.decode() for one in (viewer, marketer)
            ]
            assert shows_links == [status == 200 for status in expected]
            cell["target"] = slug if slug == "mixed" else "-"
            assert [one.get(people, cell).status_code for one in (viewer, marketer)] == expected


def test_the_api_rejects_the_same_rules_in_the_session_of_a_viewer():
    refused, counted = (
        sent(staff(role), "post", "/api/v1/segments/preview/", {"rule": TELLING[0]})
        for role in ("Viewer", "Marketer")
    )

    assert (refused.status_code, counted.status_code) == (403, 200)
    assert "count" not in refused.json()


@pytest.mark.parametrize("rule", FREE, ids=json.dumps)
def test_other_rules_are_counted_for_everybody(rule):
    counted = sent(staff("Viewer"), "post", reverse("admin:segments_segment_rule_count"), {"rule": rule})
    previewed = sent(with_key("segments:read"), "post", "/api/v1/segments/preview/", {"rule": rule})

    assert "counted" in counted.json()
    assert previewed.status_code == 200


def test_a_key_without_members_read_can_edit_the_rest_of_a_segment_whose_rule_uses_contact_data(shop):
    answered = sent(with_key("segments:write"), "patch", "/api/v1/segments/berlin/", {"name": "Berliners"})

    assert answered.status_code == 200
    assert answered.json()["name"] == "Berliners"


def test_staff_who_may_not_see_contact_data_cannot_save_or_restore_a_rule_that_uses_it(shop):
    editor = staff("Viewer", "add_segment", "change_segment")
    fields = {"name": "Probe", "slug": "probe", "rule": json.dumps(TELLING[0]), "is_active": "on"}

    refused = editor.post(reverse("admin:segments_segment_add"), fields)
    assert "you may not see" in refused.content.decode()
    assert not Segment.objects.filter(slug="probe").exists()

    address = reverse("admin:segments_segment_rule", args=[shop.pk])
    own = fields | {"name": "Berliners", "slug": "berlin", "rule": json.dumps(shop.rule)}
    assert editor.post(address, own).status_code == 302
    assert editor.post(address, own | {"rule": json.dumps(FREE[0])}).status_code == 302
    editor.post(reverse("admin:segments_segment_restore", args=[shop.pk, 1]))
    shop.refresh_from_db()
    assert (shop.name, shop.rule) == ("Berliners", FREE[0])


def test_suggestions_reveal_no_masked_data():
    customers("c2,,anna@example.org", "c3,,annual fair", header="customer_id,email,source")
    asked = {"of": "source", "q": "ann"}
    viewer, marketer = (
        staff(role).get(reverse("admin:segments_segment_rule_suggestions"), asked).json()["values"]
        for role in ("Viewer", "Marketer")
    )

    assert sorted(one["value"] for one in marketer) == ["anna@example.org", "annual fair"]
    assert [one["value"] for one in viewer] == ["annual fair"]


def test_nobody_learns_from_unknown_values_what_is_masked():
    customers("c2,,anna@example.org", "c3,,annual fair", header="customer_id,email,source")
    asked = {
        "of": "source",
        "value": ["anna@example.org", "bert@example.org", "annual far", "anna@example.or"],
    }
    viewer, marketer = (
        staff(role).get(reverse("admin:segments_segment_rule_unknown_values"), asked).json()["unknown"]
        for role in ("Viewer", "Marketer")
    )

    assert list(marketer) == ["bert@example.org", "annual far", "anna@example.or"]
    assert viewer == {"annual far": [{"value": "annual fair", "customers": 1}]}
