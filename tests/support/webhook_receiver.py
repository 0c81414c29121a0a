"""A receiver of webhooks: a real web server that responds as the test says, and checks signatures."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        return str(json.loads(self.body)["type"])

    @property
    def data(self) -> Any:
        return json.loads(self.body)["data"]

    @property
    def said(self) -> tuple[str, ...]:
        """The segment, the customer, and whether the customer entered or left."""
        return self.data["segment"], self.data["customer_id"], self.data["change"]

    def verified_with(self, secret: str) -> Any:
        """Return the content if it is signed with this secret. Raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers)


@dataclass(frozen=True)
class Reply:
    """A response. It is sent once the ``gate`` is open."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    gate: threading.Event | None = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close the connection: tests do so on purpose."""


class Receiver:
    """The server: the requests it has received, and how it responds to each."""

    def __init__(self, host: str, port: int = 0, certificate: tuple[str, str] | None = None) -> None:
        self.received: list[Received] = []
        self.respond: Callable[[Received], Reply] = lambda _: Reply()
        self.arrived = threading.Condition()
        self._server = _Server((host, port), self._handler())
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        self.url = f"http{'s' if certificate else ''}://{host}:{self.port}/hooks"

    @property
    def said(self) -> list[tuple[str, ...]]:
        return [one.said for one in self.received]

    def replies(self, *replies: Reply) -> None:
        """Respond to the next requests with these replies, and then with success."""
        left = list(replies)
        self.respond = lambda _: left.pop(0) if left else Reply()

    def wait_for(self, count: int, within: float = 30) -> None:
        """Wait until this number of requests was received."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, within)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                received = Received(self.path, headers, body)
                with receiver.arrived:
                    receiver.received.append(received)
                    reply = receiver.respond(received)
                    receiver.arrived.notify_all()
                if reply.gate:
                    reply.gate.wait(30)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if reply.status != 204:
                    self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    @contextmanager
    def listening(self) -> Iterator[Receiver]:
        thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
