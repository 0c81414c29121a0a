"""A gunicorn worker for slow clients: a request takes a thread only after it has arrived.

gunicorn's own threads read requests themselves, so a few connections that send a byte per second block everything
(docs/decisions/0016). Here, the event loop receives requests, with limits for time and bytes. It also sends the rest of
a response to a client that reads slowly.
"""

import errno
import json
import resource
import time
from concurrent.futures import Future
from functools import partial
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from socket import MSG_DONTWAIT, SHUT_RD, SHUT_WR, socket
from typing import Any, Final
from urllib.parse import urlsplit

from gunicorn.workers.gthread import TConn, ThreadWorker

MAX_BUFFERED_BYTES: Final = 500 * 1024
"""The largest body that is received before the request is authenticated."""
MAX_HEAD_BYTES: Final = 64 * 1024
MIN_DEADLINE_SECONDS: Final = 10.0
"""Time in which a request must arrive. Uploads get more."""
MIN_BYTES_PER_SECOND: Final = 20_000
"""Minimum speed of an upload."""
MAX_ARRIVING_REQUESTS, MAX_ARRIVING_BYTES = 1_000, 64 * 2**20
"""Limits of the requests that a worker is receiving. Beyond them, the oldest is dropped."""
MAX_UNSENT_BYTES, MAX_TOTAL_UNSENT_BYTES, SEND_TIMEOUT_SECONDS = 2 * 2**20, 64 * 2**20, 60.0
"""Limits of responses that the event loop sends: bytes of one and of all, and the time for one."""
LINGER_SECONDS, MAX_DRAINED_BYTES = 2.0, 2**20
"""Limits for reading and discarding the rest of a refused request, so that the client receives its response."""
UPLOAD_PREFIXES: Final = ("/admin/", "/api/")
PUBLIC_PREFIXES: Final = ("/api/v1/visitors/",)

REASONS: Final = {
    408: ("Request Timeout", "too_slow", "The request did not arrive in time."),
    411: ("Length Required", "length_required", "Send the body with a Content-Length."),
    413: ("Content Too Large", "too_large", f"Without a key, send at most {MAX_BUFFERED_BYTES} bytes."),
    431: ("Request Header Fields Too Large", "headers_too_large", "The headers are too long."),
}


class IncomingRequest:
    """A request that is being received."""

    def __init__(self, now: float) -> None:
        self.data = bytearray()
        self.started, self.deadline = now, now + MIN_DEADLINE_SECONDS
        self.body_at = 0  # where the body begins, once the headers are there
        self.length = 0
        self.refusal = 0
        self.expects_continue = False

    def add(self, data: bytes) -> None:
        """Add received bytes. Sets ``refusal`` to a status if the request is refused."""
        searched = max(0, len(self.data) - 3)
        self.data += data
        if self.body_at:
            return
        end = self.data.find(b"\r\n\r\n", searched)
        if end >= 0:
            self.body_at = end + 4
            self._read_head(bytes(self.data[:end]))
        elif len(self.data) > MAX_HEAD_BYTES:
            self.refusal = 431

    @property
    def is_large(self) -> bool:
        """Whether a thread reads the body after authentication."""
        return self.length > MAX_BUFFERED_BYTES

    @property
    def is_complete(self) -> bool:
        """Whether a thread can handle the request without waiting for it."""
        return bool(self.body_at) and (self.is_large or len(self.data) >= self.body_at + self.length)

    def _read_head(self, head: bytes) -> None:
        # Only what is needed to receive the request: gunicorn parses the same bytes again and validates them.
        line, *fields = head.split(b"\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (field.partition(b":") for field in fields)
        }
        length = headers.get(b"content-length", b"")
        self.length = int(length) if length.isdigit() and len(length) < 19 else 0
        self.expects_continue = headers.get(b"expect", b"").lower() == b"100-continue"
        target = [*line.split(b" "), b""][1].decode("latin-1")
        path = target if target.startswith("/") else urlsplit(target).path
        is_upload = path.startswith(UPLOAD_PREFIXES) and not path.startswith(PUBLIC_PREFIXES)
        has_credentials = b"authorization" in headers or b"cookie" in headers
        if b"transfer-encoding" in headers:
            self.refusal = 411
        elif self.is_large and not (is_upload and has_credentials):
            self.refusal = 413
        if is_upload:
            self.deadline = self.started + MIN_DEADLINE_SECONDS + self.length / MIN_BYTES_PER_SECOND


