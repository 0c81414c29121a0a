"""Real workers: messages are sent at once, a killed worker loses none, and one worker delivers at a time."""

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine
from django.conf import settings as django_settings
from django.db import connection

from core import redis
from segments.models import Attempt, Message
from segments.wakeups import WEBHOOKS
from segments.webhooks import delivery, leases
from segments_project.celery import app
from segments_project.server.bundled_servers import signal_on_parent_death
from tests.conftest import eventually
from tests.support.webhook_receiver import Received, Reply

from .conftest import enter, leave, subscribe

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_pending_tasks() -> None:
    """Delete the tasks and wake-ups of earlier tests, and the hold of a killed worker."""
    app.control.purge()
    WEBHOOKS.acknowledge()
    redis.delete_marker(delivery.RUN_HOLD)


def test_committed_changes_are_sent_immediately(vips, receiver, celery_worker) -> None:
    subscribe(receiver)
    enter(vips, "c1")
    receiver.wait_for(1)
    leave(vips, "c1")
    receiver.wait_for(2)
    # A failure is mended as soon as it may be, not when beat comes.
    receiver.replies(Reply(500))
    enter(vips, "c2")
    receiver.wait_for(4)

    assert receiver.said == [
        ("vips", "c1", "entered"),
        ("vips", "c1", "left"),
        ("vips", "c2", "entered"),
        ("vips", "c2", "entered"),
    ]
    eventually(lambda: Message.objects.filter(state="delivered").count() == 3)


def test_a_killed_worker_loses_no_message_and_keeps_the_order(vips, receiver, environment, tmp_path) -> None:
    subscribe(receiver)
    gate = threading.Event()
    receiver.respond = lambda one: Reply(gate=gate) if one.said[1:] == ("c1", "entered") else Reply()
    enter(vips, "c1", "c2")
    leave(vips, "c1")
    worker = worker_at_work(environment, tmp_path / "worker.log")
    try:
        receiver.wait_for(2)
    finally:
        worker.kill()
        worker.wait()
    gate.set()
    assert ("vips", "c1", "left") not in receiver.said

    # While its lease holds nobody else sends it, since the worker might be there still.
    delivery.deliver_due()
    assert receiver.said.count(("vips", "c1", "entered")) == 1
    with time_machine.travel(datetime.now(UTC) + leases.LEASE_DURATION):
        delivery.deliver_due()
    assert receiver.said.count(("vips", "c1", "entered")) == 2
    assert receiver.said[-1] == ("vips", "c1", "left")
    assert not Message.objects.waiting().exists()
    first, again = (one for one in receiver.received if one.said[1:] == ("c1", "entered"))
    assert first.id == again.id


def worker_at_work(environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    command = "celery --quiet -A segments_project worker --pool solo --without-gossip --without-mingle"
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            cwd=django_settings.BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=signal_on_parent_death(9),
        )


def told() -> list[str]:
    return list(Message.objects.values_list("state", flat=True))


def test_two_workers_at_once_send_each_message_once(vips, receiver) -> None:
    subscribe(receiver)
    enter(vips, *(f"c{number}" for number in range(1, 41)))
    leave(vips, *(f"c{number}" for number in range(1, 41)))

    def work() -> None:
        try:
            delivery.deliver_due()
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(receiver.received) == Attempt.objects.count() == 80
    for number in range(1, 41):
        theirs = [one.said[2] for one in receiver.received if one.said[1] == f"c{number}"]
        assert theirs == ["entered", "left"]


def test_a_second_run_ends_while_another_is_running(vips, receiver) -> None:
    subscribe(receiver)
    enter(vips, "c1")
    told_meanwhile = []

    def answer(_: Received) -> Reply:
        delivery.run_worker()  # in the receiver's thread: another worker
        told_meanwhile.append(len(receiver.received))
        return Reply()

    receiver.respond = answer
    delivery.run_worker()

    assert told_meanwhile == [1]
    assert told() == ["delivered"]


def test_no_worker_is_woken_without_an_endpoint(vips, receiver) -> None:
    def is_requested() -> bool:
        return bool(redis.call_redis(lambda client: client.exists(WEBHOOKS.marker)))

    enter(vips, "c1")
    assert not is_requested()
    subscribe(receiver)
    enter(vips, "c2")
    assert is_requested()
