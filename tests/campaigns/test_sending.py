"""The checks immediately before a message is sent, and the effect of a mail server's responses."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group, User
from django.db import connections
from django.test import Client
from django.urls import reverse

from campaigns import results
from campaigns.delivery import bounces, channel_health
from campaigns.links import signed_links
from campaigns.models import Campaign, ChannelHealth, Delivery
from customers.consent import suppression
from customers.identity import lookup
from customers.models import Customer, Suppression
from customers.privacy import personal_data
from tests.support import campaign_runs, mail_provider, shop
from tests.support.campaign_runs import Move, campaign, order, subscribers
from tests.support.mail_server import YES, MailServer
from tests.support.shop import NOON, days

from .test_delivery import got, mailing

MINUTE = timedelta(minutes=1)


def staff(role: str) -> Client:
    """A logged-in member of staff with a role."""
    user = User.objects.create(username=role, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def states() -> dict[str, str]:
    return dict(Delivery.objects.values_list("customer__customer_id", "state"))


# -- Asked again


def unsubscribe(who: str) -> None:
    """Unsubscribe with the link of a message."""
    to_them = Delivery.objects.select_related("customer").get(customer__customer_id=who)
    assert Client().post(urlsplit(signed_links.unsubscribe_url(to_them)).path).status_code == 200


def erase(who: str) -> None:
    customer = lookup.find_customer(who)
    assert customer
    personal_data.erase_customer(customer, NOON)


def pay(who: str) -> None:
    order(who, NOON - timedelta(microseconds=1))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("happens", [unsubscribe, erase, pay])
def test_changes_during_sending_apply_to_the_next_message(
    server: MailServer, happens: Callable[[str], None]
) -> None:
    subscribers("anna", "ben", "cleo")
    segment = shop.segment("everybody", {"known": {"is": True}})
    failures: list[BaseException] = []
    with campaign_runs.clock() as move:
        move(NOON, carry_out=False)
        campaign(segment, trigger="at", starts_at=NOON - MINUTE, ends_with_order=True)

        def meanwhile() -> None:
            try:
                happens("ben")
            except BaseException as error:
                failures.append(error)
            finally:
                connections.close_all()

        def answer(address: str) -> str:
            if not server.taken:
                somebody = threading.Thread(target=meanwhile)
                somebody.start()
                somebody.join()
            return YES

        server.answer = answer
        move(NOON)

    assert not failures
    assert got(server) == ["anna", "cleo"]
    assert states().get("ben", "held_back") == "held_back"


@pytest.mark.django_db(transaction=True)
def test_a_message_goes_to_the_customers_present_address(server: MailServer) -> None:
    mailing("anna", "ben")

    def move_house() -> None:
        try:
            shop.customers("ben,ben@new.example")
        finally:
            connections.close_all()

    def answer(address: str) -> str:
        if not server.taken:
            somebody = threading.Thread(target=move_house)
            somebody.start()
            somebody.join()
        return YES

    server.answer = answer
    with campaign_runs.clock() as move:
        move(NOON)

    assert [str(one["To"]) for one in server.messages] == ["anna@example.org", "ben@new.example"]


# -- Refused


@pytest.mark.django_db
def test_sending_pauses_after_more_than_a_tenth_of_fifty_rejections_until_staff_resume_it(
    move: Move, server: MailServer
) -> None:
    who = [f"c{number:02}" for number in range(60)]
    mailing(*who)
    refused = {f"c{number:02}@example.org" for number in range(0, 60, 4)}
    server.answer = lambda address: "550 5.7.1 your mail looks like spam" if address in refused else YES

    move(NOON)

    counted = Counter(states().values())
    assert counted["failed"] == 6
    assert counted["planned"] >= 9
    move(NOON + 30 * MINUTE)
    assert Counter(states().values()) == counted
    sale = Campaign.objects.get()
    marketer = staff("Marketer")
    pages = (reverse("admin:index"), reverse("admin:campaigns_campaign_change", args=[sale.pk]))
    for page in pages:
        shown = marketer.get(page).content.decode()
        assert "Sending by e-mail has been paused" in shown
        assert "looks like spam" in shown
        assert "Resume sending" in shown
    viewer = staff("Viewer")
    assert "Resume sending" not in viewer.get(pages[1]).content.decode()
    address = reverse("admin:campaigns_campaign_resume_sending")
    assert viewer.post(address, {"channel": "email"}).status_code == 403

    server.answer = lambda address: YES
    assert marketer.post(address, {"channel": "email", "next": pages[1]})["Location"] == pages[1]
    assert (
        marketer.post(address, {"channel": "email", "next": "https://evil.example/"})["Location"]
        != "https://evil.example/"
    )
    move(NOON + 31 * MINUTE)
    assert Counter(states().values()) == {"failed": 6, "sent": 54}
    assert "has been paused since" not in marketer.get(pages[1]).content.decode()


@pytest.mark.django_db
def test_sending_continues_with_a_tenth_of_rejections(move: Move, server: MailServer) -> None:
    who = [f"c{number:02}" for number in range(50)]
    mailing(*who)
    refused = {f"c{number:02}@example.org" for number in range(5, 50, 10)}
    server.answer = lambda address: "554 no" if address in refused else YES

    move(NOON)

    assert Counter(states().values()) == {"failed": 5, "sent": 45}
    assert ChannelHealth.objects.get().paused_at is None


@pytest.mark.django_db
def test_other_channels_send_while_e_mail_is_paused(move: Move, server: MailServer) -> None:
    sale = mailing(*(f"c{number}" for number in range(8)))
    server.answer = lambda address: "550 no"
    campaign(sale.segment, name="page", channel="on_site", trigger="at", starts_at=NOON)

    move(NOON)

    found = Counter(Delivery.objects.values_list("campaign__name", "state"))
    assert found == {("sale", "failed"): 6, ("sale", "planned"): 2, ("page", "sent"): 8}


# -- Without a mail server


@pytest.mark.django_db
@pytest.mark.parametrize("backend", ["filebased", "console", "dummy"])
def test_without_a_mail_server_no_message_counts_as_sent(
    move: Move, settings: Any, tmp_path: Any, backend: str
) -> None:
    settings.EMAIL_BACKEND = f"django.core.mail.backends.{backend}.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    sale = mailing("anna", "ben")
    move(NOON)
    order("anna", NOON + timedelta(hours=1))
    Client().get(urlsplit(signed_links.click_url(Delivery.objects.all()[0], settings.SHOP_URL)).path)

    assert set(states().values()) == {"written"}
    assert set(Delivery.objects.values_list("sent_at", "clicks")) == {(None, 0)}
    found = results.campaign_results(sale, NOON + days(1))
    assert not found.revenue
    assert (found.sent, found.written, found.clicked, found.ordered) == (0, 2, 0, 0)
    page = (
        staff("Administrator")
        .get(reverse("admin:campaigns_campaign_change", args=[sale.pk]))
        .content.decode()
    )
    assert "written to a file" in page


def every_page(sale: Campaign) -> list[str]:
    of_campaign = ("change", "edit", "preview", "forecast", "deliveries", "start", "stop", "discard")
    return [
        reverse("admin:index"),
        reverse("admin:campaigns_campaign_changelist"),
        reverse("admin:campaigns_campaign_add"),
        reverse("admin:campaigns_campaign_segment", args=[sale.segment_id]),
        reverse("admin:campaigns_campaign_audience", args=[sale.segment_id]),
        *(reverse(f"admin:campaigns_campaign_{name}", args=[sale.pk]) for name in of_campaign),
    ]


@pytest.mark.django_db
def test_every_campaign_page_and_the_home_page_warn_about_a_missing_mail_server(
    move: Move, settings: Any, tmp_path: Any
) -> None:
    sale = mailing("anna")
    Campaign.objects.update(state="draft")
    admin = staff("Administrator")
    for page in every_page(sale):
        assert "E-mails are written to a file" not in admin.get(page).content.decode(), page
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    for page in every_page(sale):
        assert "E-mails are written to a file" in admin.get(page).content.decode(), page


# -- Addresses of everybody


LOCAL = "jörg@bücher.example"


@pytest.mark.django_db
@pytest.mark.parametrize("server", [True], indirect=True)
def test_an_address_that_needs_smtputf8_is_used_unchanged(move: Move, server: MailServer) -> None:
    mailing("anna", "ben")
    shop.customers(f"anna,{LOCAL}")

    move(NOON)

    assert set(states().values()) == {"sent"}
    message = next(one for one in server.messages if "bcher" in str(one["To"]))
    assert str(message["To"]) == "jörg@xn--bcher-kva.example"
    assert message["From"] == "Die Bäckerei <news@shop.example>"
    assert {part.get_content_type() for part in message.iter_parts()} == {"text/plain", "text/html"}
    assert message["List-Unsubscribe"]


@pytest.mark.django_db
def test_without_smtputf8_support_the_message_fails_with_a_reason(move: Move, server: MailServer) -> None:
    mailing("anna", "ben")
    shop.customers(f"anna,{LOCAL}")

    move(NOON)

    assert states() == {"anna": "failed", "ben": "sent"}
    assert "SMTPUTF8" in Delivery.objects.get(state="failed").reason


# -- Addresses without a mailbox


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("answer", "is_suppressed"),
    [
        ("550 5.1.1 no such user", True),
        ("550-5.1.1 The account\r\n550 5.1.1 that you tried to reach is not there", True),
        ("550 5.1.2 no such domain", True),
        ("553 5.1.3 bad address", True),
        ("551 5.1.6 moved", True),
        ("556 5.1.10 takes no mail", True),
        ("550 #5.2.1 mailbox disabled", True),
        ("550 mailbox unavailable (5.1.1)", True),
        ("550 nobody of that name", False),
        ("552 5.2.2 mailbox full", False),
        ("554 5.7.1 spam, see 5.1.1", False),
        ("550 5.1.11 what is this", False),
        ("550 5.1.8 sender unknown", False),
        ("550 rejected by 5.1.1.5", False),
        ("450 4.1.1 try again", False),
    ],
)
def test_an_address_without_a_mailbox_is_suppressed_with_the_servers_response(
    move: Move, server: MailServer, answer: str, is_suppressed: bool
) -> None:
    sale = mailing("anna", "ben")
    shop.customers("anna-2,Anna@example.org,subscribed", header="customer_id,email,newsletter")
    order("anna-2", NOON - days(1))
    server.answer = lambda address: answer if address.lower().startswith("anna") else YES

    move(NOON)

    assert suppression.is_suppressed("ANNA@example.org") == is_suppressed
    assert not suppression.is_suppressed("ben@example.org")
    assert got(server) == ["ben"]
    if is_suppressed:
        found = Suppression.objects.get()
        assert (found.reason, found.at) == ("bounced", NOON)
        assert found.detail[:3] == answer[:3]
        server.answer = lambda address: YES
        campaign(sale.segment, name="next", trigger="at", starts_at=NOON + days(1))
        move(NOON + days(1))
        assert got(server) == ["ben", "ben"]
        suppression.lift_suppression(Suppression.objects.get(address="anna@example.org"))
        campaign(sale.segment, name="last", trigger="at", starts_at=NOON + days(2))
        move(NOON + days(2))
        assert "anna" in [one.lower() for one in got(server)[2:]]


@pytest.mark.django_db
def test_missing_mailboxes_do_not_pause_sending(move: Move, server: MailServer) -> None:
    who = [f"c{number}" for number in range(10)]
    mailing(*who)
    server.answer = lambda address: "550 5.1.1 nobody"

    move(NOON)

    assert Counter(states().values()) == {"failed": 10}
    assert Suppression.objects.count() == 10
    assert not channel_health.paused_channels()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "is_suppressed"),
    [(mail_provider.AnymailRecipientsRefused("invalid"), True), (mail_provider.answer(422), False)],
)
def test_a_recipient_rejected_by_the_provider_is_suppressed(
    move: Move, settings: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, is_suppressed: bool
) -> None:
    settings.EMAIL_BACKEND = "tests.support.mail_provider.Backend"
    monkeypatch.setattr(mail_provider.Backend, "error", error)
    mailing("anna")

    move(NOON)

    assert states() == {"anna": "failed"}
    assert suppression.is_suppressed("anna@example.org") == is_suppressed


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "reject_reason", "expected"),
    [
        ("bounced", "bounced", ("bounced", "subscribed")),
        ("bounced", "invalid", ("bounced", "subscribed")),
        ("bounced", "timed_out", None),
        ("bounced", "spam", None),
        ("deferred", None, None),
        ("opened", None, None),
        ("complained", "spam", ("complained", "unsubscribed")),
    ],
)
def test_a_later_bounce_event_of_the_provider_suppresses_the_address(
    kind: str, reject_reason: str | None, expected: tuple[str, str] | None
) -> None:
    subscribers("anna")
    event = SimpleNamespace(
        event_type=kind, reject_reason=reject_reason, recipient="Anna@example.org", timestamp=NOON,
        mta_response="smtp; 550 gone", description="",
    )  # fmt: skip

    bounces.handle_tracking_event(sender=None, event=event, esp_name="Postmark")

    found = Suppression.objects.first()
    newsletter = Customer.objects.get().newsletter
    assert (found and (found.reason, newsletter)) == expected
    assert found is None or found.detail == "Postmark: smtp; 550 gone"
