"""Double opt-in: with the key of a browser, only the owner of an address can confirm a subscription."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import time_machine
from django.core.signing import Signer
from django.test import Client

from campaigns import tasks, unsubscription
from campaigns.delivery import confirmation_emails
from customers.consent import statements, suppression
from customers.models import ConfirmationRequest, ConsentChange, Customer
from segments.models import Segment
from tests.support import shop
from tests.support.mail_server import MailServer, mail_server
from tests.support.tracking_messages import identify, send, source

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VICTIM = "victim@example.com"


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    with mail_server(knows_utf8=True) as server:
        yield server


@pytest.fixture
def mail(server: MailServer, settings) -> MailServer:
    server.taken.clear()
    server.answer = lambda address: "250 OK"
    host = urlsplit(server.url)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = host.hostname, host.port
    return server


@pytest.fixture
def browser() -> str:
    return source("browser")[1]


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as coordinates:
        yield coordinates


Ask = Callable[..., None]


@pytest.fixture
def ask(browser: str) -> Ask:
    def ask(anonymous: str = "a1", email: str = VICTIM, **more) -> None:
        now = datetime.now(UTC)
        send(browser, identify("", anonymous, at=now.isoformat(), email=email, newsletter=True, **more))
        confirmation_emails.send_confirmation_emails(now)

    return ask


def state_of(customer_id: str) -> str:
    return Customer.objects.get(customer_id=customer_id).newsletter


def pending() -> set[str]:
    """Whom the filter finds, in a segment that a pass by time keeps."""
    if not Segment.objects.exists():
        shop.segment("pending", {"newsletter": {"is": "pending"}})
    shop.command("refresh_segments")
    shop.command("verify_segments")
    return set(shop.members("pending"))


def link_of(mail: MailServer, place: int = -1) -> str:
    text = mail.messages[place].get_body(("plain",))
    assert text
    [url] = re.findall(r"https?://\S*/confirm/\S+", text.get_content())
    return urlsplit(url).path


def test_a_subscription_from_a_browser_is_pending_and_its_address_is_asked(
    mail: MailServer, ask: Ask
) -> None:
    ask()

    assert state_of("anonymous:a1") == "never"
    assert pending() == {"anonymous:a1"}
    assert mail.of("To", "Subject") == [(VICTIM, "Please confirm the newsletter of The shop")]


def test_opening_the_link_confirms_nothing_and_the_button_confirms_once(mail: MailServer, ask: Ask) -> None:
    ask()
    link = link_of(mail)
    for method in ("get", "head", "get"):
        assert getattr(Client(), method)(link).status_code == 200
    assert state_of("anonymous:a1") == "never"

    assert b"You are subscribed" in Client().post(link).content

    assert state_of("anonymous:a1") == "subscribed"
    assert pending() == set()
    proof = ConsentChange.objects.get()
    assert (proof.state, proof.source, proof.address) == ("subscribed", "confirmation link", VICTIM)
    assert (proof.at, proof.asked_at) == (NOW, NOW)
    assert Customer.objects.get().email_is_trusted

    unsubscription.unsubscribe(Customer.objects.get().pk, NOW + timedelta(hours=1))
    assert Client().post(link).status_code == Client().get(link).status_code == 410
    assert state_of("anonymous:a1") == "unsubscribed"
    assert ConsentChange.objects.count() == 2


@pytest.mark.parametrize("salt", ["campaigns.unsubscribe", "campaigns.click", "", "another key"])
def test_a_forged_link_confirms_nothing(ask: Ask, mail: MailServer, salt: str) -> None:
    ask()
    token = ConfirmationRequest.objects.get().token.hex
    signer = Signer(key=salt, salt="campaigns.confirm") if salt == "another key" else Signer(salt=salt)
    signed = signer.sign_object(token) if salt else token

    assert Client().post(f"/confirm/{signed}").status_code == 404
    assert state_of("anonymous:a1") == "never"


def test_a_link_expires_after_30_days_with_the_request(
    ask: Ask, mail: MailServer, clock: time_machine.Traveller
) -> None:
    ask()
    clock.move_to(NOW + timedelta(days=30) - timedelta(seconds=1))
    assert pending() == {"anonymous:a1"}
    clock.move_to(NOW + timedelta(days=30))

    assert pending() == set()
    assert Client().post(link_of(mail)).status_code == 410
    assert state_of("anonymous:a1") == "never"


@pytest.mark.parametrize(
    "spellings",
    [
        [VICTIM, "Victim@EXAMPLE.com", "victim@example.com\u200b"],
        ["jo\u0308rg@example.com", "j\u00f6rg@example.com", "JÖRG@example.com"],
        ["a@stra\u00dfe.example", "a@STRASSE\u200b.example".replace("SS", "ß"), "a@xn--strae-oqa.example"],
    ],
)
def test_an_address_is_asked_once_a_day_and_three_times_in_30_days_whoever_asks(
    spellings: list[str], ask: Ask, mail: MailServer, clock: time_machine.Traveller
) -> None:
    for day in (*range(5), 15, *range(28, 35)):
        clock.move_to(NOW + timedelta(days=day))
        for number, email in enumerate(spellings):
            ask(f"a{day}-{number}", email)

    sent = ConfirmationRequest.objects.values_list("sent_at", flat=True)
    days = sorted((moment - NOW).days for moment in sent if moment)
    assert days == [0, 1, 2, 30, 31, 32]


@pytest.mark.parametrize(
    "addresses",
    [
        [VICTIM, "victim+1@example.com", "Victim+2+x@Example.com"],
        ["v.ictim@googlemail.com", "victim@gmail.com", "v.i.c.t.i.m+7@Gmail.com"],
    ],
)
def test_a_mailbox_is_asked_once_a_day_by_whichever_of_its_addresses(
    addresses: list[str], ask: Ask, mail: MailServer
) -> None:
    for number, email in enumerate(addresses):
        ask(f"a{number}", email)

    assert mail.of("To") == [(addresses[0],)]


@pytest.mark.parametrize("given", ["victim(1)@example.com", "(1)victim@example.com", "a:victim@example.com"])
def test_an_ambiguous_address_is_never_asked(given: str, ask: Ask, mail: MailServer) -> None:
    ask(email=given)

    assert mail.taken == []
    assert Customer.objects.get().email == ""


def test_the_link_of_an_address_that_the_visitor_does_not_have_confirms_nothing(
    ask: Ask, mail: MailServer, clock: time_machine.Traveller
) -> None:
    ask(email=VICTIM)
    clock.shift(timedelta(minutes=1))
    ask(email="mine@example.com")
    of_victim, mine = link_of(mail, 0), link_of(mail, 1)
    Client().post(mine)

    assert Client().post(of_victim).status_code == 410

    asker = Customer.objects.get()
    assert (asker.email, asker.newsletter) == ("mine@example.com", "subscribed")
    assert [one.address for one in ConsentChange.objects.all()] == ["mine@example.com"]


def test_a_used_link_is_expired_after_an_unsubscription(ask: Ask, mail: MailServer) -> None:
    ask()
    Client().post(link_of(mail))
    unsubscription.unsubscribe(Customer.objects.get().pk, NOW + timedelta(hours=1))

    answer = Client().post(link_of(mail))

    assert answer.status_code == 410
    assert b"You are subscribed" not in answer.content


def test_a_suppressed_address_is_not_asked(ask: Ask, mail: MailServer) -> None:
    suppression.suppress(VICTIM, NOW, reason=suppression.Reason.BOUNCED, source="mail server")
    ask(email="Victim@Example.com")

    assert mail.taken == []
    assert ConfirmationRequest.objects.get().state == "held_back"


def test_a_stranger_cannot_subscribe_an_unsubscribed_customer(ask: Ask, mail: MailServer) -> None:
    shop.customers(f"c1,{VICTIM},subscribed,2026-01-01", header="customer_id,email,newsletter,subscribed_at")
    unsubscription.unsubscribe(Customer.objects.get().pk, NOW - timedelta(days=2))

    ask()

    assert (state_of("c1"), state_of("anonymous:a1")) == ("unsubscribed", "unsubscribed")
    assert pending() == {"anonymous:a1"}
    Client().post(link_of(mail))
    # The address has spoken: the row that asked is subscribed, the customer has not asked.
    assert (state_of("c1"), state_of("anonymous:a1")) == ("unsubscribed", "subscribed")


def test_a_stranger_unsubscribes_only_their_own_visitor(browser: str) -> None:
    shop.customers(f"c1,{VICTIM},subscribed,2026-01-01", header="customer_id,email,newsletter,subscribed_at")

    send(browser, identify("", "a1", at=NOW.isoformat(), email=VICTIM, newsletter=False))
    send(browser, identify("c1", "a2", at=NOW.isoformat(), email=VICTIM, newsletter=False))

    assert state_of("c1") == "subscribed"
    assert state_of("anonymous:a1") == "unsubscribed"


def test_a_confirmed_address_is_not_changed_for_anothers(ask: Ask, browser: str, mail: MailServer) -> None:
    ask(email="mine@example.com")
    Client().post(link_of(mail))

    send(browser, identify("", "a1", at=(NOW + timedelta(hours=1)).isoformat(), email=VICTIM))

    row = Customer.objects.get()
    assert (row.email, row.newsletter) == ("mine@example.com", "subscribed")


def test_a_trusted_customer_id_does_not_confirm_the_address(mail: MailServer) -> None:
    _, key = source("browser", trusts_unsigned_ids=True)
    send(key, identify("c9", "a9", at=NOW.isoformat(), email=VICTIM, newsletter=True))

    assert state_of("c9") == "never"
    assert pending() == {"c9"}


def test_repeated_requests_and_tasks_send_one_message(ask: Ask, mail: MailServer) -> None:
    ask()
    ask()
    assert confirmation_emails.send_confirmation_emails(NOW) == 0

    assert len(mail.taken) == 1


def test_a_busy_mail_server_is_tried_again_and_an_unknown_mailbox_is_suppressed(
    ask: Ask, mail: MailServer, clock: time_machine.Traveller
) -> None:
    mail.answer = lambda address: "450 4.2.0 later"
    ask()
    mail.answer = lambda address: "550 5.1.1 nobody"
    clock.move_to(NOW + timedelta(hours=1))
    confirmation_emails.send_confirmation_emails(NOW + timedelta(hours=1))

    assert ConfirmationRequest.objects.get().state == "failed"
    assert suppression.is_suppressed(VICTIM)


def test_requests_wait_while_the_mail_server_is_unavailable(
    ask: Ask, mail: MailServer, settings, clock: time_machine.Traveller
) -> None:
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    addresses = [f"v{number}@example.com" for number in range(3)]
    for number, email in enumerate(addresses):
        ask(f"a{number}", email)
    for hours in range(1, 25, 2):
        confirmation_emails.send_confirmation_emails(NOW + timedelta(hours=hours))
    assert set(ConfirmationRequest.objects.values_list("state", "attempts")) == {("waiting", 0)}

    settings.EMAIL_PORT = port
    confirmation_emails.send_confirmation_emails(NOW + timedelta(hours=25))

    assert sorted(mail.of("To")) == [(email,) for email in addresses]


def test_repeated_requests_for_one_address_block_no_other(mail: MailServer, browser: str) -> None:
    for first in (0, 70):
        asking = (f"a{number}" for number in range(first, first + 70))
        send(
            browser, *(identify("", one, at=NOW.isoformat(), email=VICTIM, newsletter=True) for one in asking)
        )
    send(browser, identify("", "b1", at=NOW.isoformat(), email="other@example.com", newsletter=True))

    tasks.run_campaigns()

    assert sorted(mail.of("To")) == [("other@example.com",), (VICTIM,)]


def test_without_a_mail_server_nothing_is_sent_and_staff_see_why(
    ask: Ask, admin_client: Client, settings, tmp_path: Path
) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = (
        "django.core.mail.backends.filebased.EmailBackend",
        tmp_path,
    )
    ask()

    assert list(tmp_path.iterdir()) == []
    assert "Confirmation e-mails cannot be sent" in admin_client.get("/admin/").content.decode()


def test_without_double_opt_in_a_browser_subscribes_but_ends_no_unsubscription_of_the_address(
    ask: Ask, settings, mail: MailServer
) -> None:
    settings.SHOP_DOUBLE_OPT_IN = False
    statements.unsubscribe(VICTIM, NOW - timedelta(days=1), source="staff")

    ask("a1", "mine@example.com")
    ask("a2", VICTIM)

    assert (state_of("anonymous:a1"), state_of("anonymous:a2")) == ("subscribed", "unsubscribed")
    assert mail.taken == []
