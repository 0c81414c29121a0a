"""Clients that send slowly, endlessly or too much keep nobody else from being served."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.api import keys
from customers.models import Batch, Import
from segments_project.server.buffering_worker import MIN_DEADLINE_SECONDS, IncomingRequest

from .support import web_server
from .support.tracking_messages import basic, source

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server(environment: Mapping[str, str], tmp_path: Path) -> Iterator[web_server.Web]:
    with web_server.running({**environment, "LOG_LEVEL": "WARNING"}, tmp_path / "log") as running:
        yield running


def opened(server: web_server.Web, *parts: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=MIN_DEADLINE_SECONDS + 5)
    client.sendall(b"".join(parts))
    return client


def request(method: str, path: str, length: int | None = None, **headers: str) -> bytes:
    fields = {"Host": "127.0.0.1", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if length is not None:
        fields["Content-Length"] = str(length)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def answer(client: socket.socket) -> tuple[int, str]:
    """The status and the code of the error."""
    with client, client.makefile("rb") as said:
        head = said.readline()
        length = 0
        while line := said.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        body = said.read(length)
    return int(head.split()[1]), json.loads(body).get("code", "") if body[:1] == b"{" else ""


def test_slow_requests_do_not_block_others_and_are_closed(server: web_server.Web) -> None:
    _, key = source("browser", messages_a_minute=1000)
    send = request("POST", "/v1/batch", 1000, **basic(key))
    began = time.monotonic()
    with ExitStack() as stack:
        drips = [stack.enter_context(opened(server, send, b'{"batch"')) for _ in range(50)]
        drips += [stack.enter_context(opened(server, send[:40])) for _ in range(50)]
        for client in drips:
            client.sendall(b"a")

        asked = []
        for _ in range(10):
            at = time.monotonic()
            assert answer(opened(server, request("GET", "/healthz", Connection="close")))[0] == 200
            asked.append(time.monotonic() - at)
            for client in drips:
                client.sendall(b"a")
        assert sorted(asked)[5] < 2
        assert time.monotonic() - began < MIN_DEADLINE_SECONDS  # while all of them are open

        assert {answer(client) for client in drips} == {(408, "too_slow")}
        assert time.monotonic() - began < MIN_DEADLINE_SECONDS + 5
    assert not Batch.objects.exists()


def test_clients_that_read_slowly_do_not_block_others(server: web_server.Web) -> None:
    large = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
    # Ten of them are more than the system's buffers hold.
    asked = request("GET", large) * 9 + request("GET", large, Connection="close")
    with ExitStack() as stack:
        slow = []
        for _ in range(20):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(MIN_DEADLINE_SECONDS)
            client.connect(("127.0.0.1", server.port))
            client.sendall(asked)
            slow.append(client)
        time.sleep(1)

        for _ in range(5):
            assert answer(opened(server, request("GET", "/healthz", Connection="close")))[0] == 200

        # Whoever goes on reading gets all of it.
        got = bytearray()
        while data := slow[0].recv(2**20):
            got += data
        length = int(got.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        assert got.count(b"HTTP/1.1 200 OK") == 10
        assert len(got) > 10 * length > 10_000_000


def test_a_body_is_not_read_before_authentication(server: web_server.Web) -> None:
    """Each answer comes while the body is still to come."""
    large, endless = 10_000_000, 10**18
    stranger = {"Authorization": "Bearer seg_nonsense"}
    forged = {"Cookie": "sessionid=nonsense", "Content-Type": "multipart/form-data; boundary=x"}
    began = time.monotonic()

    for said, told in [
        (request("POST", "/api/v1/customers/", large, **stranger), (401, "authentication_failed")),
        (request("POST", "/api/v1/customers/", large), (413, "too_large")),
        (request("POST", "/api/v1/customers/", 20_000_000, **stranger), (413, "too_large")),
        (request("POST", "/admin/login/", large, **forged), (413, "too_large")),
        (request("POST", "/unsubscribe/x", large, **forged), (413, "too_large")),
        (request("POST", "/v1/batch", endless, **basic(source()[1])), (413, "too_large")),
        (request("POST", "/v1/batch", Transfer_Encoding="chunked"), (411, "length_required")),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000, (431, "headers_too_large")),
    ]:
        assert answer(opened(server, said)) == told, said[:200]
    assert time.monotonic() - began < MIN_DEADLINE_SECONDS


def test_authenticated_clients_send_large_bodies_and_incomplete_ones_are_discarded(
    server: web_server.Web, admin_client
) -> None:
    api_clients_send_large_bodies(server)
    staff_upload_files(server, admin_client)


def api_clients_send_large_bodies(server: web_server.Web) -> None:
    key = {
        "Authorization": f"Bearer {keys.create_key('client', ['ingest'])[1]}",
        "Content-Type": "application/json",
    }
    customers = [{"customer_id": f"c{number}", "attributes": {"note": "x" * 700}} for number in range(900)]
    body = json.dumps(customers).encode()
    assert len(body) > 500 * 1024

    client = opened(server, request("POST", "/api/v1/customers/", len(body), Expect="100-continue", **key))
    client.sendall(body[:1000])
    client.sendall(body[1000:])
    with client, client.makefile("rb") as said:
        assert said.readline() == b"HTTP/1.1 100 Continue\r\n"
        said.readline()
        assert said.readline().split()[1] in (b"200", b"201")

    half = opened(server, request("POST", "/api/v1/customers/", len(body), **key), body[:-10])
    half.shutdown(socket.SHUT_WR)
    assert answer(half)[0] == 400  # and not what the first half says


def staff_upload_files(server: web_server.Web, admin_client) -> None:
    session = admin_client.cookies["sessionid"].value
    form = admin_client.get("/admin/customers/import/add/").cookies["csrftoken"].value
    part = 'Content-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n--x'
    body = "--x\r\n" + "\r\n".join(
        [
            part.format("csrfmiddlewaretoken", "", form),
            part.format("kind", "", "customers"),
            part.format("file", '; filename="c.csv"', "customer_id\n" + "c1\n" * 200_000),
        ]
    )
    cookies = f"sessionid={session}; csrftoken={form}"
    headers = {"Cookie": cookies, "Content-Type": "multipart/form-data; boundary=x"}
    for length, statuses in ((len(body) + 1000, (400, 403)), (len(body) + 4, (302,))):
        client = opened(server, request("POST", "/admin/customers/import/add/", length, **headers))
        client.sendall((body + "--\r\n").encode())
        client.shutdown(socket.SHUT_WR)
        assert answer(client)[0] in statuses
        assert Import.objects.count() == (302 in statuses)


@pytest.mark.parametrize(
    ("path", "length", "seconds"),
    [
        ("/admin/customers/import/add/", 2_000_000, 110),
        ("/api/v1/customers/", 400_000, 30),
        ("/v1/batch", 400_000, 10),
        ("/api/v1/visitors/a1/messages/x", 400_000, 10),
        ("http://shop.example/unsubscribe/x", 10_000, 10),
        ("/go/x", 10_000, 10),
    ],
)
def test_time_limits_of_uploads_and_of_public_bodies(path, length, seconds) -> None:
    arrival = IncomingRequest(now=0)
    assert arrival.deadline == 10  # of the headers

    arrival.add(request("POST", path, length, Cookie="sessionid=x"))

    assert arrival.deadline == pytest.approx(seconds)
