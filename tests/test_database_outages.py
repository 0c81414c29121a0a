"""A real server while the database or Redis is away: it says so at once, and goes on with what does not need it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest

from core.api import keys
from core.db import backends
from customers.models import Batch
from segments_project.server.bundled_servers import free_port, redis_server

from .support.tracking_messages import basic, source, track
from .support.web_server import Web, running

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = 4.0  # seconds: once, a process finds out that Redis does not answer
BATCH = json.dumps({"batch": [track("View", user="u1")]})


class Answer(NamedTuple):
    status: int
    retry_after: str | None
    body: str
    seconds: float


def ask(web: Web, method: str, path: str, body: str = "", headers: dict[str, str] | None = None) -> Answer:
    connection = HTTPConnection("127.0.0.1", web.port, timeout=30)
    begun = time.monotonic()
    try:
        connection.request(
            method, path, body or None, {"Content-Type": "application/json", **(headers or {})}
        )
        response = connection.getresponse()
        text = response.read().decode()
        return Answer(response.status, response.headers["Retry-After"], text, time.monotonic() - begun)
    finally:
        connection.close()


@pytest.fixture
def without_database(environment: dict[str, str], tmp_path: Path) -> Iterator[Web]:
    if backends.is_postgresql():
        environment["DATABASE_URL"] = f"postgresql://shop@127.0.0.1:{free_port()}/shop"
    else:
        (tmp_path / "shop.sqlite3").mkdir()
        environment["DATABASE_URL"] = f"sqlite:///{tmp_path}/shop.sqlite3"
    with running(environment, tmp_path / "web.log") as web:
        yield web


def test_without_the_database_every_request_gets_an_error_page(without_database: Web) -> None:
    for method, path in (
        ("GET", "/api/v1/segments/"),
        ("POST", "/api/v1/orders/"),
        ("POST", "/v1/batch"),
        ("GET", "/api/v1/customers/c1/"),
    ):
        headers = basic("wk_any") if path == "/v1/batch" else {"Authorization": "Bearer seg_any"}
        answer = ask(without_database, method, path, BATCH, headers)
        assert (answer.status, answer.retry_after, path) == (503, "5", path)
        assert {"code", "message", "errors"} == set(json.loads(answer.body))
        assert answer.seconds < AT_ONCE

    page = ask(without_database, "GET", "/admin/", headers={"Cookie": "sessionid=somebody"})
    assert (page.status, page.retry_after) == (503, "5")
    assert "Try again in a few seconds." in page.body
    assert ask(without_database, "GET", "/healthz").status == 503


@pytest.mark.parametrize("how", ["closed", "silent"])
def test_without_redis_messages_are_accepted_and_the_api_responds(how, environment, tmp_path) -> None:
    _, key = source()
    _, api_key = keys.create_key("client", ("segments:read",))
    with redis_server() as server:
        if how == "closed":
            environment["REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"
        else:
            environment["REDIS_URL"] = server.url
            server.process.send_signal(signal.SIGSTOP)
        with running(environment, tmp_path / "web.log") as web:
            answers = [ask(web, "POST", "/v1/batch", BATCH, basic(key)) for _ in range(3)]
            answers.append(
                ask(web, "GET", "/api/v1/segments/", headers={"Authorization": f"Bearer {api_key}"})
            )
            health = ask(web, "GET", "/healthz")
        server.process.send_signal(signal.SIGCONT)

    assert [one.status for one in answers] == [200] * 4
    assert answers[0].seconds < AT_ONCE
    assert max(one.seconds for one in answers[1:]) < 1
    assert Batch.objects.count() == 3
    assert (health.status, json.loads(health.body)) == (200, {"database": "ok", "redis": "no answer"})


def test_without_redis_each_process_counts_its_own_rate_limits(environment, tmp_path) -> None:
    environment["REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    _, key = source(messages_a_minute=2)
    with running(environment, tmp_path / "web.log") as web:
        statuses = [ask(web, "POST", "/v1/batch", BATCH, basic(key)).status for _ in range(8)]

    assert 429 in statuses
    assert statuses[:2] == [200, 200]
