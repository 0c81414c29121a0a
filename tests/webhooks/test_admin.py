"""Webhooks in the admin."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from segments.models import Attempt, Endpoint, Message
from segments.webhooks import delivery
from tests.support import shop
from tests.support.webhook_receiver import Reply
from tests.test_audit_log import Staff

from .conftest import enter, subscribe

pytestmark = pytest.mark.django_db


def address(view: str, *arguments: object) -> str:
    return reverse(f"admin:segments_{view}", args=arguments)


@pytest.fixture
def anna() -> Staff:
    return Staff("anna")


def shown(staff: Staff, view: str, *arguments: object) -> str:
    response = staff.client.get(address(view, *arguments))
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_a_webhook_is_added_and_shows_its_secret(anna, vips, receiver) -> None:
    assert "Add another" not in shown(anna, "endpoint_add")
    fields = {"name": "Tool", "url": receiver.url, "segments": [vips.pk]}
    anna.send("segments_endpoint_add", **fields)

    made = Endpoint.objects.get()
    assert list(made.segments.all()) == [vips]
    assert not made.every_segment
    assert made.secret in shown(anna, "endpoint_change", made.pk)
    enter(vips, "c1")
    delivery.deliver_due()
    receiver.received[0].verified_with(made.secret)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"url": "https://10.1.2.3/", "every_segment": "on"}, "private or local address"),
        ({"url": "https://user:secret@127.0.0.1/", "every_segment": "on"}, "user name and password"),
        ({"url": "http://127.0.0.1/"}, "Choose at least one segment"),
        ({"url": "", "every_segment": "on"}, "required"),
    ],
)
def test_the_error_of_an_invalid_webhook_says_what_to_change(fields, told, anna, loopback) -> None:
    response = anna.client.post(address("endpoint_add"), {"name": "Tool"} | fields)

    assert told in response.content.decode()
    assert not Endpoint.objects.exists()


def test_editing_a_webhook_keeps_concurrent_changes(anna, vips, receiver) -> None:
    endpoint = subscribe(receiver)
    enter(vips, "c1")
    receiver.replies(Reply(500))
    delivery.deliver_due()
    fields = {"name": "Newer", "url": receiver.url, "segments": [vips.pk], "without_summaries": "on"}
    anna.send("segments_endpoint_change", endpoint.pk, **fields)

    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.every_segment, endpoint.without_summaries) == ("Newer", False, True)
    assert endpoint.failures == 1
    # An address that stays is not looked up again, should its name lead nowhere just now.
    Endpoint.objects.update(url="https://nowhere.invalid/")
    anna.send(
        "segments_endpoint_change",
        endpoint.pk,
        **fields | {"url": "https://nowhere.invalid/", "name": "Tool"},
    )
    assert Endpoint.objects.get().name == "Tool"


def test_a_test_message_is_sent_to_a_paused_webhook_and_shows_the_response(anna, vips, receiver) -> None:
    endpoint = subscribe(receiver)
    anna.send("segments_endpoint_pause", endpoint.pk)
    enter(vips, "c1")
    anna.send("segments_endpoint_test", endpoint.pk)
    message = Message.objects.get()
    assert "not been sent yet" in shown(anna, "message_change", message.pk)

    receiver.replies(Reply(200, b"<script>alert(1)</script>"))
    delivery.deliver_due()

    assert [one.type for one in receiver.received] == ["webhook.test"]
    page = shown(anna, "message_change", message.pk)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert receiver.received[0].id in page


def test_a_gone_webhook_is_shown_on_the_home_page_and_can_be_resumed(anna, vips, receiver) -> None:
    endpoint = subscribe(receiver, name="Old tool")
    assert "Old tool" not in anna.client.get("/admin/").content.decode()
    enter(vips, "c1")
    receiver.replies(Reply(410))
    delivery.deliver_due()

    first_page = " ".join(anna.client.get("/admin/").content.decode().split())
    assert re.search(r"The webhook “Old tool” was stopped\. .*The endpoint responded 410 Gone", first_page)
    assert "410 Gone" in shown(anna, "endpoint_change", endpoint.pk)
    anna.send("segments_endpoint_resume", endpoint.pk)
    delivery.deliver_due()
    assert receiver.said == [("vips", "c1", "entered")] * 2
    assert "was stopped" not in anna.client.get("/admin/").content.decode()


def test_sending_again_asks_for_confirmation(anna, vips, receiver) -> None:
    endpoint = subscribe(receiver)
    enter(vips, "c1")
    enter(vips, "c2")
    delivery.deliver_due()
    second = max(one.data["id"] for one in receiver.received)
    page = address("endpoint_replay", endpoint.pk)

    assert "Send 1 change again?" in anna.client.get(page, {"from": second}).content.decode()
    for wrong in ("0", str(second + 1), "x", "9" * 30):
        assert "Enter" in anna.client.get(page, {"from": wrong}).content.decode()
        assert anna.client.post(page, {"from": wrong}).status_code == 200
    delivery.deliver_due()
    assert len(receiver.received) == 2

    anna.send("segments_endpoint_replay", endpoint.pk, **{"from": second})
    delivery.deliver_due()
    assert receiver.said[2:] == [("vips", "c2", "entered")]


def test_actions_of_staff_are_in_the_audit_log(anna, receiver) -> None:
    endpoint = subscribe(receiver)
    for deed in ("test", "rotate", "pause", "resume"):
        anna.send(f"segments_endpoint_{deed}", endpoint.pk)
        assert anna.client.get(address(f"endpoint_{deed}", endpoint.pk)).status_code == 405

    assert [told for _, _, told in anna.activity()] == [
        "Resumed, with the waiting messages.",
        "Paused.",
        "Made a new secret.",
        "Sent a test message.",
    ]
    endpoint.refresh_from_db()
    page = shown(anna, "endpoint_change", endpoint.pk)
    assert endpoint.secret in page
    assert endpoint.former_secret in page


def test_deleting_a_webhook_deletes_its_messages(anna, vips, receiver) -> None:
    endpoint = subscribe(receiver)
    enter(vips, "c1", "c2")
    delivery.deliver_due()
    assert not re.search(r"\bc1\b", shown(anna, "endpoint_delete", endpoint.pk))
    anna.send("segments_endpoint_delete", endpoint.pk, post="yes")

    assert not Endpoint.objects.exists()
    assert not Message.objects.exists()
    assert not Attempt.objects.exists()
    subscribe(receiver)
    anna.send(
        "segments_endpoint_changelist",
        action="delete_selected",
        _selected_action=[Endpoint.objects.get().pk],
        post="yes",
    )
    assert not Endpoint.objects.exists()


def test_messages_are_filtered_by_webhook_and_state(anna, vips, receivers) -> None:
    good, bad = receivers(), receivers()
    bad.respond = lambda _: Reply(500)
    subscribe(good, name="Good")
    poor = subscribe(bad, name="Poor")
    enter(vips, "c1", "c2")
    delivery.deliver_due()

    def listed(**query: Any) -> int:
        return len(anna.client.get(address("message_changelist"), query).context["cl"].result_list)

    assert listed() == 4
    assert listed(webhook=poor.pk) == listed(state="waiting") == listed(state="delivered") == 2
    assert listed(webhook=poor.pk, state="delivered") == listed(state="given up") == 0
    assert listed(webhook="x", state="x") == 4


@pytest.mark.parametrize("sees_contact_data", [False, True])
def test_who_may_only_look_sees_webhooks_without_secrets_and_changes_nothing(
    sees_contact_data, vips, receiver
) -> None:
    endpoint = subscribe(receiver)
    customer = "otto@example.org"

    shop.customers(f"{customer},{customer}")
    enter(vips, customer)
    receiver.replies(Reply(200, b"thanks for Otto"))
    delivery.deliver_due()
    user = User.objects.create_user("olga", is_staff=True)
    user.groups.set([Group.objects.get(name="Marketer" if sees_contact_data else "Viewer")])
    looking = Permission.objects.filter(codename__in=["view_endpoint", "view_message"])
    user.user_permissions.set(looking)
    client = Client()
    client.force_login(user)

    for view in ("endpoint_changelist", "message_changelist"):
        page = client.get(address(view)).content.decode()
        assert (customer in page) == (sees_contact_data and view == "message_changelist")
    page = client.get(address("endpoint_change", endpoint.pk)).content.decode()
    assert endpoint.name in page
    assert "whsec_" not in page
    page = client.get(address("message_change", Message.objects.get().pk)).content.decode()
    assert (customer in page) == ("Otto" in page) == sees_contact_data
    for deed in ("test", "rotate", "pause", "resume", "replay"):
        assert client.post(address(f"endpoint_{deed}", endpoint.pk), {"from": 1}).status_code == 403
    assert client.post(address("endpoint_change", endpoint.pk), {"name": "Mine"}).status_code == 403
    assert client.post(address("endpoint_delete", endpoint.pk), {"post": "yes"}).status_code == 403
    assert client.get(address("endpoint_add")).status_code == 403


def test_lists_need_a_constant_number_of_queries(anna, vips, receiver, django_assert_max_num_queries) -> None:
    for number in range(10):
        subscribe(receiver, vips, name=f"Tool {number}")
    enter(vips, "c1", "c2", "c3")
    delivery.deliver_due()

    for view in ("endpoint_changelist", "message_changelist"):
        with django_assert_max_num_queries(12):
            anna.client.get(address(view))
