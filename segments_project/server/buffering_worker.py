"""gunicorn's worker for slow clients: a thread gets a request when it has arrived, and until then it costs no thread.

gunicorn's own threads read requests themselves, so that a handful of connections that send a byte a second stop
everything (docs/decisions/0016). Here the event loop receives them, within bounds of time and of bytes; and what a
client is slow to take of its answer, the event loop sends.
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
"""Bytes of a body that are received for anybody; of a larger one, only its headers are before it is let in."""
MAX_HEAD_BYTES: Final = 64 * 1024
MIN_DEADLINE_SECONDS: Final = 10.0
"""Seconds in which a request has to arrive."""
MIN_BYTES_PER_SECOND: Final = 20_000
"""Bytes a second that an upload arrives at, at least."""
MAX_ARRIVING_REQUESTS, MAX_ARRIVING_BYTES = 1_000, 64 * 2**20
"""Requests, and bytes of them, that a worker holds; the one that has been arriving for longest makes room."""
MAX_UNSENT_BYTES, MAX_TOTAL_UNSENT_BYTES, SEND_TIMEOUT_SECONDS = 2 * 2**20, 64 * 2**20, 60.0
"""Bytes of an answer that a thread leaves behind, bytes of all answers, and seconds in which a client takes its own."""
LINGER_SECONDS, MAX_DRAINED_BYTES = 2.0, 2**20
"""Seconds, and bytes, in which a client may finish sending what nobody reads any more, to see its answer."""
UPLOAD_PREFIXES: Final = ("/admin/", "/api/")
PUBLIC_PREFIXES: Final = ("/api/v1/visitors/",)

REASONS: Final = {
    408: ("Request Timeout", "too_slow", "The request did not arrive in time."),
    411: ("Length Required", "length_required", "Send the body with a Content-Length."),
    413: ("Content Too Large", "too_large", f"Without a key at most {MAX_BUFFERED_BYTES} bytes are taken."),
    431: ("Request Header Fields Too Large", "headers_too_large", "The headers are too long."),
}


class IncomingRequest:
    """A request that is arriving: its bytes so far, and until when it may arrive."""

    def __init__(self, now: float) -> None:
        self.data = bytearray()
        self.began, self.deadline = now, now + MIN_DEADLINE_SECONDS
        self.body_at = 0  # where the body begins, once the headers are there
        self.length = 0
        self.refusal = 0
        self.asks_to_go_on = False

    def add(self, data: bytes) -> None:
        """Take what has arrived; ``refusal`` is the status of a request that is not taken."""
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
        """Tell a request whose body is received only by who lets it in."""
        return self.length > MAX_BUFFERED_BYTES

    @property
    def is_whole(self) -> bool:
        """Tell a request that a thread can take without waiting for it."""
        return bool(self.body_at) and (self.is_large or len(self.data) >= self.body_at + self.length)

    def _read_head(self, head: bytes) -> None:
        # Only what is needed to receive it: gunicorn reads the same bytes again, and refuses what is wrong.
        line, *fields = head.split(b"\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (field.partition(b":") for field in fields)
        }
        length = headers.get(b"content-length", b"")
        self.length = int(length) if length.isdigit() and len(length) < 19 else 0
        self.asks_to_go_on = headers.get(b"expect", b"").lower() == b"100-continue"
        target = [*line.split(b" "), b""][1].decode("latin-1")
        path = target if target.startswith("/") else urlsplit(target).path
        is_upload = path.startswith(UPLOAD_PREFIXES) and not path.startswith(PUBLIC_PREFIXES)
        is_somebody = b"authorization" in headers or b"cookie" in headers
        if b"transfer-encoding" in headers:
            self.refusal = 411
        elif self.is_large and not (is_upload and is_somebody):
            self.refusal = 413
        if is_upload:
            self.deadline = self.began + MIN_DEADLINE_SECONDS + self.length / MIN_BYTES_PER_SECOND


class BufferedClient:
    """A client's socket for a thread that answers: what the client does not take at once is kept to be sent later."""

    def __init__(self, client: socket) -> None:
        self._client = client
        self.unsent = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, data: bytes) -> None:
        """Send what finds room, and keep the rest; of a long answer wait until the client takes some."""
        self.unsent += data
        self.send_some()
        while len(self.unsent) > MAX_UNSENT_BYTES:
            with DefaultSelector() as selector:
                selector.register(self._client, EVENT_WRITE)
                if not selector.select(MIN_DEADLINE_SECONDS):
                    raise ConnectionAbortedError(errno.EPIPE, "the client takes nothing of its answer")
            self.send_some()

    def send_some(self) -> None:
        """Send what finds room now."""
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
        self.reading: dict[
            TConn, float
        ] = {}  # large bodies that a thread reads, and until when they may come
        self.answers: dict[TConn, BufferedClient] = {}  # which threads write
        self.sending: dict[
            TConn, float
        ] = {}  # answers that their clients are slow to take, and until when they may
        self.closing: dict[TConn, tuple[float, int]] = {}  # until when, and how many bytes were thrown away
        self.next_look = 0.0

    def init_process(self) -> None:
        """Allow as many open connections as the system does, then start."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        super().init_process()

    def enqueue_req(self, conn: TConn) -> None:
        """Receive a request, and give it to a thread when it is whole."""
        conn.init()
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, EVENT_READ, partial(self._receive, conn))
        self.arriving[conn] = IncomingRequest(time.monotonic())
        self._add(conn, conn.parser.unreader.take_buffered())
        if len(self.arriving) > MAX_ARRIVING_REQUESTS:
            self._drop(next(iter(self.arriving)))

    def finish_request(self, conn: TConn, future: "Future[Any]") -> None:
        """Send what is left of the answer, then wait for the next request of a connection that is kept."""
        self.reading.pop(conn, None)
        if conn in self.answers and self.answers[conn].unsent:
            conn.sock.setblocking(False)
            self.sending[conn] = time.monotonic() + SEND_TIMEOUT_SECONDS
            self.poller.register(conn.sock, EVENT_WRITE, partial(self._send_on, conn, future))
            while sum(len(self.answers[one].unsent) for one in self.sending) > MAX_TOTAL_UNSENT_BYTES:
                self._give_up(next(iter(self.sending)))
        else:
            self._finish(conn, future)

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Answer a request, in a thread; the client need not take the answer as fast."""
        client = conn.sock
        self.answers[conn] = conn.sock = BufferedClient(client)
        try:
            return super().handle_request(req, conn)
        finally:
            conn.sock = client

    def _finish(self, conn: TConn, future: "Future[Any]") -> None:
        self.answers.pop(conn, None)
        if not future.cancelled() and future.exception() is None and future.result():
            super().finish_request(conn, future)
        else:
            self._close_softly(conn)

    def murder_pending(self) -> None:
        """End what takes too long; gunicorn calls this at least once a second."""
        now = time.monotonic()
        if now < self.next_look:
            return
        self.next_look = now + 0.25
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
        # What is left of a large body is nobody's: a thread would wait for it.
        return conn not in self.reading and super()._keepalive_after(conn, keepalive)

    def _send_on(self, conn: TConn, future: "Future[Any]", client: socket) -> None:
        answer = self.answers[conn]
        try:
            answer.send_some()
        except OSError:
            self._give_up(conn)
            return
        if not answer.unsent:
            self.poller.unregister(client)
            del self.sending[conn]
            self._finish(conn, future)

    def _give_up(self, conn: TConn) -> None:
        self.poller.unregister(conn.sock)
        del self.sending[conn], self.answers[conn]
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
        elif arrival.is_whole:
            self._hand_over(conn)
        elif arrival.body_at and arrival.asks_to_go_on:
            arrival.asks_to_go_on = False
            self._send(conn, b"HTTP/1.1 100 Continue\r\n\r\n")
        while self.bytes_held > MAX_ARRIVING_BYTES and self.arriving:
            self._drop(next(iter(self.arriving)))

    def _hand_over(self, conn: TConn) -> None:
        arrival = self._taken_off(conn)
        conn.parser.unreader.unread(bytes(arrival.data))
        conn.data_ready = True
        if arrival.is_large:
            self.reading[conn] = arrival.deadline
        super().enqueue_req(conn)

    def _refuse(self, conn: TConn, status: int) -> None:
        self._taken_off(conn)
        reason, code, message = REASONS[status]
        body = json.dumps({"code": code, "message": message, "errors": []})
        self._send(
            conn,
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n{body}".encode(),
        )
        self._close_softly(conn)

    def _drop(self, conn: TConn) -> None:
        self._taken_off(conn)
        self.nr_conns -= 1
        conn.close()

    def _taken_off(self, conn: TConn) -> IncomingRequest:
        self.poller.unregister(conn.sock)
        arrival = self.arriving.pop(conn)
        self.bytes_held -= len(arrival.data)
        return arrival

    def _send(self, conn: TConn, data: bytes) -> None:
        try:
            conn.sock.send(data)  # so little that it always finds room
        except OSError:
            self.log.debug("The client has gone.")

    def _close_softly(self, conn: TConn) -> None:
        # As gunicorn does, but not in a loop that nobody else gets a turn in: closing with bytes unread would take
        # the answer from the client.
        self.closing[conn] = (time.monotonic() + LINGER_SECONDS, 0)
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(SHUT_WR)
            self.poller.register(conn.sock, EVENT_READ, partial(self._throw_away, conn))
        except (OSError, ValueError):
            self._close(conn)

    def _throw_away(self, conn: TConn, client: socket) -> None:
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
            client.shutdown(SHUT_RD)  # who reads it finds its end, and that it is not all
        except OSError:
            self.log.debug("The client has gone.")
