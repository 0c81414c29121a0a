"""Under a steady load: the queue of tasks stays short, whatever arrives, and everybody has their turn."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
import redis
from django.conf import settings
from django_celery_beat.models import PeriodicTask

from customers.models import Batch, Event
from customers.wakeups import INBOX
from segments.models import Refresh, Segment
from segments.refresh.queue import request_refresh
from segments.wakeups import REFRESH
from segments_project.celery import app

from .conftest import eventually
from .support import shop
from .support.tracking_messages import send, source, track

pytestmark = pytest.mark.django_db(transaction=True)

A_SECOND = 20  # messages


@pytest.fixture
def broker(celery_worker: str) -> redis.Redis:
    INBOX.acknowledge()
    return redis.Redis.from_url(settings.REDIS_URL)


def waiting(broker: redis.Redis) -> Counter[str]:
    """Name the tasks that wait for a worker, each with how many there are of it."""
    queue = broker.lrange(app.conf.task_default_queue, 0, -1)
    return Counter(json.loads(message)["headers"]["task"] for message in queue)


def load(broker: redis.Redis, seconds: float) -> None:
    """Send at a steady pace, each message about a segment's members; the queue holds one task a kind at most."""
    _, key = source()
    segment = shop.segment("viewers", {"event_count": {"event": "View", "at_least": 1}})
    begun, refresh, asked_at = time.monotonic(), None, 0.0
    for number in range(int(seconds * A_SECOND)):
        send(key, track("View", user=f"u{number}"), drain=False)
        queued = waiting(broker)
        assert max(queued.values(), default=0) <= 1, queued
        if number == seconds * A_SECOND // 2:  # somebody presses the button in the middle of it
            refresh, asked_at = request_refresh(segment, datetime.now(UTC)), time.monotonic()
        if refresh and asked_at and Refresh.objects.get(pk=refresh.pk).state == Refresh.State.DONE:
            assert time.monotonic() - asked_at < 20
            asked_at = 0.0
        time.sleep(max(0.0, begun + (number + 1) / A_SECOND - time.monotonic()))

    sent = int(seconds * A_SECOND)
    eventually(lambda: not Batch.objects.exists() and Segment.objects.get().size == sent, within=60)
    assert Event.objects.count() == sent
    assert refresh
    asked_for = refresh.pk
    eventually(lambda: Refresh.objects.get(pk=asked_for).state == Refresh.State.DONE, within=30)
    eventually(lambda: not waiting(broker), within=30)


def test_the_queue_of_tasks_stays_short_under_a_steady_load(broker) -> None:
    load(broker, 8)


@pytest.mark.long
def test_the_queue_of_tasks_stays_short_for_a_minute_of_steady_load(broker) -> None:
    load(broker, 60)


def test_a_waiting_task_is_not_queued_again_after_its_mark_has_expired() -> None:
    app.control.purge()
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        for _ in range(5):
            REFRESH.acknowledge()  # as time does
            REFRESH.request()

        assert waiting(broker) == {REFRESH.task: 1}

        app.control.purge()  # lost with its queue, while its mark stays
        REFRESH.request()
        assert not waiting(broker)
        REFRESH.acknowledge()
        REFRESH.request()
        assert waiting(broker) == {REFRESH.task: 1}
    app.control.purge()


def test_a_refresh_requested_repeatedly_is_queued_once() -> None:
    app.control.purge()
    segment = shop.segment("viewers", {"event_count": {"at_least": 1}})
    asked = {request_refresh(segment, datetime.now(UTC)).pk for _ in range(20)}

    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        assert (len(asked), waiting(broker)) == (1, {"segments.tasks.refresh_segment": 1})
    app.control.purge()


def test_tasks_of_beat_expire_instead_of_piling_up() -> None:
    lasting = PeriodicTask.objects.filter(expire_seconds=None, expires=None).exclude(
        task__startswith="celery."
    )

    assert not list(lasting.values_list("task", flat=True))
