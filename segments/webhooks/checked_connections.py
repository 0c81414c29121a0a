"""Connections to addresses that were checked, within a time limit. Proxies of the environment are ignored."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Final

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from .target_addresses import Target

CONNECT_TIMEOUT_SECONDS: Final = 5  # seconds, for each of the addresses behind a name
READ_TIMEOUT_SECONDS: Final = 10
FAILURES: Final = (HTTPError, HTTPException, OSError)


def connect(target: Target, address: str, tls: ssl.SSLContext | None = None) -> HTTPConnection:
    """Connect to one of the addresses of a target. Raises one of ``FAILURES``."""
    connection: HTTPConnection
    if target.is_secure:
        # The connection goes to the address, but the certificate must match the host name.
        connection = HTTPSConnection(
            address,
            target.port,
            timeout=CONNECT_TIMEOUT_SECONDS,
            server_hostname=target.host.rstrip("."),
            ssl_context=tls or ssl.create_default_context(),
        )
    else:
        connection = HTTPConnection(address, target.port, timeout=CONNECT_TIMEOUT_SECONDS)
    with time_limit(2 * CONNECT_TIMEOUT_SECONDS, connection):
        try:
            connection.connect()
        except FAILURES:
            connection.close()
            raise
    connection.sock.settimeout(READ_TIMEOUT_SECONDS)
    return connection


@contextmanager
def time_limit(seconds: float, connection: HTTPConnection) -> Iterator[threading.Event]:
    """Shut the connection down if the block takes longer, and set the event.

    Socket timeouts are not enough: they start again with each byte.
    """
    is_cut_off = threading.Event()

    def cut_off() -> None:
        is_cut_off.set()
        with suppress(OSError):
            if connection.sock is not None:
                # The plain shutdown wakes a thread that waits for data, also of an encrypted connection.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0, seconds), cut_off)
    timer.daemon = True
    timer.start()
    try:
        yield is_cut_off
    finally:
        timer.cancel()
