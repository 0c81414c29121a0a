"""Fuzzing: every request gets a documented response, the worker continues, and memory stays bounded."""

import gzip
import json
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from customers.models import Batch, Event, RefusedMessage
from customers.tracking.messages import CALLS, TYPES
from tests.support.tracking_messages import basic, send, source, track
from tests.support.web_server import running

pytestmark = pytest.mark.django_db

ANSWERS = {200, 400, 401, 413, 429}
MOST_GROWTH = 50 * 2**20
EVENTS = ("Order Completed", "Order Refunded", "Product Added", "View", "")
FIELDS = (
    "type", "messageId", "timestamp", "sentAt", "userId", "anonymousId", "event", "properties", "traits",
    "context", "previousId", "groupId", "name",
)  # fmt: skip

TIMES = ("2026-03-01T10:00:00Z", "0001-01-01", "9999-12-31T23:59:59.999999999-23:59")
NAMES = (
    "email", "phone", "order_id", "total", "products", "price", "quantity", "currency", "address", "birthday",
    "createdAt", "newsletter", "campaign", "source", "userAgent", "userHash", "status", "sku",
)  # fmt: skip

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=True),
    st.text(st.characters(codec=None), max_size=20),
    st.sampled_from(
        (*TIMES, *TYPES, *EVENTS, "1e999", "anonymous:a", "c1", "a1", "x@example.org", "+493012345678")
    ),
)
names = st.one_of(st.text(max_size=10), st.sampled_from(NAMES))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=5)),
    max_leaves=12,
)
likely = st.fixed_dictionaries(
    {
        "type": st.sampled_from(TYPES),
        "userId": st.sampled_from(("c1", "c2")),
        "event": st.sampled_from(EVENTS),
    },
    optional={name: values for name in FIELDS if name not in ("type", "userId", "event")},
)
messages = st.one_of(
    likely, likely, st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, values)), values
)
contents = st.one_of(
    messages,
    st.fixed_dictionaries(
        {"batch": st.lists(messages, max_size=6)}, optional={"sentAt": values, "writeKey": values}
    ),
)
headers = st.fixed_dictionaries(
    {},
    optional={
        "Content-Encoding": st.sampled_from(("gzip", "deflate", "GZIP", "br", "identity")),
        "Content-Type": st.sampled_from(("text/plain", "application/json; charset=latin-1", "nonsense")),
    },
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Draw a body: mostly JSON, packed, cut, of another encoding, or a bomb."""
    content = json.dumps(draw(contents))
    body = content.encode(draw(st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"))))
    match draw(st.integers(0, 11)):
        case 0 | 1:
            body = gzip.compress(body)
        case 2:
            body = gzip.compress(body)[: draw(st.integers(0, 30))]
        case 3:
            body = gzip.compress(b'{"a": "' + b"x" * draw(st.sampled_from((40_000, 6_000_000))))
        case 4:
            body = draw(st.binary(max_size=60))
        case 5:
            body = b"[" * draw(st.sampled_from((10, 5_000, 200_000)))
        case 6:
            depth = draw(st.sampled_from((5, 300, 900, 960, 3_000)))
            deep = b'{"a": ' * depth + b"1" + b"}" * depth
            body = b'{"batch": [{"type": "track", "userId": "c1", "event": "View", "properties": %s}]}' % deep
    return body


Post = Callable[[str, bytes, dict[str, str]], tuple[int, bytes]]


def through_django(address: str, body: bytes, sent: dict[str, str]) -> tuple[int, bytes]:
    client = Client(raise_request_exception=False)
    answer = client.generic("POST", address, body, headers=sent)
    return answer.status_code, answer.content


def through_a_server(port: int) -> Post:
    def post(address: str, body: bytes, sent: dict[str, str]) -> tuple[int, bytes]:
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("POST", address, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.read()

    return post


def check(status: int, content: bytes) -> None:
    assert status in ANSWERS, (status, content)
    told: Any = json.loads(content)
    assert told == {"success": True} if status == 200 else told["code"] and told["message"]


def check_that_the_worker_goes_on(key: str) -> None:
    """Everything that was acknowledged is processed or refused, and nothing by an internal error."""
    last = track("The last one", anonymous="a9")
    send(key, last)
    assert not Batch.objects.exists()
    assert Event.objects.filter(message_id=last["messageId"]).count() == 1
    assert not RefusedMessage.objects.filter(reason__contains="an internal error").exists()


BESIDE_THE_LAW = tuple(HealthCheck)
ADDRESSES = st.sampled_from(sorted(CALLS))


@pytest.fixture(params=["server", "browser"])
def key(request: pytest.FixtureRequest) -> str:
    return source(request.param, messages_a_minute=50_000_000)[1]


def fuzz(examples: int, key: str, post: Post) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=BESIDE_THE_LAW, database=None)
    @given(ADDRESSES, bodies(), headers, st.sampled_from((True, True, True, False)))
    def everything(address: str, body: bytes, sent: dict[str, str], is_right: bool) -> None:
        check(*post(f"/v1/{address}", body, {**basic(key if is_right else "wk_wrong"), **sent}))

    everything()
    check_that_the_worker_goes_on(key)


def test_every_request_gets_a_documented_response(key: str) -> None:
    fuzz(100, key, through_django)


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_memory_stays_bounded_over_five_thousand_requests(
    key: str, environment: dict[str, str], tmp_path: Path
) -> None:
    with running({**environment, "LOG_LEVEL": "WARNING"}, tmp_path / "web.log") as web:
        assert web.process
        post = through_a_server(web.port)
        fuzz(500, key, post)
        [worker] = psutil.Process(web.process.pid).children()
        before = worker.memory_info().rss
        fuzz(5_000, key, post)

        assert worker.is_running()
        assert worker.memory_info().rss - before < MOST_GROWTH
