"""One signed POST to an endpoint, within a set time, and what was answered.

Redirects are not followed, and no proxy of the environment is asked: the request goes to an address that was
checked, or nowhere.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from queue import Empty, SimpleQueue
from typing import Final

from standardwebhooks import Webhook
from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from . import target_addresses
from .target_addresses import InvalidAddress

CONNECT_TIMEOUT_SECONDS: Final = 5  # seconds, for each of the addresses behind a name
READ_TIMEOUT_SECONDS: Final = 10
TOTAL_TIMEOUT_SECONDS: Final = 20  # in all, so that nobody who sends a byte now and then keeps us
MAX_RESPONSE_BYTES: Final = 1024  # bytes
HTTP_GONE: Final = 410
TIMED_OUT: Final = "it took too long"
_FAILURES = (HTTPError, HTTPException, OSError)


@dataclass(frozen=True)
class SignedRequest:
    """What is sent: a message with its id, and the secrets to sign it with."""

    message_id: str
    body: str
    secrets: Sequence[str]

    def headers(self, at: datetime) -> dict[str, str]:
        """Give the headers by which receivers know the message and its sender, as Standard Webhooks names them."""
        signatures = [Webhook(secret).sign(self.message_id, at, self.body) for secret in self.secrets]
        return {
            "content-type": "application/json",
            "user-agent": "Segments-Webhooks/1",
            "accept-encoding": "identity",
            "webhook-id": self.message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


@dataclass(frozen=True)
class Response:
    """What came of a request sent at an instant. Without a problem the message is delivered."""

    at: datetime
    took: timedelta
    status: int | None = None
    text: str = ""
    problem: str = ""
    retry_after: timedelta | None = None


class EndpointConnection:
    """The way to one endpoint: looked up and checked once, its connections kept until it is closed.

    Several threads may post at once.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._target: target_addresses.Target | None = None
        self._addresses: Sequence[str] = ()
        self._looking_up = threading.Lock()
        self._idle: SimpleQueue[HTTPConnection] = SimpleQueue()
        self._tls: ssl.SSLContext | None = None  # it takes long to make

    def post(self, post: SignedRequest) -> Response:
        """Send it; whatever goes wrong is told in the answer."""
        at, began = datetime.now(UTC), time.monotonic()

        def answer(**told: object) -> Response:
            return Response(at, timedelta(seconds=time.monotonic() - began), **told)  # type: ignore[arg-type]

        try:
            connection = self._connection()
        except InvalidAddress as error:
            return answer(problem=f"Not sent: {error}.")
        except _FAILURES as error:
            return answer(problem=f"No connection: {_error_text(error)}.")
        with _time_limit(TOTAL_TIMEOUT_SECONDS - (time.monotonic() - began), connection) as is_cut_off:
            try:
                response = self._asked(connection, post, at)
            except _FAILURES as error:
                connection.close()
                told = TIMED_OUT if is_cut_off.is_set() else _error_text(error)
                return answer(problem=f"No answer: {told}.")
            if is_cut_off.is_set():  # amid the headers, which reads as if these were all
                connection.close()
                return answer(problem=f"No answer: {TIMED_OUT}.")
            text = _read_start(response)
            if response.length_remaining == 0:
                self._idle.put(connection)
            else:
                connection.close()
        problem, retry_after = _problem(response.status), response.headers.get("retry-after", "")
        return answer(
            status=response.status,
            text=text,
            problem=problem,
            retry_after=timedelta(seconds=int(retry_after))
            if problem and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 8
            else None,
        )

    def close(self) -> None:
        """End the connections that are kept."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _asked(self, connection: HTTPConnection, post: SignedRequest, at: datetime) -> BaseHTTPResponse:
        assert self._target is not None
        connection.request(
            "POST",
            self._target.path,
            post.body.encode(),
            {"host": self._target.authority, **post.headers(at)},
            preload_content=False,
            decode_content=False,
        )
        return connection.getresponse()

    def _connection(self) -> HTTPConnection:
        with suppress(Empty):
            while True:
                kept = self._idle.get_nowait()
                if kept.is_connected:
                    return kept
                kept.close()
        with self._looking_up:
            if not self._addresses:
                self._target = target_addresses.parse_target(self._url)
                self._addresses = target_addresses.resolve_target(self._target)
        for address in self._addresses[:-1]:
            with suppress(*_FAILURES):
                return self._connected(address)
        return self._connected(self._addresses[-1])

    def _connected(self, address: str) -> HTTPConnection:
        target = self._target
        assert target is not None
        connection: HTTPConnection
        if target.is_secure:
            self._tls = self._tls or ssl.create_default_context()
            # The certificate has to be that of the name, though it is the address that is connected to.
            connection = HTTPSConnection(
                address,
                target.port,
                timeout=CONNECT_TIMEOUT_SECONDS,
                server_hostname=target.host.rstrip("."),
                ssl_context=self._tls,
            )
        else:
            connection = HTTPConnection(address, target.port, timeout=CONNECT_TIMEOUT_SECONDS)
        with _time_limit(2 * CONNECT_TIMEOUT_SECONDS, connection):
            try:
                connection.connect()
            except _FAILURES:
                connection.close()
                raise
        connection.sock.settimeout(READ_TIMEOUT_SECONDS)
        return connection


@contextmanager
def _time_limit(seconds: float, connection: HTTPConnection) -> Iterator[threading.Event]:
    """End the connection if the block is not over by then, and tell so.

    The time-outs of a socket begin anew with each byte.
    """
    is_cut_off = threading.Event()

    def cut_off() -> None:
        is_cut_off.set()
        with suppress(OSError):
            if connection.sock is not None:
                # Also of one that is encrypted: whoever waits for it wakes up at once.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0, seconds), cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield is_cut_off
    finally:
        timer.cancel()


def _read_start(response: BaseHTTPResponse) -> str:
    """Read the beginning of the answer; what counts is the status, which is there already."""
    try:
        read = response.read(MAX_RESPONSE_BYTES)
    except _FAILURES:
        return ""
    return read.decode(errors="replace").replace("\x00", "")


def _problem(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return "It leads elsewhere, and redirects are not followed: give the new address."
    return f"Answered {status}."


def _error_text(error: Exception) -> str:
    match error:
        case NewConnectionError():  # to urllib3 a kind of the next
            pass
        case ConnectTimeoutError() | TimeoutError():
            return TIMED_OUT
        case ssl.SSLCertVerificationError():
            return f"the certificate is not valid ({error.verify_message})"
    cause = error.__cause__ or error
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return text[:200] or type(error).__name__
