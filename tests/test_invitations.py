"""Staff come in by an invitation, and get another password by mail: by links that open once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.core import mail
from django.test import Client
from django.urls import reverse

from .conftest import eventually
from .support import furnished_shop, html_forms

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough secret"
ADD = "/admin/auth/user/add/"
FORGOTTEN = "/admin/password/forgotten/"
FILES = "django.core.mail.backends.filebased.EmailBackend"
LINK = re.compile(r"https?://[^\s<]+/admin/password/choose/[^\s<]+")


@pytest.fixture
def administrator() -> Client:
    user = User.objects.create(username="boss", first_name="Bo", is_staff=True)
    user.groups.set([Group.objects.get(name="Administrator")])
    client = furnished_shop.anonymous_client()
    client.force_login(user)
    return client


def invite(client: Client, role: str = "Viewer", **fields: str) -> Any:
    given = {"username": "carla", "email": "carla@shop.example", "first_name": "Carla", "last_name": ""}
    given |= {"role": str(Group.objects.get(name=role).pk)}
    return client.post(ADD, given | fields)


def link_in(text: object) -> str:
    found = LINK.search(str(text))
    assert found, text
    return found[0]


def choose(link: str, password: str = PASSWORD) -> Any:
    """Follow a link as its reader does, and choose a password."""
    client = furnished_shop.anonymous_client()
    form = client.get(urlsplit(link).path, follow=True)
    if not form.context["validlink"]:
        return form
    address = form.request["PATH_INFO"]
    return client.post(address, {"new_password1": password, "new_password2": password}, follow=True)


def can_log_in(name: str, password: str = PASSWORD) -> bool:
    client = furnished_shop.anonymous_client()
    client.post(reverse("admin:login"), {"username": name, "password": password})
    return client.get(reverse("admin:index")).status_code == 200


def test_a_colleague_is_invited_by_mail_and_logs_in_with_their_role(administrator):
    answered = invite(administrator, "Marketer")

    carla = User.objects.get(username="carla")
    assert answered.status_code == 302
    assert (carla.is_staff, carla.is_superuser, carla.has_usable_password()) == (True, False, False)
    [sent] = mail.outbox
    assert sent.to == ["carla@shop.example"]
    assert "Bo has given you access" in sent.body
    assert "password was saved" in choose(link_in(sent.body)).content.decode()
    assert can_log_in("carla")
    assert [group.name for group in carla.groups.all()] == ["Marketer"]
    assert LogEntry.objects.get(object_id=str(carla.pk)).get_change_message() == "Invited as Marketer."


@pytest.mark.parametrize("backend", [FILES, "django.core.mail.backends.console.EmailBackend"])
def test_without_a_mail_server_the_invitation_link_is_shown(administrator, settings, tmp_path, backend):
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = backend, str(tmp_path)

    shown = invite(administrator)

    assert "no mail server is configured" in " ".join(shown.content.decode().split())
    assert "no-store" in shown["Cache-Control"]
    assert not list(tmp_path.iterdir())
    choose(link_in(shown.content.decode()))
    assert can_log_in("carla")


def test_the_invitation_link_of_a_colleague_without_an_address_is_shown(administrator):
    shown = invite(administrator, email="")

    assert not mail.outbox
    choose(link_in(shown.content.decode()))
    assert can_log_in("carla")


def test_an_unavailable_mail_server_does_not_lose_the_invitation(administrator, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1

    shown = invite(administrator).content.decode()

    assert "refused it" in shown
    choose(link_in(shown))
    assert can_log_in("carla")


def test_an_invitation_link_works_once_for_a_limited_time_and_for_one_account(administrator):
    invite(administrator)
    link = link_in(mail.outbox[0].body)
    other = User.objects.get(username="boss")
    forged = link.replace("/choose/", "/choose/x").replace("carla", "boss")

    assert "no longer valid" in choose(forged).content.decode()
    assert "no longer valid" in choose(f"{link[:-2]}/").content.decode()
    with time_machine.travel(timedelta(days=3, minutes=1)):
        assert "no longer valid" in choose(link).content.decode()
    User.objects.filter(username="carla").update(is_active=False)
    assert "no longer valid" in choose(link).content.decode()
    User.objects.filter(username="carla").update(is_active=True)
    assert "too short" in choose(link, "short").content.decode()
    choose(link)
    assert "no longer valid" in choose(link, "another long secret").content.decode()
    assert can_log_in("carla")
    assert not other.has_usable_password() or not can_log_in("boss")


def test_staff_cannot_invite_to_a_role_with_more_permissions_than_their_own(administrator):
    keeper = User.objects.create(username="keeper", is_staff=True)
    keeper.groups.set([Group.objects.get(name="Viewer")])
    keeper.user_permissions.set(
        Permission.objects.filter(codename__in=["add_user", "change_user", "view_user"])
    )
    client = furnished_shop.anonymous_client()
    client.force_login(keeper)

    refused = invite(client, "Administrator")
    assert refused.status_code == 200
    assert not User.objects.filter(username="carla").exists()
    assert invite(client, "Viewer").status_code == 302
    assert furnished_shop.anonymous_client().post(ADD, {}).status_code == 302
    viewer = User.objects.get(username="carla")
    lookers = furnished_shop.anonymous_client()
    lookers.force_login(viewer)
    assert lookers.get(ADD).status_code == 403


def test_an_administrator_sends_another_link_except_to_superusers(administrator):
    boss = User.objects.create_superuser("owner", "owner@shop.example", "x")
    invite(administrator)
    carla = User.objects.get(username="carla")
    action = {"action": "send_link", "_selected_action": [carla.pk, boss.pk]}

    administrator.post(reverse("admin:auth_user_changelist"), action)

    assert [one.to for one in mail.outbox] == [["carla@shop.example"]] * 2
    choose(link_in(mail.outbox[1].body))
    assert can_log_in("carla")


def test_a_colleague_without_a_user_name_logs_in_with_their_address(administrator):
    assert invite(administrator, username="", email="Carla@Shop.example").status_code == 302

    choose(link_in(mail.outbox[0].body))
    assert can_log_in("carla@shop.example")
    for fields in ({"username": "", "email": ""}, {"username": "", "email": "carla@SHOP.example"}):
        assert invite(administrator, **fields).status_code == 200
    assert User.objects.count() == 2


def person_page(user: User) -> str:
    return reverse("admin:auth_user_change", args=[user.pk])


def save_person(client: Client, user: User, **changes: Any) -> Any:
    [form] = [
        form for form in html_forms.forms_of(client.get(person_page(user)).content.decode()) if form.saves
    ]
    return client.post(person_page(user), form.as_it_stands(**changes))


def roles_of(user: User) -> list[str]:
    return sorted(user.groups.values_list("name", flat=True))


def test_the_page_of_a_person_gives_them_one_role_and_sends_the_invitation_again(administrator):
    invite(administrator, "Viewer")
    carla = User.objects.get(username="carla")
    page = administrator.get(person_page(carla)).content.decode()
    assert "invited" in page
    assert "Send the invitation again" in page
    assert "never" in page

    assert save_person(administrator, carla, role=Group.objects.get(name="Marketer").pk).status_code == 302
    administrator.post(reverse("admin:auth_user_link", args=[carla.pk]))

    assert roles_of(carla) == ["Marketer"]
    entry = LogEntry.objects.filter(object_id=str(carla.pk), change_message__contains="role").first()
    assert entry is not None
    assert "The role is now Marketer." in entry.get_change_message()
    assert len(mail.outbox) == 2
    choose(link_in(mail.outbox[1].body))
    assert can_log_in("carla")
    page = administrator.get(person_page(carla)).content.decode()
    assert "choose a new password" in page
    assert "never" not in page


def test_an_invitation_that_nobody_used_is_listed_as_expired(administrator):
    invite(administrator)

    def states() -> list[str]:
        page = administrator.get(reverse("admin:auth_user_changelist")).content.decode()
        return re.findall(r"invitation expired|invited", page)

    assert states()[:1] == ["invited"]
    LogEntry.objects.update(action_time=datetime.now(UTC) - timedelta(days=4))
    assert "invitation expired" in states()


def test_several_roles_of_an_earlier_version_stay_until_one_is_chosen(administrator):
    carla = User.objects.create(username="carla", is_staff=True)
    carla.groups.set(Group.objects.filter(name__in=["Viewer", "Marketer"]))

    save_person(administrator, carla, first_name="Carla")
    assert roles_of(carla) == ["Marketer", "Viewer"]

    save_person(administrator, carla, role=Group.objects.get(name="Viewer").pk)
    assert roles_of(carla) == ["Viewer"]


def test_nobody_gives_or_takes_over_more_rights_than_their_own(administrator):
    boss = User.objects.get(username="boss")
    Group.objects.create(name="Everything").permissions.set(Permission.objects.all())
    keeper = User.objects.create(username="keeper", is_staff=True)
    keeper.user_permissions.set(
        Permission.objects.filter(content_type__app_label="auth", content_type__model__in=["user", "group"])
    )
    carla = User.objects.create(username="carla", is_staff=True)
    client = furnished_shop.anonymous_client()
    client.force_login(keeper)
    marketer, everything = (Group.objects.get(name=name) for name in ("Marketer", "Everything"))

    assert (
        client.post(person_page(boss), {"username": "boss", "email": "keeper@shop.example"}).status_code
        == 403
    )
    assert client.post(reverse("admin:auth_user_password_change", args=[boss.pk]), {}).status_code == 403
    client.post(reverse("admin:auth_user_link", args=[boss.pk]))
    client.post(reverse("admin:auth_user_delete", args=[boss.pk]), {"post": "yes"})
    save_person(client, carla, role=marketer.pk)
    save_person(administrator, carla, role=everything.pk)
    save_person(administrator, boss, role=everything.pk, is_active="")
    assert (
        client.post(reverse("admin:auth_group_change", args=[marketer.pk]), {"name": "x"}).status_code == 403
    )
    chosen = {"name": "Mine", "permissions": [Permission.objects.get(codename="view_customer").pk]}
    client.post(reverse("admin:auth_group_add"), chosen)

    boss.refresh_from_db()
    assert (boss.email, boss.is_active, roles_of(boss), roles_of(carla)) == ("", True, ["Administrator"], [])
    assert not mail.outbox
    assert not Group.objects.filter(name="Mine").exists()
    User.objects.filter(pk=boss.pk).update(is_active=False)
    assert client.post(person_page(boss), {"username": "boss"}).status_code == 403


def ask(email: str, client: Client | None = None) -> Any:
    """Ask from an address from which nobody else has asked in this minute."""
    anywhere = f"2001:db8::{uuid4().hex[:4]}:{uuid4().hex[:4]}"
    client = client or furnished_shop.anonymous_client(REMOTE_ADDR=anywhere)
    return client.post(FORGOTTEN, {"email": email})


def test_a_forgotten_password_is_reset_by_mail_and_nobody_learns_who_has_an_account(settings):
    settings.PUBLIC_URL = "https://segments.shop.example"
    User.objects.create_user("dora", "dora@shop.example", "the former one", is_staff=True)
    User.objects.create_user("guest", "guest@shop.example", "the former one")
    login = furnished_shop.anonymous_client().get(reverse("admin:login")).content.decode()
    assert FORGOTTEN in login

    told = [ask(f"{name}@shop.example") for name in ("nobody", "guest", "dora")]

    assert {(one.status_code, one["Location"]) for one in told} == {(302, "/admin/password/sent/")}
    eventually(lambda: mail.outbox, within=5)
    [sent] = mail.outbox
    assert sent.to == ["dora@shop.example"]
    assert link_in(sent.body).startswith("https://segments.shop.example/admin/password/choose/")
    for _ in range(5):
        assert not can_log_in("dora", "guessed")
    choose(link_in(sent.body))
    assert can_log_in("dora")  # who has the link does not wait for the failures
    assert not can_log_in("dora", "the former one")


def test_the_list_of_staff_shows_roles_and_who_may_log_in(administrator):
    invite(administrator, "Marketer")
    User.objects.create(username="owner", is_staff=True, is_superuser=True, is_active=False)

    page = administrator.get(reverse("admin:auth_user_changelist")).content.decode()

    roles = re.findall(r"field-roles[^>]*>\s*([^<]*?)\s*<", page)
    assert sorted(roles) == ["Administrator", "Marketer", "Superuser"]
    states = re.findall(r"\b(inactive|invited|invitation expired|active)\b(?=\s*<)", page)
    assert set(states) == {"active", "inactive", "invited"}


def test_without_a_mail_server_the_password_page_says_so(settings):
    settings.EMAIL_BACKEND = FILES

    page = furnished_shop.anonymous_client().get(FORGOTTEN).content.decode()

    assert "we cannot send you a link" in page
    assert "administrator" in page
    assert 'type="email"' not in page


def test_invited_and_inactive_users_cannot_reset_a_password(administrator):
    invite(administrator)
    User.objects.create_user("ex", "ex@shop.example", "the former one", is_staff=True, is_active=False)

    for address in ("carla@shop.example", "ex@shop.example"):
        assert ask(address).status_code == 302

    assert len(mail.outbox) == 1  # the invitation


def test_requests_for_many_links_are_throttled():
    client = furnished_shop.anonymous_client(REMOTE_ADDR="192.0.2.77")
    with time_machine.travel("2026-11-29T10:00:30Z", tick=False):
        answers = [ask("nobody@shop.example", client) for _ in range(6)]

    assert [one.status_code for one in answers] == [302] * 5 + [429]
    assert answers[-1]["Retry-After"] == "30"
    assert "Too many requests" in answers[-1].content.decode()
