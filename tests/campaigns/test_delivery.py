"""Sending to a real mail server: each message once, with retries, and by concurrent workers."""

import re
import threading
import time
from collections import Counter
from datetime import datetime, timedelta

import pytest
import time_machine
from django.core import mail
from django.db import connections

from campaigns import lifecycle
from campaigns.coupons import coupon_pool, pool_codes
from campaigns.delivery import sender
from campaigns.journeys import progress, triggers
from campaigns.models import Campaign, CouponPool, Delivery
from segments.refresh.engine import refresh_all
from tests.support import campaign_runs, mail_provider, shop
from tests.support.campaign_runs import BUYERS, Move, campaign, order, subscribers
from tests.support.mail_server import YES, MailServer
from tests.support.shop import NOON, days

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def mailing(*who: str, name: str = "sale", at: datetime = NOON) -> Campaign:
    """Plan a message for each customer at noon."""
    subscribers(*who)
    for one in who:
        order(one, NOON - days(1))
    segment = shop.segment("buyers", BUYERS)
    with time_machine.travel(NOON, tick=False):
        refresh_all(NOON)
        return campaign(segment, name=name, trigger="at", starts_at=at)


def got(server: MailServer) -> list[str]:
    return [to.partition("@")[0] for (to,) in server.of("To")]


@pytest.mark.django_db
def test_messages_name_the_sender_and_an_unsubscribe_link_and_share_a_connection(
    move: Move, server: MailServer
) -> None:
    who = [f"c{number}" for number in range(5)]
    mailing(*who)

    move(NOON)

    assert sorted(got(server)) == who
    assert server.connections == 1
    message = server.messages[0]
    delivery = Delivery.objects.get(customer__customer_id=got(server)[0])
    assert message["Message-ID"] == f"<{delivery.token}@shop.example>"
    assert message["From"] == "Die Bäckerei <news@shop.example>"
    assert message["Subject"] == "sale 1"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert str(message["List-Unsubscribe"]).strip().startswith("<http")
    parts = {part.get_content_type(): part.get_content() for part in message.iter_parts()}
    assert parts.keys() == {"text/plain", "text/html"}
    assert (delivery.state, delivery.sent_at, delivery.attempts) == ("sent", NOON, 1)


@pytest.mark.django_db
def test_temporary_rejections_are_retried_and_permanent_ones_recorded(move: Move, server: MailServer) -> None:
    mailing("anna", "ben", "cleo")
    answers = {"ben@example.org": "451 come later", "cleo@example.org": "550 nobody of that name"}
    server.answer = lambda address: answers.get(address, YES)

    move(NOON)

    assert got(server) == ["anna"]
    states = {one.customer.customer_id: one for one in Delivery.objects.select_related("customer")}
    assert (states["cleo"].state, states["cleo"].reason) == ("failed", "550 nobody of that name")
    assert (states["ben"].state, states["ben"].reason) == ("planned", "451 come later")
    assert states["ben"].not_before == NOON + MINUTE
    for minutes in (1, 2, 3, 6):
        move(NOON + minutes * MINUTE)
    ben = Delivery.objects.get(customer__customer_id="ben")
    assert (ben.attempts, ben.not_before) == (3, NOON + 7 * MINUTE)
    answers.clear()
    move(NOON + 7 * MINUTE)
    move(NOON + days(1))
    assert got(server) == ["anna", "ben"]


@pytest.mark.django_db
def test_a_message_rejected_for_a_day_is_given_up(move: Move, server: MailServer) -> None:
    mailing("anna")
    server.answer = lambda address: "451 come later"

    for hours in (*range(0, 24, 2), 25):
        move(NOON + hours * HOUR, refresh=False)

    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason) == ("failed", "451 come later")
    assert 6 <= delivery.attempts <= 12


@pytest.mark.django_db
def test_no_message_is_given_up_while_the_server_is_unavailable_or_rejects_us(
    move: Move, server: MailServer, settings
) -> None:
    who = [f"c{number}" for number in range(6)]
    mailing(*who)
    port, settings.EMAIL_PORT = settings.EMAIL_PORT, 1
    move(NOON)
    move(NOON + MINUTE)
    tried = Delivery.objects.filter(attempts__gt=0, reason__startswith="ConnectionRefusedError")
    assert 1 <= tried.count() <= 2  # one for all, each time
    assert Delivery.objects.filter(state="planned").count() == 6

    settings.EMAIL_PORT = port
    server.took = lambda message: "421 too many of you"
    move(NOON + 10 * MINUTE)
    assert got(server) == []
    server.took = lambda message: YES
    move(NOON + 30 * MINUTE)

    assert sorted(got(server)) == who


