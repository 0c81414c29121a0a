"""No message and no response names an erased customer, and receivers are told that the customer left."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from customers.identity import lookup
from customers.privacy import personal_data
from segments.changes import retention
from segments.models import Attempt, Message
from segments.webhooks import delivery, leases, outbox
from tests.customers.test_privacy import everything_stored
from tests.support import shop
from tests.support.webhook_receiver import Received, Reply

from .conftest import enter, leave, subscribe

pytestmark = pytest.mark.django_db


def erase(printed: str) -> None:
    customer = lookup.find_customer(printed)
    assert customer
    personal_data.erase_customer(customer, datetime.now(UTC))


def echo(received: Received) -> Reply:
    """Respond with the request, as careless receivers do."""
    return Reply(200 if received.said[1] != "c2" else 500, received.body.encode())


def test_messages_and_responses_that_name_an_erased_customer_are_deleted(vips, receiver) -> None:
    subscribe(receiver)
    receiver.respond = echo
    enter(vips, "c1", "c2", "c3")
    delivery.deliver_due()
    assert Attempt.objects.filter(response_text__contains='"c2"').exists()

    for printed in ("c1", "c2"):
        erase(printed)
    delivery.deliver_due()

    assert receiver.said[3:] == [("vips", "c1", "left"), ("vips", "c2", "left")]
    assert {one.data["cause"] for one in receiver.received[3:]} == {"erasure"}
    assert list(Message.objects.exclude(customer=None).values_list("customer__customer_id", flat=True)) == [
        "c3"
    ]
    assert [
        json.loads(one.response_text)["data"]["customer_id"]
        for one in Attempt.objects.exclude(response_text="")
    ] == ["c3"]
    retention.delete_erased_ids(datetime.now(UTC) + retention.ERASED_ID_RETENTION)
    assert not [
        name for name in ("'c1'", '"c1"', "c1@", "'c2'", '"c2"', "c2@") if name in everything_stored()
    ]


def test_a_message_in_flight_is_sent_before_the_exit_and_not_repeated(vips, receiver) -> None:
    subscribe(receiver)
    enter(vips, "c1")
    now = datetime.now(UTC)
    outbox.write_messages(now)
    [endpoint] = leases.endpoints_to_serve()
    assert len(leases.claim_messages(endpoint, 8, now)) == 1  # by a worker that is never heard of again

    erase("c1")
    delivery.deliver_due()
    assert not receiver.received

    receiver.respond = echo
    with time_machine.travel(now + leases.LEASE_DURATION + timedelta(seconds=1)):
        delivery.deliver_due()
    assert receiver.said == [("vips", "c1", "left")]
    assert not Attempt.objects.exclude(response_text="").exists()


def test_a_waiting_exit_is_sent_after_its_customer_is_erased(vips, receiver) -> None:
    subscribe(receiver)
    enter(vips, "c1")
    delivery.deliver_due()
    receiver.respond = lambda received: Reply(500, b"later")
    leave(vips, "c1")
    delivery.deliver_due()

    erase("c1")
    receiver.respond = echo
    with time_machine.travel(datetime.now(UTC) + leases.BACKOFF.delays[0] + timedelta(seconds=1)):
        delivery.deliver_due()

    assert receiver.said == [("vips", "c1", "entered"), ("vips", "c1", "left"), ("vips", "c1", "left")]
    assert not Attempt.objects.exclude(response_text="").exists()


def test_an_export_lists_the_messages_about_a_customer(vips, receiver) -> None:
    subscribe(receiver, name="Newsletter tool")
    enter(vips, "c1")
    delivery.deliver_due()

    [message] = json.loads(shop.command("export_customer", "c1"))["segments"]["webhooks"]
    assert message | {"at": ""} == {
        "to": "Newsletter tool",
        "what": "segment.entered",
        "segment": "vips",
        "state": "delivered",
        "at": "",
    }
