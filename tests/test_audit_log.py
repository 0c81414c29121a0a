"""The trail: what staff do is listed under Activity, with who did it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from core.api import keys
from customers.facts import update
from customers.models import Customer
from segments import segment_store
from segments.models import Segment
from segments_project.celery import app

from .support.shop import customers, segment

pytestmark = pytest.mark.django_db

KNOWN, ANONYMOUS = '{"known": {"is": true}}', '{"known": {"is": false}}'


class Staff:
    """Somebody at the admin, who also reads what is told of them."""

    def __init__(self, name: str) -> None:
        self.user = User.objects.create_superuser(name)
        self.client = Client()
        self.client.force_login(self.user)

    def send(self, view: str, *args: object, **fields: Any) -> None:
        response = self.client.post(reverse(f"admin:{view}", args=args), fields)
        assert response.status_code == 302, response.content.decode()

    def activity(self, **query: Any) -> list[tuple[str, str, str]]:
        """What is listed: what was done, to what, and what exactly."""
        shown = self.client.get(reverse("admin:admin_logentry_changelist"), query).context["cl"]
        entries = list(shown.result_list)
        admin = shown.model_admin
        assert {admin.person(entry) for entry in entries} <= {self.user.username, "berta"}
        return [(admin.action(entry), entry.object_repr, admin.summary(entry)) for entry in entries]


@pytest.fixture
def anna() -> Staff:
    return Staff("anna")


@pytest.fixture
def friends() -> Segment:
    customers("c1,c1@example.org", "c2,c2@example.org")
    update.update_facts()
    return segment_store.create_fixed_list(
        "friends", "Friends", segment_store.find_customers(["c1"])[0], datetime.now(UTC)
    )


def test_the_audit_log_shows_a_segment_before_and_after_an_edit(anna):
    fields = {"name": "Mine", "slug": "mine", "description": "", "rule": KNOWN, "is_active": "on"}
    anna.send("segments_segment_add", **fields)
    key = Segment.objects.get().pk
    anna.send("segments_segment_change", key, **(fields | {"name": "Yours", "rule": ANONYMOUS}))
    anna.send("segments_segment_delete", key, post="yes")

    assert anna.activity() == [
        ("deleted", "Yours", ""),
        (
            "changed",
            "Yours",
            "Name: was “Mine”, is now “Yours”. Rule: was “everyone who is known”, is now “everyone who is anonymous”.",
        ),
        ("added", "Mine", "Everyone who is known."),
    ]


def test_segments_created_without_the_form_are_in_the_audit_log(anna, friends):
    anna.send("segments_segment_from_template", template="lost", **{"lost-slug": "lost", "lost-days": "120"})
    anna.send("segments_segment_fixed_list", name="Guests", slug="guests", ids="c2")
    anna.send("segments_segment_freeze", friends.pk, name="Kept", slug="kept")
    anna.send("segments_segment_install_templates")

    *installed, frozen, fixed, template = anna.activity()
    assert len(installed) == 17  # two stages of the lifecycle are no templates
    assert {(deed, told) for deed, _, told in installed} == {
        ("added", "Installed as a ready-to-use segment.")
    }
    assert frozen == ("added", "Kept", "Frozen from Friends: 1 member.")
    assert fixed == ("added", "Guests", "A fixed list of 1 customer.")
    assert template[0] == "added"
    assert "From the template “Lost" in template[2]


def test_members_changed_by_hand_are_in_the_audit_log_once(anna, friends):
    other = Customer.objects.get(customer_id="c2")
    for _ in range(2):
        anna.send("segments_segment_members_add", friends.pk, ids="c2")
    anna.send("segments_segment_members_selected", friends.pk, do="remove", customer=[other.pk])
    put = {"action": "put_on_list", "_selected_action": [other.pk], "segment": friends.pk}
    anna.send("customers_customer_changelist", **put)

    assert anna.activity() == [
        ("changed", "Friends", "Added 1 customer to the list."),
        ("changed", "Friends", "Removed 1 customer from the list."),
        ("changed", "Friends", "Added 1 customer to the list."),
    ]


def test_refreshes_keys_and_bulk_deletions_are_in_the_audit_log(anna):
    one, two = segment("one", {"known": {"is": True}}), segment("two", {"known": {"is": True}})
    key, _ = keys.create_key("Shop", ["segments:read"])
    anna.send("segments_segment_refresh", one.pk)
    for _ in range(2):
        anna.send("core_apikey_changelist", action="revoke", _selected_action=[key.pk])
    doomed = {"action": "delete_selected", "_selected_action": [one.pk, two.pk], "post": "yes"}
    anna.send("segments_segment_changelist", **doomed)
    app.control.purge()

    told = anna.activity()
    assert sorted(told[:2]) == [("deleted", "One", ""), ("deleted", "Two", "")]
    assert told[2:] == [("changed", str(key), "Revoked."), ("changed", "One", "Requested a refresh.")]


def test_activity_is_filtered_by_user_model_action_and_name(anna):
    berta = Staff("berta")
    fields = {"slug": "mine", "description": "", "rule": KNOWN, "is_active": "on"}
    anna.send("segments_segment_add", name="Mine", **fields)
    berta.send("auth_group_add", name="Interns")

    assert [name for _, name, _ in anna.activity(by=anna.user.pk)] == ["Mine"]
    assert [name for _, name, _ in anna.activity(by=berta.user.pk)] == ["Interns"]
    assert [name for _, name, _ in anna.activity(q="min")] == ["Mine"]
    assert anna.activity(did="deleted") == []
    assert len(anna.activity(did="added", by="x", to="²")) == 2


def test_a_deleted_user_stays_in_the_audit_log(anna):
    berta = Staff("berta")
    berta.send("auth_group_add", name="Interns")

    refused = anna.client.post(reverse("admin:auth_user_delete", args=[berta.user.pk]), {"post": "yes"})

    assert "Make" in refused.content.decode()
    assert f"?by={berta.user.pk}" in refused.content.decode()
    assert User.objects.filter(username="berta").exists()
    assert [name for _, name, _ in anna.activity()] == ["Interns"]


def test_nobody_can_change_the_audit_log(anna):
    anna.send("auth_group_add", name="Interns")
    entry = anna.client.get(reverse("admin:admin_logentry_changelist")).context["cl"].result_list[0]

    for view in ("change", "delete"):
        address = reverse(f"admin:admin_logentry_{view}", args=[entry.pk])
        assert anna.client.post(address, {"post": "yes"}).status_code == 403
    assert anna.client.get(reverse("admin:admin_logentry_add")).status_code == 403