@pytest.mark.django_db
def test_an_unusable_address_does_not_delay_other_messages(move: Move, server: MailServer) -> None:
    mailing("anna", "ben")
    shop.customers("anna,anna@exa mple.org", header="customer_id,email")
    subject = Campaign.objects.get().steps.get()
    subject.subject = "two\nlines"
    subject.save()

    move(NOON)

    assert got(server)[-1] == "ben"
    assert {str(one["Subject"]) for one in server.messages} == {"two lines"}


@pytest.mark.django_db
def test_a_message_with_a_missing_value_is_not_sent_and_names_it(move: Move, server: MailServer) -> None:
    mailing("anna", "ben")
    shop.customers("ben,Ben", header="customer_id,first_name")
    step = Campaign.objects.get().steps.get()
    step.text = "Dear {{ first_name }}"
    step.html = ""
    step.save()

    move(NOON)

    assert got(server) == ["ben"]
    anna = Delivery.objects.get(customer__customer_id="anna")
    assert (anna.state, anna.sent_at) == ("failed", None)
    assert "first_name" in anna.reason


@pytest.mark.django_db
def test_without_a_free_coupon_the_message_waits(move: Move, server: MailServer) -> None:
    sale = mailing("anna", "ben")
    pool = coupon_pool.save_pool(CouponPool(name="ten"))
    pool_codes.add_codes(pool, ["FIRST-10"])
    Campaign.objects.filter(pk=sale.pk).update(pool=pool)
    step = sale.steps.get()
    step.text = "Your code: {{ coupon }}"
    step.html = ""
    step.save()

    move(NOON)
    assert len(server.taken) == 1
    assert "pool" in Delivery.objects.get(state="planned").reason
    pool_codes.add_codes(pool, ["SECOND-10"])
    move(NOON + MINUTE)

    assert sorted(got(server)) == ["anna", "ben"]
    codes = [re.findall("[A-Z]+-10", one.as_string())[0] for one in server.messages]
    assert sorted(codes) == ["FIRST-10", "SECOND-10"]


@pytest.mark.django_db(transaction=True)
def test_a_pause_or_stop_takes_effect_during_sending(server: MailServer) -> None:
    sale = mailing(*(f"c{number}" for number in range(40)))

    def stop() -> None:
        try:
            lifecycle.stop(sale, NOON)
        finally:
            connections.close_all()

    def slowly(message: bytes) -> str:
        time.sleep(0.02)
        if len(server.taken) == 3:
            somebody = threading.Thread(target=stop)
            somebody.start()
            somebody.join()
        return YES

    server.took = slowly
    with campaign_runs.clock() as move:
        move(NOON)

    assert 4 <= len(server.taken) < 30
    assert Delivery.objects.filter(state="held_back").count() == 40 - len(server.taken)


@pytest.mark.django_db(transaction=True)
def test_workers_at_the_same_time_send_each_message_once_and_keep_the_cap(
    server: MailServer, settings
) -> None:
    settings.CAMPAIGN_MESSAGES_A_WEEK = 2
    who = [f"c{number}" for number in range(24)]
    sale = mailing(*who)
    with time_machine.travel(NOON, tick=False):
        for name in ("second", "third"):
            campaign(sale.segment, name=name, trigger="at", starts_at=NOON)
    triggers.process_triggers(NOON)
    progress.advance_journeys(NOON)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while sender.send_due_deliveries(NOON, 8):
                continue
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    while sender.send_due_deliveries(NOON):
        continue

    assert not failures
    assert Counter(got(server)) == dict.fromkeys(who, 2)
    assert Counter(Delivery.objects.values_list("state", flat=True)) == {"sent": 48, "held_back": 24}
    assert len(set(server.of("Message-ID"))) == 48


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "state", "tried"),
    [
        (None, "sent", 2),
        (mail_provider.answer(422), "failed", 2),
        (mail_provider.AnymailRecipientsRefused("nobody"), "failed", 2),
        (mail_provider.answer(429), "planned", 2),
        (mail_provider.answer(503), "planned", 2),
        (mail_provider.answer(401), "planned", 1),  # our key is refused, so nobody else is tried
        (mail_provider.answer(None), "planned", 1),  # there is no connection
    ],
)
def test_the_providers_response_decides_about_retries(
    move: Move, settings, monkeypatch, error: Exception | None, state: str, tried: int
) -> None:
    settings.EMAIL_BACKEND = "tests.support.mail_provider.Backend"
    monkeypatch.setattr(mail_provider.Backend, "error", error)
    mailing("anna", "ben")

    move(NOON)

    assert set(Delivery.objects.values_list("state", flat=True)) == {state}
    assert Delivery.objects.filter(attempts=1).count() == tried


@pytest.mark.django_db
def test_without_a_mail_server_messages_are_written_to_files(move: Move, settings, tmp_path) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path)
    mailing("anna")

    move(NOON)

    [file] = tmp_path.iterdir()
    assert "Subject: sale 1" in file.read_text()
    assert not mail.outbox
