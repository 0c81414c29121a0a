"""The tracking endpoints: keys, bodies, limits, errors and preflight requests."""

import gzip
import json
import zlib
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client

from customers.models import Batch, Event, RefusedMessage, Source
from customers.tracking import inbox, processing, sources
from tests.support import shop
from tests.support.tracking_messages import message, post, send, source, track

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> str:
    return source()[1]


def answer(*arguments: Any, **options: Any) -> tuple[int, str]:
    """Post, and give the status and the code of the error."""
    response = post(*arguments, **options)
    told = json.loads(response.content)
    assert response["Access-Control-Allow-Origin"] == "*"
    assert told == {"success": True} or (told["message"] and told["errors"] == [])
    return response.status_code, told.get("code", "")


@pytest.mark.parametrize("address", ["identify", "track", "page", "screen", "group", "alias", *"itpsga"])
def test_each_call_has_a_path_and_a_short_one(key, address) -> None:
    body = message("", user="c1", event="View", previousId="a1", groupId="g1")

    assert answer(key, address, body) == (200, "")
    assert answer(key, f"{address}/", {**body, "messageId": "again", "type": "nonsense"}) == (200, "")
    assert inbox.drain() == 2


@pytest.mark.parametrize("address", ["batch", "import", "b"])
def test_batches_have_three_paths(key, address) -> None:
    assert answer(key, address, {"batch": [track("View", user="c1")], "sentAt": None}) == (200, "")
    assert answer(key, address, {"batch": []}) == (200, "")
    assert inbox.drain() == 1
    assert Event.objects.count() == 1


def test_the_key_comes_in_the_header_or_in_the_body(key) -> None:
    body = message("page", user="c1")

    assert answer("", "page", {**body, "writeKey": key}) == (200, "")
    assert answer(key, "page", body, {"Content-Type": "text/plain"}) == (200, "")
    for wrong in ("", "wk_nonsense", "ä"):
        assert answer(wrong, "page", {**body, "writeKey": wrong}) == (401, "bad_key")
    for header in ("Basic", "Basic !!!", "Basic /w==", "Bearer x"):
        assert answer("", "page", body, {"Authorization": header}) == (401, "bad_key")
    sources.revoke_source(Source.objects.get())
    assert answer(key, "page", body) == (401, "bad_key")


def test_gzip_is_inflated_up_to_a_limit(key) -> None:
    body = json.dumps({"batch": [track("View", user="c1")]}).encode()
    packed, bomb = gzip.compress(body), gzip.compress(b" " * 5_000_000)
    gzipped = {"Content-Encoding": "gzip"}

    assert answer(key, "batch", packed, gzipped) == (200, "")
    assert (
        answer(key, "batch", packed, {"Content-Type": "application/x-www-form-urlencoded", **gzipped})[0]
        == 200
    )
    assert answer(key, "batch", packed) == (200, "")
    assert answer(key, "batch", bomb, gzipped) == (413, "too_large")
    assert answer(key, "batch", packed[:-9], gzipped) == (400, "invalid_gzip")
    assert answer(key, "batch", body, gzipped) == (400, "invalid_gzip")
    assert answer(key, "batch", zlib.compress(body), {"Content-Encoding": "deflate"}) == (
        400,
        "unknown_encoding",
    )
    inbox.drain()
    assert Event.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[1]", "invalid_json"),
        (b'{"batch": NaN}', "invalid_json"),
        (b"\xff\xfe{", "invalid_encoding"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"batch": {}}', "invalid_batch"),
        (json.dumps({"batch": [1] * 2_501}).encode(), "too_many_messages"),
    ],
    ids=["empty", "cut off", "a list", "no number", "UTF-16", "deep", "no list", "too many"],
)
def test_an_invalid_body_is_answered_with_what_is_missing(key, body, code) -> None:
    assert answer(key, "batch", body) == (400, code)
    assert not Batch.objects.exists()


