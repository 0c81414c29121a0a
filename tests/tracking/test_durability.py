"""No acknowledged message is lost or processed twice, even if workers are killed or Redis is unavailable or emptied."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.db.models import Sum

from customers.models import Batch, Customer, Event, Facts, RefusedMessage
from customers.tracking import inbox
from segments_project.server.bundled_servers import redis_server, signal_on_parent_death
from tests.conftest import eventually
from tests.support import shop
from tests.support.tracking_messages import basic, identify, source, track
from tests.support.web_server import Web, running

pytestmark = pytest.mark.django_db(transaction=True)


class Load:
    """Clients that send batches until they are stopped, each until it is acknowledged, and some of them twice."""

    def __init__(self, web: Web, key: str, clients: int) -> None:
        self.web, self.key = web, key
        self.acknowledged: set[str] = set()
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._send, args=[n]) for n in range(clients)]

    @contextmanager
    def sending(self) -> Iterator[None]:
        for thread in self.threads:
            thread.start()
        try:
            yield
        finally:
            self.ended.set()
            for thread in self.threads:
                thread.join()

    def _send(self, client: int) -> None:
        chance, number = random.Random(client), 0
        while not self.ended.is_set():
            batch = [
                track("View", anonymous=f"a{client}-{number // 40}", user="")
                | {"messageId": f"{client}-{number + n}"}
                for n in range(20)
            ]
            number += 20
            if number % 40 == 0:
                batch.append(identify(f"u{client}-{number % 7}", f"a{client}-{(number - 1) // 40}"))
            body = json.dumps({"batch": batch}).encode()
            while not self._post(body):
                time.sleep(0.1)
            self.acknowledged |= {one["messageId"] for one in batch if one["type"] == "track"}
            if chance.random() < 0.2:
                self._post(body)
            time.sleep(0.02)

    def _post(self, body: bytes) -> bool:
        connection = HTTPConnection("127.0.0.1", self.web.port, timeout=30)
        try:
            connection.request("POST", "/v1/batch", body, basic(self.key))
            return connection.getresponse().status == 200
        except (HTTPException, OSError):
            return False
        finally:
            connection.close()


@contextmanager
def worker_killed_in_the_end(environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """A real worker that has taken something, and is killed with whatever it is at when the block ends."""
    before = Event.objects.count()
    command = "celery --quiet -A segments_project worker --pool solo --without-gossip --without-mingle"
    with log.open("ab") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=signal_on_parent_death(9),
        )
    try:
        eventually(lambda: Event.objects.count() > before or worker.poll() is not None, within=90)
        assert worker.poll() is None, log.read_text()
        yield
    finally:
        worker.kill()
        worker.wait()


def go_through(kills: int, environment: dict[str, str], folder: Path) -> None:
    chance = random.Random(kills)
    with redis_server() as server, redis.Redis.from_url(server.url) as client:
        environment |= {"REDIS_URL": server.url, "LOG_LEVEL": "WARNING"}
        with running(environment, folder / "web.log") as web:
            _, key = source(messages_a_minute=100_000_000)
            load = Load(web, key, clients=2)
            with load.sending():
                for _ in range(kills):
                    with worker_killed_in_the_end(environment, folder / "worker.log"):
                        time.sleep(chance.uniform(0, 1))
                    # What waits, and the mark that somebody was sent for, is gone with it.
                    client.flushall()
                    server.process.send_signal(signal.SIGSTOP)
                    told = len(load.acknowledged)
                    eventually(lambda told=told: len(load.acknowledged) > told, within=60)  # type: ignore[misc]
                    server.process.send_signal(signal.SIGCONT)
                    # As beat does: there is none here, which would take a minute each time.
                    client.flushall()
                    time.sleep(0.2)
    inbox.drain()
    assert not Batch.objects.exists()
    assert not RefusedMessage.objects.exists()
    assert load.acknowledged <= set(Event.objects.values_list("message_id", flat=True))
    assert Event.objects.count() == Facts.objects.aggregate(events=Sum("event_count"))["events"]
    assert Customer.objects.existing().filter(customer_id__startswith="u").exists()
    shop.assert_facts_are_those_of_the_records()


def test_a_killed_worker_and_a_redis_outage_lose_nothing(environment, tmp_path) -> None:
    go_through(1, environment, tmp_path)


@pytest.mark.long
def test_three_killed_workers_and_a_redis_outage_lose_nothing(environment, tmp_path) -> None:
    go_through(3, environment, tmp_path)
