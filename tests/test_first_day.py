"""The first steps on the home page of an empty installation."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from django.contrib.auth.models import Group, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from customers.imports import uploads
from customers.models import Import
from segments.models import Segment
from segments.refresh.engine import refresh_all
from segments_project.server.bundled_servers import free_port
from tests.support import shop
from tests.test_shop_settings import ROSSI, saved

pytestmark = pytest.mark.django_db

HOME = reverse("admin:index")
TO_FILES = "django.core.mail.backends.filebased.EmailBackend"
MAIL, TEST = reverse("admin:core_shopprofile_mail"), reverse("admin:core_shopprofile_mail_test")


class Inbox(Message):
    """A mail server that keeps what it gets, or refuses every recipient."""

    def __init__(self, refusal: str = "") -> None:
        super().__init__()
        self.received: list[Any] = []
        self.refusal = refusal

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if not self.refusal:
            envelope.rcpt_tos.append(address)
        return self.refusal or "250 OK"

    def handle_message(self, message: Any) -> None:
        self.received.append(message)


@pytest.fixture
def anna() -> Client:
    """The person who has installed it."""
    client = Client()
    client.force_login(User.objects.create_superuser("anna", "anna@rossi.example"))
    return client


def colleague(role: str, **fields: str) -> Client:
    user = User.objects.create_user(role.lower(), is_staff=True, **fields)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def steps(client: Client) -> dict[str, bool]:
    """Return the steps of the home page, and which are done."""
    found = client.get(HOME).context["first_day"]
    return {step.title: step.is_done for step in found.steps} if found else {}


def send_through(settings: Any, port: int) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port


def test_an_empty_shop_opens_with_steps_of_one_button_each_and_no_command(anna, settings) -> None:
    settings.EMAIL_BACKEND = TO_FILES
    page = anna.get(HOME).content.decode()

    assert steps(anna) == dict.fromkeys(
        [
            "Name the shop",
            "Bring in customers and orders",
            "Install the segments",
            "Set up e-mail",
            "Invite your colleagues",
            "Start a first campaign",
        ],
        False,
    )
    assert 'class="panel first-day" open' in page
    assert "manage.py" not in page
    assert "EMAIL_URL" not in page
    for address in re.findall(r'class="doors">.*?href="([^"]+)"', page, re.DOTALL):
        assert anna.get(address).status_code == 200


def test_facts_tick_the_steps(anna, settings) -> None:
    send_through(settings, 25)
    saved(anna, **ROSSI)
    shop.customers("c1,anna@example.org")
    installed = anna.post(
        reverse("admin:segments_segment_install_templates"), {"first_day": "1"}, follow=True
    )
    colleague("Viewer")

    assert installed.redirect_chain[-1][0] == HOME
    assert Segment.objects.count() == 18
    assert [title for title, is_done in steps(anna).items() if not is_done] == ["Start a first campaign"]
    assert "5 of 6 done" in " ".join(anna.get(HOME).content.decode().split())


def test_the_first_save_of_the_settings_leads_back_to_the_steps(anna) -> None:
    first = saved(anna, **ROSSI)
    second = saved(anna, name="Rossi")

    assert first.redirect_chain[-1][0] == HOME
    assert second.redirect_chain[-1][0] == reverse("admin:core_shopprofile_changelist")


def test_a_person_puts_the_steps_away_for_themselves_only(anna) -> None:
    viewer = colleague("Viewer")

    viewer.post(reverse("admin:campaigns_campaign_first_day_dismiss"))

    assert steps(viewer) == {}
    assert steps(anna)


def test_who_may_not_do_a_step_reads_who_can(anna) -> None:
    User.objects.filter(username="anna").update(first_name="Anna", last_name="Rossi")
    colleague("Administrator", first_name="Luca")

    page = colleague("Viewer").get(HOME)

    assert "Anna Rossi or Luca can do this." in page.content.decode()
    assert not any(step.actions for step in page.context["first_day"].steps)


# -- E-mail


def test_a_test_is_sent_to_the_person_who_asks(anna, settings) -> None:
    inbox = Inbox()
    with_server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    with_server.start()
    try:
        send_through(settings, with_server.port)
        saved(anna, **ROSSI)
        told = anna.post(TEST, {"to": "stranger@example.org"}, follow=True).content.decode()
    finally:
        with_server.stop()

    [message] = inbox.received
    assert message["To"] == "anna@rossi.example"
    assert message["From"] == "Bottega Rossi <ciao@rossi.example>"
    assert "The mail server accepted the test for anna@rossi.example." in told


def test_a_refusal_is_told_in_plain_words(anna, settings) -> None:
    with_server = Controller(Inbox("550 no such user"), hostname="127.0.0.1", port=free_port())
    with_server.start()
    try:
        send_through(settings, with_server.port)
        told = anna.post(TEST, follow=True).content.decode()
    finally:
        with_server.stop()

    assert "The mail server does not accept your address. It said: no such user" in told


def test_a_server_that_does_not_answer_is_named(anna, settings) -> None:
    send_through(settings, port := free_port())

    told = anna.post(TEST, follow=True).content.decode()

    assert f"No mail server answers at 127.0.0.1:{port}." in told


def test_without_a_server_or_an_address_nothing_is_sent(anna, settings) -> None:
    settings.EMAIL_BACKEND = TO_FILES
    assert "E-mails reach nobody yet" in anna.get(MAIL).content.decode()
    assert "because no mail server is set" in anna.post(TEST, follow=True).content.decode()

    send_through(settings, 25)
    User.objects.update(email="")
    assert "Your account has no e-mail address" in anna.get(MAIL).content.decode()
    assert "because your account has no e-mail address" in anna.post(TEST, follow=True).content.decode()


def test_only_administrators_check_the_mail_server() -> None:
    marketer = colleague("Marketer")

    assert marketer.get(MAIL).status_code == marketer.post(TEST).status_code == 403


# -- After an import

ORDERS = (
    "Order number;Order date;E-mail;First name;Total\n"
    "1;2026-03-05;ada@example.org;Ada;20.00\n2;2026-03-06;ada@example.org;Ada;30.00\n"
    "3;2026-03-06;bob@example.org;Bob;5.00\n4;someday;eve@example.org;Eve;5.00\n"
)


@pytest.fixture
def folder(settings, tmp_path) -> None:
    settings.IMPORTS_DIR = tmp_path / "imports"


def imported(client: Client, text: str, name: str = "orders.csv") -> str:
    """Upload a file, start its import, let a worker do it; return the address of its page."""
    file = SimpleUploadedFile(name, text.encode())
    uploaded = client.post(reverse("admin:customers_import_add"), {"file": file}, follow=True)
    [(address, _)] = uploaded.redirect_chain
    client.post(reverse("admin:customers_import_start", args=[Import.objects.latest("pk").pk]))
    uploads.run_next_import()
    return str(address)


def words_of(client: Client, address: str) -> str:
    text = re.sub("<[^>]+>", " ", client.get(address).content.decode())
    return " ".join(text.split())


def test_a_finished_import_says_what_came_what_it_means_and_what_is_next(anna, folder) -> None:
    address = imported(anna, ORDERS)

    told = words_of(anna, address)
    assert "Customers 2 new, 0 changed Orders 3 new, 0 changed" in told
    assert "Rows rejected 1" in told
    assert "1 row could not be read." in told
    assert "There are no segments yet." in told
    assert "Install the ready-to-use segments" in told

    segment = shop.segment("buyers", {"order_count": {"at_least": 1}})
    told = words_of(anna, address)
    assert "The segments are being brought up to date" in told
    assert "hx-trigger" in anna.get(address).content.decode()

    refresh_all()
    told = words_of(anna, address)
    assert f"{segment.name} 2 2" in told
    assert "Start a campaign" in told
    assert "being brought up to date" not in told


def test_importing_a_file_again_is_told_as_changes(anna, folder) -> None:
    imported(anna, ORDERS)

    told = words_of(anna, imported(anna, ORDERS, "again.csv"))

    assert "Orders 0 new, 3 changed" in told


def test_a_viewer_is_offered_nothing_that_only_others_may_do(anna, folder) -> None:
    address = imported(anna, ORDERS)
    marketer = words_of(colleague("Marketer"), address)

    assert "Install the ready-to-use segments" in marketer
    assert colleague("Viewer").get(address).status_code == 403
