"""Delivery of webhook messages: signed, at least once, in order for each customer, and retried for a day."""

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from standardwebhooks import WebhookVerificationError

from segments import segment_store
from segments.changes import retention
from segments.models import Attempt, Change, Message
from segments.refresh.engine import refresh_all
from segments.webhooks import delivery, endpoints, leases, outbox
from segments.webhooks.signed_requests import SignedRequest
from tests.support import shop
from tests.support.shop import NOON
from tests.support.webhook_receiver import Received, Receiver, Reply

from .conftest import enter, leave, subscribe

pytestmark = pytest.mark.django_db

FAILS = Reply(500, b"not today")


@pytest.fixture
def clock():
    """A clock that stands until a test moves it."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def told() -> list[tuple[Any, ...]]:
    """What the log of deliveries says: of which change, how it stands, and what was answered."""
    return [
        (message.kind, message.state, [one.status for one in message.attempts.order_by("pk")])
        for message in Message.objects.order_by("pk")
    ]


# -- What is said


def test_entering_and_leaving_are_sent_as_signed_messages(vips, receiver, clock) -> None:
    endpoint = subscribe(receiver)
    enter(vips, "c1")
    delivery.deliver_due()
    leave(vips, "c1")
    delivery.deliver_due()

    entered, left = receiver.received
    first, second = shop_changes()
    assert entered.verified_with(endpoint.secret) == {
        "type": "segment.entered",
        "timestamp": "2026-03-15T12:00:00Z",
        "data": {
            "id": first,
            "segment": "vips",
            "customer_id": "c1",
            "change": "entered",
            "at": "2026-03-15T12:00:00Z",
            "cause": "activity",
        },
    }
    assert entered.headers["webhook-timestamp"] == str(int(NOON.timestamp()))
    assert entered.headers["content-type"] == "application/json"
    assert (left.type, left.data["id"]) == ("segment.left", second)
    assert entered.id != left.id
    with pytest.raises(WebhookVerificationError):
        entered.verified_with(endpoints._new_secret())
    assert told() == [("segment.entered", "delivered", [204]), ("segment.left", "delivered", [204])]


def shop_changes() -> list[int]:
    return list(Change.objects.order_by("pk").values_list("pk", flat=True))


def test_signatures_are_those_of_standard_webhooks() -> None:
    vectors = json.loads(Path(__file__).with_name("vectors.json").read_text())
    for one in vectors:
        at = datetime.fromtimestamp(one["timestamp"], UTC)
        headers = SignedRequest(one["msg_id"], one["payload"], [one["secret"]]).headers(at)
        assert headers["webhook-signature"] == one["signature"]
        assert headers["webhook-timestamp"] == str(one["timestamp"])


def test_a_new_secret_and_the_former_both_sign_for_a_day(vips, receiver, clock) -> None:
    endpoint = subscribe(receiver)
    former = endpoint.secret
    endpoints.rotate_secret(endpoint, NOON)
    enter(vips, "c1")
    delivery.deliver_due()
    clock.shift(endpoints.FORMER_SECRET_VALID_FOR)
    enter(vips, "c2")
    delivery.deliver_due()

    during, after = receiver.received
    clock.move_to(NOON)
    assert during.verified_with(former) == during.verified_with(endpoint.secret)
    clock.shift(endpoints.FORMER_SECRET_VALID_FOR)
    after.verified_with(endpoint.secret)
    with pytest.raises(WebhookVerificationError):
        after.verified_with(former)


def test_an_endpoint_gets_only_new_changes_of_its_segments(vips, receiver) -> None:
    other = segment_store.create_fixed_list("others", "Others", [], datetime.now(UTC))
    enter(vips, "c1")
    endpoint = subscribe(receiver, vips)
    enter(other, "c1")
    enter(vips, "c2")
    delivery.deliver_due()

    assert receiver.said == [("vips", "c2", "entered")]
    segment_store.delete_segments([vips])
    delivery.deliver_due()
    assert not endpoint.segments.exists()
    assert not Message.objects.exists()


@pytest.mark.parametrize("without_summaries", [False, True])
def test_a_first_refresh_and_an_edited_rule_send_one_summary_each_unless_disabled(
    receiver, without_summaries
) -> None:
    shop.customers("c1,c1@example.org", "c2,c2@example.org", "c3,")
    subscribe(receiver, without_summaries=without_summaries)
    known = shop.segment("known", {"known": {"is": True}})
    refresh_all()
    known.rule = {"known": {"is": False}}
    segment_store.save_segment(known)
    refresh_all()
    delivery.deliver_due()

    log = list(Change.objects.order_by("pk").values_list("pk", "change"))
    if without_summaries:
        # One customer's in order; different customers' may pass one another.
        told = Counter(one.said[1:] for one in receiver.received)
        assert told == Counter(
            {
                ("c1", "entered"): 1,
                ("c2", "entered"): 1,
                ("c1", "left"): 1,
                ("c2", "left"): 1,
                ("c3", "entered"): 1,
            }
        )
        for customer in ("c1", "c2"):
            assert [one.said[2] for one in receiver.received if one.said[1] == customer] == [
                "entered",
                "left",
            ]
        return
    first, second = receiver.received
    ids = [key for key, _ in log]
    assert first.type == second.type == "segment.changed_in_bulk"
    assert first.data | {"at": ""} == {
        "segment": "known",
        "at": "",
        "cause": "initial",
        "entered": 2,
        "left": 0,
        "first_id": ids[0],
        "last_id": ids[1],
        "changes": f"/api/v1/segments/known/changes/?after={ids[0] - 1}",
    }
    assert (second.data["cause"], second.data["entered"], second.data["left"]) == ("definition", 1, 2)
    assert (second.data["first_id"], second.data["last_id"]) == (ids[2], ids[4])


# -- Order, repetition, back-off


def test_messages_about_one_customer_are_sent_in_order(vips, receiver, clock) -> None:
    subscribe(receiver)
    enter(vips, "c1")
    leave(vips, "c1")
    enter(vips, "c2")
    receiver.respond = lambda one: FAILS if one.said[1] == "c1" else Reply()
    delivery.deliver_due()
    assert sorted(receiver.said) == [("vips", "c1", "entered"), ("vips", "c2", "entered")]

    clock.shift(timedelta(seconds=4))
    delivery.deliver_due()
    assert len(receiver.received) == 2

    clock.shift(timedelta(seconds=1))
    receiver.respond = lambda _: Reply()
    delivery.deliver_due()
    assert receiver.said[2:] == [("vips", "c1", "entered"), ("vips", "c1", "left")]
    again = [one for one in receiver.received if one.said == ("vips", "c1", "entered")]
    assert again[0].id == again[1].id
    assert again[0].body == again[1].body
    assert [state for _, state, _ in told()] == ["delivered"] * 3


def test_a_summary_is_sent_in_order_with_other_messages_of_its_segment(receiver, clock) -> None:
    shop.customers("c1,c1@example.org,2026-01-01", "c2,,2026-01-01", header="customer_id,email,first_seen")
    known = shop.segment("known", {"known": {"is": True}})
    refresh_all(NOON)
    subscribe(receiver)
    shop.customers("c3,c3@example.org,2026-01-01", header="customer_id,email,first_seen")
    refresh_all(NOON)
    known.rule = {"known": {"is": False}}
    segment_store.save_segment(known)
    refresh_all(NOON)
    shop.customers("c4,,2026-01-01", header="customer_id,email,first_seen")
    refresh_all(NOON)

    receiver.replies(FAILS)
    delivery.deliver_due()
    assert [one.type for one in receiver.received] == ["segment.entered"]
    clock.shift(timedelta(seconds=5))
    delivery.deliver_due()
    assert [one.type for one in receiver.received[1:]] == [
        "segment.entered",
        "segment.changed_in_bulk",
        "segment.entered",
    ]


def tries(clock: Any, receiver: Receiver, until: timedelta) -> list[timedelta]:
    """Go through the time as beat does where something is due, and give when requests came."""
    came = []
    while datetime.now(UTC) <= NOON + until:
        before = len(receiver.received)
        delivery.deliver_due()
        came += [datetime.now(UTC) - NOON] * (len(receiver.received) - before)
        due = leases.next_due_at()
        if due is None:
            break
        clock.move_to(max(due, datetime.now(UTC) + timedelta(seconds=1)))
    return came


SCHEDULE = [
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5, seconds=5),
    timedelta(minutes=35, seconds=5),
    timedelta(hours=2, minutes=35, seconds=5),
    timedelta(hours=7, minutes=35, seconds=5),
    timedelta(hours=17, minutes=35, seconds=5),
    timedelta(days=1),
]


@pytest.fixture
def running_clock():
    """A clock that runs, and is moved by a test."""
    with time_machine.travel(NOON, tick=True) as traveller:
        yield traveller


def test_an_endpoint_that_fails_for_a_day_is_stopped_and_can_be_resumed(
    vips, receiver, running_clock
) -> None:
    endpoint = subscribe(receiver)
    enter(vips, "c1")
    leave(vips, "c1")
    receiver.respond = lambda _: FAILS

    came = tries(running_clock, receiver, timedelta(days=3))

    assert len(came) == len(SCHEDULE)
    late = [real - planned for real, planned in zip(came, SCHEDULE, strict=True)]
    assert timedelta(0) <= min(late) <= max(late) < timedelta(minutes=1)
    endpoint.refresh_from_db()
    assert (endpoint.state, endpoint.stop_reason) == ("stopped", "No message was delivered for a day.")
    receiver.respond = lambda _: Reply()
    outbox.resume_endpoint(endpoint, datetime.now(UTC), skip=False)
    delivery.deliver_due()
    assert receiver.said[len(SCHEDULE) :] == [("vips", "c1", "entered"), ("vips", "c1", "left")]
    endpoint.refresh_from_db()
    assert endpoint.state == "active"


def test_a_message_that_alone_fails_for_a_day_is_given_up(vips, receiver, clock) -> None:
    endpoint = subscribe(receiver)
    enter(vips, "c1")
    leave(vips, "c1")
    receiver.respond = lambda one: FAILS if one.said == ("vips", "c1", "entered") else Reply()
    delivery.deliver_due()
    clock.shift(timedelta(hours=3))
    enter(vips, "c2")
    tries(clock, receiver, timedelta(days=3))

    endpoint.refresh_from_db()
    assert endpoint.state == "active"
    assert [state for _, state, _ in told()] == ["given up", "delivered", "delivered"]
    assert receiver.said[-1] == ("vips", "c1", "left")


def test_a_failing_endpoint_gets_fewer_requests_until_it_recovers(vips, receiver, clock) -> None:
    endpoint = subscribe(receiver)
    enter(vips, *(f"c{number}" for number in range(1, 41)))
    receiver.respond = lambda _: Reply(503)
    delivery.deliver_due()
    assert 5 <= len(receiver.received) < 40  # those on their way when it was noticed
    endpoint.refresh_from_db()
    assert endpoint.state == "failing"

    delivery.deliver_due()
    count = len(receiver.received)
    tries(clock, receiver, timedelta(hours=1))
    assert len(receiver.received) - count < 25

    receiver.respond = lambda _: Reply()
    clock.shift(timedelta(minutes=6))
    delivery.deliver_due()
    assert Message.objects.filter(state="delivered").count() == 40


def test_retry_after_is_respected(vips, receiver, clock) -> None:
    subscribe(receiver)
    enter(vips, "c1")
    receiver.replies(Reply(429, headers={"retry-after": "120"}))
    delivery.deliver_due()
    enter(vips, "c2")
    clock.shift(timedelta(seconds=119))
    delivery.deliver_due()
    assert len(receiver.received) == 1

    clock.shift(timedelta(seconds=1))
    delivery.deliver_due()
    assert sorted(receiver.said[1:]) == [("vips", "c1", "entered"), ("vips", "c2", "entered")]


def test_an_endpoint_that_is_gone_is_stopped_at_once(vips, receiver, clock) -> None:
    endpoint = subscribe(receiver)
    enter(vips, "c1")
    receiver.replies(Reply(410))
    delivery.deliver_due()
    clock.shift(timedelta(hours=1))
    delivery.deliver_due()

    endpoint.refresh_from_db()
    assert len(receiver.received) == 1
    assert (endpoint.state, endpoint.stop_reason) == ("stopped", endpoints.STOPPED_GONE)
    enter(vips, "c2")
    outbox.resume_endpoint(endpoint, datetime.now(UTC), skip=True)
    enter(vips, "c3")
    delivery.deliver_due()
    assert receiver.said[1:] == [("vips", "c3", "entered")]


def test_redirects_are_not_followed(vips, receivers, clock) -> None:
    first, second = receivers(), receivers()
    subscribe(first)
    enter(vips, "c1")
    first.replies(*(Reply(status, headers={"location": second.url}) for status in (301, 302, 307, 308)))
    for _ in range(4):
        delivery.deliver_due()
        clock.shift(timedelta(hours=2))

    assert len(first.received) == 4
    assert not second.received
    assert "redirects are not followed" in Attempt.objects.latest("pk").problem


def test_a_slow_endpoint_does_not_delay_others(vips, receivers) -> None:
    slow, quick = receivers(), receivers()
    subscribe(slow, name="A slow one")
    subscribe(quick)
    everybody = [f"c{number}" for number in range(1, 31)]
    gate = threading.Event()
    slow.respond = lambda _: Reply(gate=gate)

    def answer(_: Received) -> Reply:
        if len(quick.received) == len(everybody):
            # Only now the slow one answers: whoever waits for it comes too late.
            gate.set()
        return Reply()

    quick.respond = answer
    enter(vips, *everybody)
    delivery.deliver_due()

    assert gate.is_set()
    assert {one[1] for one in quick.said} == {one[1] for one in slow.said} == set(everybody)
    assert Attempt.objects.filter(problem="").count() == 60
    assert Attempt.objects.filter(message__endpoint__name="Tool").latest("duration_ms").duration_ms < 10_000


def test_responses_are_stored_truncated(vips, receiver) -> None:
    subscribe(receiver)
    enter(vips, "c1")
    receiver.replies(Reply(400, b"\xff\x00<b>" + b"x" * 100_000))
    delivery.deliver_due()

    kept = Attempt.objects.get()
    assert kept.response_text.startswith("�<b>x")
    assert len(kept.response_text.encode()) <= 1024 + 2
    assert kept.problem == "The endpoint responded 400."


# -- How much waits and is kept


def test_the_number_of_waiting_messages_is_limited(vips, receiver, clock, monkeypatch) -> None:
    monkeypatch.setattr(outbox, "MAX_WAITING", 10)
    subscribe(receiver)
    receiver.respond = lambda _: FAILS
    enter(vips, *(f"c{number}" for number in range(1, 41)))
    delivery.deliver_due()
    assert Message.objects.count() == 10

    receiver.respond = lambda _: Reply()
    clock.shift(timedelta(minutes=10))
    delivery.deliver_due()
    assert {one[1] for one in receiver.said} == {f"c{number}" for number in range(1, 41)}
    assert Message.objects.filter(state="delivered").count() == 40


def test_replaying_sends_changes_from_an_id_on_again(vips, receiver) -> None:
    endpoint = subscribe(receiver)
    for customer in ("c1", "c2", "c3"):
        enter(vips, customer)
    delivery.deliver_due()
    ids = shop_changes()
    outbox.replay_changes(endpoint, ids[1])
    delivery.deliver_due()

    assert sorted(one.data["id"] for one in receiver.received[3:]) == ids[1:]
    assert len({one.id for one in receiver.received}) == 3
    with pytest.raises(ValueError, match=f"between 1 and {ids[-1]}"):
        outbox.replay_changes(endpoint, ids[-1] + 1)


def test_old_messages_are_deleted_unless_they_wait(vips, receiver, clock, settings) -> None:
    settings.WEBHOOK_LOG_KEPT_FOR = 3
    subscribe(receiver)
    enter(vips, "c1", "c2")
    receiver.respond = lambda one: FAILS if one.said[1] == "c1" else Reply()
    delivery.deliver_due()

    assert retention.delete_old_webhook_messages(NOON + timedelta(days=3)) == 0
    assert retention.delete_old_webhook_messages(NOON + timedelta(days=3, seconds=9)) == 1
    assert [(state, answers) for _, state, answers in told()] == [("waiting", [500])]
    assert Attempt.objects.count() == 1
