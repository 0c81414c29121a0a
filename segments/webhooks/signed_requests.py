"""Send one signed POST to an endpoint, within a time limit, and return the response.

Redirects are not followed and proxies of the environment are ignored: the request goes only to an address that was
checked.
"""

import ssl
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Final

from standardwebhooks import Webhook
from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from . import target_addresses
from .checked_connections import FAILURES, connect, time_limit
from .target_addresses import InvalidAddress

TOTAL_TIMEOUT_SECONDS: Final = 20  # also for an endpoint that sends a byte now and then
MAX_RESPONSE_BYTES: Final = 1024
HTTP_GONE: Final = 410
TIMED_OUT: Final = "it took too long"


@dataclass(frozen=True)
class SignedRequest:
    """A message with its id, and the secrets to sign it with."""

    message_id: str
    body: str
    secrets: Sequence[str]

    def headers(self, at: datetime) -> dict[str, str]:
        """Return the headers of Standard Webhooks."""
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
    """The result of a request that was sent at an instant. Without a problem, the message is delivered."""

    at: datetime
    duration: timedelta
    status: int | None = None
    text: str = ""
    problem: str = ""
    retry_after: timedelta | None = None


class EndpointConnection:
    """Connections to one endpoint. Its address is resolved and checked once, and connections are reused.

    Safe for several threads.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._target: target_addresses.Target | None = None
        self._addresses: Sequence[str] = ()
        self._resolving = threading.Lock()
        self._idle: SimpleQueue[HTTPConnection] = SimpleQueue()
        self._tls: ssl.SSLContext | None = None  # slow to create, so it is reused

    def post(self, request: SignedRequest) -> Response:
        """Send a request. Errors are returned as the response's ``problem``, never raised."""
        at, started = datetime.now(UTC), time.monotonic()

        def result(**values: object) -> Response:
            return Response(at, timedelta(seconds=time.monotonic() - started), **values)  # type: ignore[arg-type]

        try:
            connection = self._connection()
        except InvalidAddress as error:
            return result(problem=f"Not sent: {error}.")
        except FAILURES as error:
            return result(problem=f"No connection: {_error_text(error)}.")
        with time_limit(TOTAL_TIMEOUT_SECONDS - (time.monotonic() - started), connection) as is_cut_off:
            try:
                response = self._send(connection, request, at)
            except FAILURES as error:
                connection.close()
                reason = TIMED_OUT if is_cut_off.is_set() else _error_text(error)
                return result(problem=f"No response: {reason}.")
            if is_cut_off.is_set():  # in the middle of the headers, which then look complete
                connection.close()
                return result(problem=f"No response: {TIMED_OUT}.")
            text = _read_start(response)
            if response.length_remaining == 0:
                self._idle.put(connection)
            else:
                connection.close()
        problem, retry_after = _problem(response.status), response.headers.get("retry-after", "")
        return result(
            status=response.status,
            text=text,
            problem=problem,
            retry_after=timedelta(seconds=int(retry_after))
            if problem and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 8
            else None,
        )

    def close(self) -> None:
        """Close the idle connections."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _send(self, connection: HTTPConnection, request: SignedRequest, at: datetime) -> BaseHTTPResponse:
        assert self._target is not None
        connection.request(
            "POST",
            self._target.path,
            request.body.encode(),
            {"host": self._target.authority, **request.headers(at)},
            preload_content=False,
            decode_content=False,
        )
        return connection.getresponse()

    def _connection(self) -> HTTPConnection:
        with suppress(Empty):
            while True:
                idle = self._idle.get_nowait()
                if idle.is_connected:
                    return idle
                idle.close()
        with self._resolving:
            if not self._addresses:
                self._target = target_addresses.parse_target(self._url)
                self._addresses = target_addresses.resolve_target(self._target)
        for address in self._addresses[:-1]:
            with suppress(*FAILURES):
                return self._connect(address)
        return self._connect(self._addresses[-1])

    def _connect(self, address: str) -> HTTPConnection:
        assert self._target is not None
        if self._target.is_secure:
            self._tls = self._tls or ssl.create_default_context()
        return connect(self._target, address, self._tls)


def _read_start(response: BaseHTTPResponse) -> str:
    """Return the start of the body, for staff. Errors do not matter, because the status was received."""
    try:
        read = response.read(MAX_RESPONSE_BYTES)
    except FAILURES:
        return ""
    return read.decode(errors="replace").replace("\x00", "")


def _problem(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return "The endpoint redirects, and redirects are not followed. Enter the new address."
    return f"The endpoint responded {status}."


def _error_text(error: Exception) -> str:
    match error:
        case NewConnectionError():  # in urllib3, a subclass of ConnectTimeoutError
            pass
        case ConnectTimeoutError() | TimeoutError():
            return TIMED_OUT
        case ssl.SSLCertVerificationError():
            return f"the certificate is not valid ({error.verify_message})"
    cause = error.__cause__ or error
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return text[:200] or type(error).__name__