class BufferedClient:
    """A client's socket that keeps what the client does not receive at once, to send it later."""

    def __init__(self, client: socket) -> None:
        self._client = client
        self.unsent = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, data: bytes) -> None:
        """Send what is possible now and keep the rest. Wait if too much is kept."""
        self.unsent += data
        self.send_some()
        while len(self.unsent) > MAX_UNSENT_BYTES:
            with DefaultSelector() as selector:
                selector.register(self._client, EVENT_WRITE)
                if not selector.select(MIN_DEADLINE_SECONDS):
                    raise ConnectionAbortedError(errno.EPIPE, "the client does not read its response")
            self.send_some()

    def send_some(self) -> None:
        """Send what is possible without waiting."""
        try:
            sent = self._client.send(self.unsent, MSG_DONTWAIT) if self.unsent else 0
        except BlockingIOError:
            return
        del self.unsent[:sent]


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """Receives requests in the event loop of gunicorn's threaded worker."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.arriving: dict[TConn, IncomingRequest] = {}  # the oldest first
        self.bytes_held = 0
        self.reading: dict[TConn, float] = {}  # large bodies that a thread reads, with deadlines
        self.responses: dict[TConn, BufferedClient] = {}  # responses that threads write
        self.sending: dict[TConn, float] = {}  # responses to slow clients, with deadlines
        self.closing: dict[TConn, tuple[float, int]] = {}  # deadline, and discarded bytes
        self.next_check = 0.0

    def init_process(self) -> None:
        """Raise the limit of open files to the system's maximum."""
        maximum = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        """Receive a request, and pass it to a thread when it is complete."""
        conn.init()
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, EVENT_READ, partial(self._receive, conn))
        self.arriving[conn] = IncomingRequest(time.monotonic())
        self._add(conn, conn.parser.unreader.take_buffered())
        if len(self.arriving) > MAX_ARRIVING_REQUESTS:
            self._drop(next(iter(self.arriving)))

    def finish_request(self, conn: TConn, future: "Future[Any]") -> None:
        """Send the rest of the response, then wait for the next request of a keep-alive connection."""
        self.reading.pop(conn, None)
        if conn in self.responses and self.responses[conn].unsent:
            conn.sock.setblocking(False)
            self.sending[conn] = time.monotonic() + SEND_TIMEOUT_SECONDS
            self.poller.register(conn.sock, EVENT_WRITE, partial(self._send_rest, conn, future))
            while sum(len(self.responses[conn].unsent) for conn in self.sending) > MAX_TOTAL_UNSENT_BYTES:
                self._give_up(next(iter(self.sending)))
        else:
            self._finish(conn, future)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Handle a request in a thread, which does not wait for a slow client."""
        client = conn.sock
        self.responses[conn] = conn.sock = BufferedClient(client)
        try:
            return super().handle_request(req, conn)
        finally:
            conn.sock = client

    def _finish(self, conn: TConn, future: "Future[Any]") -> None:
        self.responses.pop(conn, None)
        if not future.cancelled() and future.exception() is None and future.result():
            super().finish_request(conn, future)
        else:
            self._close_softly(conn)

    def murder_pending(self) -> None:
        """Close connections whose deadline has passed. gunicorn calls this at least once a second."""
        now = time.monotonic()
        if now < self.next_check:
            return
        self.next_check = now + 0.25
        for conn, arrival in list(self.arriving.items()):
            if not arrival.data and (now > arrival.deadline or not self.alive):
                self._drop(conn)
            elif now > arrival.deadline:
                self._refuse(conn, 408)
        for conn, deadline in list(self.reading.items()):
            if now > deadline:
                del self.reading[conn]
                self._end_of_body(conn.sock)
        for conn, deadline in list(self.sending.items()):
            if now > deadline:
                self._give_up(conn)
        for conn, (until, _) in list(self.closing.items()):
            if now > until:
                self._close(conn)

    def _keepalive_after(self, conn: TConn, keepalive: Any) -> bool:
        # A thread would wait for the rest of a large body.
        return conn not in self.reading and super()._keepalive_after(conn, keepalive)

    def _send_rest(self, conn: TConn, future: "Future[Any]", client: socket) -> None:
        response = self.responses[conn]
        try:
            response.send_some()
        except OSError:
            self._give_up(conn)
            return
        if not response.unsent:
            self.poller.unregister(client)
            del self.sending[conn]
            self._finish(conn, future)

    def _give_up(self, conn: TConn) -> None:
        self.poller.unregister(conn.sock)
        del self.sending[conn], self.responses[conn]
        self.nr_conns -= 1
        conn.close()

    def _receive(self, conn: TConn, client: socket) -> None:
        try:
            data = client.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._add(conn, data)
        else:
            self._drop(conn)

    def _add(self, conn: TConn, data: bytes) -> None:
        arrival = self.arriving[conn]
        arrival.add(data)
        self.bytes_held += len(data)
        if arrival.refusal:
            self._refuse(conn, arrival.refusal)
        elif arrival.is_complete:
            self._pass_to_thread(conn)
        elif arrival.body_at and arrival.expects_continue:
            arrival.expects_continue = False
            self._send(conn, b"HTTP/1.1 100 Continue\r\n\r\n")
        while self.bytes_held > MAX_ARRIVING_BYTES and self.arriving:
            self._drop(next(iter(self.arriving)))

    def _pass_to_thread(self, conn: TConn) -> None:
        arrival = self._stop_receiving(conn)
        conn.parser.unreader.unread(bytes(arrival.data))
        conn.data_ready = True
        if arrival.is_large:
            self.reading[conn] = arrival.deadline
        super().enqueue_req(conn)

    def _refuse(self, conn: TConn, status: int) -> None:
        self._stop_receiving(conn)
        reason, code, message = REASONS[status]
        body = json.dumps({"code": code, "message": message, "errors": []})
        self._send(
            conn,
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n{body}".encode(),
        )
        self._close_softly(conn)

    def _drop(self, conn: TConn) -> None:
        self._stop_receiving(conn)
        self.nr_conns -= 1
        conn.close()

    def _stop_receiving(self, conn: TConn) -> IncomingRequest:
        self.poller.unregister(conn.sock)
        arrival = self.arriving.pop(conn)
        self.bytes_held -= len(arrival.data)
        return arrival

    def _send(self, conn: TConn, data: bytes) -> None:
        try:
            conn.sock.send(data)  # small enough to fit into the buffer
        except OSError:
            self.log.debug("The client has gone.")

    def _close_softly(self, conn: TConn) -> None:
        # As gunicorn does, but without blocking the event loop: closing with unread bytes would discard the response.
        self.closing[conn] = (time.monotonic() + LINGER_SECONDS, 0)
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(SHUT_WR)
            self.poller.register(conn.sock, EVENT_READ, partial(self._discard, conn))
        except (OSError, ValueError):
            self._close(conn)

    def _discard(self, conn: TConn, client: socket) -> None:
        until, drained = self.closing[conn]
        try:
            data = client.recv(64 * 1024)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.closing[conn] = (until, drained + len(data))
        if not data or drained > MAX_DRAINED_BYTES:
            self._close(conn)

    def _close(self, conn: TConn) -> None:
        del self.closing[conn]
        try:
            self.poller.unregister(conn.sock)
        except (KeyError, ValueError):
            self.log.debug("The connection was closed before.")
        self.nr_conns -= 1
        conn.close()

    def _end_of_body(self, client: socket) -> None:
        try:
            client.shutdown(SHUT_RD)  # the reading thread then finds that the body is incomplete
        except OSError:
            self.log.debug("The client has gone.")