def test_bodies_that_are_too_large_or_unreadable_are_rejected(key) -> None:
    assert answer(key, "batch", b" " * 600_000) == (413, "too_large")
    assert answer(key, "track", track("View", user="c1", x="y" * 33_000)) == (400, "invalid_message")
    assert answer(key, "track", message("track", user="c1")) == (400, "invalid_message")
    assert answer(key, "page", message("page")) == (400, "invalid_message")
    assert answer(key, "dance", message("page", user="c1")) == (404, "not_found")
    assert Client().get("/v1/track").status_code == 405
    assert not Batch.objects.exists()


def test_preflight_requests_are_answered() -> None:
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Headers": "authorization,X-Retry-Count",
    }

    response = Client().options("/v1/t", headers=asked)

    assert response.status_code == 204
    assert response["Access-Control-Allow-Origin"] == "*"
    assert "POST" in response["Access-Control-Allow-Methods"]
    assert {"authorization", "content-type", "x-retry-count"} <= set(
        response["Access-Control-Allow-Headers"].split(", ")
    )


def test_a_source_that_sends_too_much_is_asked_to_wait() -> None:
    _, key = source(messages_a_minute=3)

    statuses = [post(key, "batch", {"batch": [track("View", user="c1")] * 2}) for _ in range(6)]

    assert [one.status_code for one in statuses][:2] == [200, 200]
    late = statuses[-1]
    assert late.status_code == 429
    assert 1 <= int(late["Retry-After"]) <= 60
    assert json.loads(late.content)["code"] == "too_many_messages"


@pytest.fixture
def no_redis(settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"


def test_without_redis_messages_are_stored(no_redis) -> None:
    _, key = source()

    for _ in range(3):
        send(key, track("View", user="c1"), drain=False)

    assert Batch.objects.count() == 3
    assert inbox.drain() == 3
    assert Event.objects.count() == 3


def test_a_busy_database_is_not_acknowledged(key, monkeypatch) -> None:
    def busy(*_: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(inbox, "store_batch", busy)

    assert answer(key, "page", message("page", user="c1")) == (503, "busy")


def test_a_deeply_nested_message_stops_no_other(key) -> None:
    sent = []
    for depth in range(700, 1_000, 4):
        deep = '{"type": "page", "userId": "c1", "properties": ' + '{"a": ' * depth + "1" + "}" * depth + "}"
        sent.append(answer(key, "batch", f'{{"batch": [{deep}]}}'.encode())[0])
    send(key, track("View", user="c1"))

    assert set(sent) == {200, 400}
    assert Event.objects.filter(name="View").count() == 1
    refused = RefusedMessage.objects.values_list("reason", flat=True)
    assert Event.objects.count() - 1 + len(refused) == sent.count(200)
    assert not [reason for reason in refused if "nested" not in reason]


def test_a_message_that_breaks_processing_is_refused_alone(key, monkeypatch) -> None:
    ours = track("Broken", user="c1")
    taken = processing._write_interpretations

    def breaking(meanings: Any, now: Any) -> None:
        if any(one.message.body["event"] == "Broken" for one in meanings):
            raise ZeroDivisionError
        taken(meanings, now)

    monkeypatch.setattr(processing, "_write_interpretations", breaking)
    send(key, *(track("View", user=f"c{n}") for n in range(5)), ours, drain=False)
    send(key, *(track("View", user=f"c{n}") for n in range(5)))

    [refused] = RefusedMessage.objects.all()
    assert json.loads(refused.message) == ours
    assert "ZeroDivisionError" in refused.reason
    assert Event.objects.count() == 10
    monkeypatch.undo()
    inbox.retry_refused([refused])
    inbox.drain()
    assert Event.objects.filter(name="Broken").count() == 1
    assert not RefusedMessage.objects.exists()


def test_a_command_creates_write_keys() -> None:
    key = shop.command("create_key", "Back office", "--write").split()[-1]
    browser = shop.command("create_key", "Web shop", "--write", "--browser")

    assert answer(key, "page", message("page", user="c1")) == (200, "")
    assert answer(browser.split()[-1], "page", message("page", anonymous="a1")) == (200, "")
    made = Source.objects.get(name="Web shop")
    assert made.is_browser
    assert made.signing_secret in browser
    assert key not in shop.rows_of(Source)["Source"][0]
