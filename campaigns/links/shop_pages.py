"""Asks the shop whether the pages and pictures that a message links to exist.

Only the shop's own host is asked, at an address that was checked, and without following redirects.
"""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urldefrag, urlsplit

from django.utils.encoding import iri_to_uri

from core.shop import shop
from segments.webhooks import target_addresses
from segments.webhooks.checked_connections import FAILURES, connect, time_limit
from segments.webhooks.target_addresses import InvalidAddress, Target

from . import link_hosts

MAX_PAGES: Final = 20
MAX_SECONDS: Final = 6.0
"""For all pages of a message together."""
MISSING: Final = (404, 410)
_SIDE_BY_SIDE: Final = 4
_HEADERS: Final = {"user-agent": "Segments-LinkCheck/1", "accept-encoding": "identity"}


def is_page_of_shop(url: str) -> bool:
    """Return whether a URL leads to the host and port of the shop."""
    host = link_hosts.host_of(url)
    return bool(host) and host == link_hosts.host_of(shop().url) and _port(url) == _port(shop().url)


def page_statuses(urls: Iterable[str]) -> Mapping[str, int | None]:
    """Return the HTTP status of each page of the shop among these URLs; None if the shop does not answer in time.

    At most ``MAX_PAGES`` are asked for, and the others are left out.
    """
    pages = [url for url in dict.fromkeys(urls) if is_page_of_shop(url)][:MAX_PAGES]
    if not pages:
        return {}
    until = time.monotonic() + MAX_SECONDS
    try:
        targets = {url: target_addresses.parse_target(_request_url(url)) for url in pages}
        first = next(iter(targets.values()))
        addresses = target_addresses.resolve_target(first, needs_encryption=False)
    except InvalidAddress:
        return dict.fromkeys(pages)
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        statuses = pool.map(lambda target: _status(target, addresses[0], until), targets.values())
        return dict(zip(targets, statuses, strict=True))


def _status(target: Target, address: str, until: float) -> int | None:
    status = _ask("HEAD", target, address, until)
    # Some servers answer a HEAD differently, so an error counts only if a GET has it, too.
    return _ask("GET", target, address, until) if status is not None and status >= 400 else status


def _ask(method: str, target: Target, address: str, until: float) -> int | None:
    seconds = until - time.monotonic()
    if seconds <= 0:
        return None
    try:
        connection = connect(target, address)
    except FAILURES:
        return None
    try:
        with time_limit(until - time.monotonic(), connection) as is_cut_off:
            headers = {"host": target.authority, **_HEADERS}
            connection.request(method, target.path, headers=headers, preload_content=False)
            status = connection.getresponse().status
            return None if is_cut_off.is_set() else status
    except FAILURES:
        return None
    finally:
        connection.close()


def _request_url(url: str) -> str:
    """Return the URL in ASCII, without the part that browsers keep to themselves."""
    parts = urlsplit(urldefrag(url).url)
    port = f":{parts.port}" if parts.port else ""
    return iri_to_uri(parts._replace(netloc=f"{link_hosts.host_of(url)}{port}").geturl())


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    # A shop answers at both: one leads to the other.
    return None if parts.port in (None, *target_addresses.PORTS.values()) else parts.port
