"""The hosts that messages may link to: those of the shop, and those that the author of a template links."""

import re
from functools import lru_cache
from html import unescape
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import idna
from django.conf import settings

from core.shop import shop

MAX_LINK_LENGTH: Final = 1_000

# A host counts as written by the author only if nothing of it comes from a value.
_TOKEN: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}")
_VALUE: Final = "\ue000"
_AUTHORED_URL: Final = re.compile(r"https?://[^\s<>\"'\ue000]+", re.IGNORECASE)
_WHOLE_HOST: Final = re.compile(r"https?://[^/?#\s]+[/?#]", re.IGNORECASE)


def host_of(url: str) -> str:
    """Return the host of a web address in ASCII and lower case; empty if programs could read it differently."""
    # Browsers read a backslash as a slash, drop line breaks and tabs, and decode a host.
    if not url.isprintable() or "\\" in url or " " in url:
        return ""
    try:
        parts: SplitResult = urlsplit(url)
        host = parts.hostname or ""
        parts.port  # noqa: B018 — raises for what is no port
    except ValueError:
        return ""
    if parts.scheme.lower() not in ("http", "https") or "@" in parts.netloc or "%" in parts.netloc:
        return ""
    return _to_ascii(host)


def is_own_url(url: str) -> bool:
    """Return whether a URL leads to the shop, to this installation, or to one of ``PRODUCT_HOSTS``."""
    host = host_of(url)
    return bool(host) and (
        any(host == own or host.endswith(f".{own}") for own in _shop_hosts())
        or host == host_of(settings.PUBLIC_URL)
    )


def shop_url(link: object) -> str:
    """Return the absolute URL of a link to the shop or one of ``PRODUCT_HOSTS``; empty for any other link.

    A path is resolved against the address of the shop.
    """
    if not isinstance(link, str) or not link.strip() or len(link) > MAX_LINK_LENGTH or not link.isprintable():
        return ""
    try:
        url = urljoin(shop().url, link.strip().replace("\\", "/"))
    except ValueError:
        return ""
    host = host_of(url)
    return url if any(host == own or host.endswith(f".{own}") for own in _shop_hosts()) else ""


def is_allowed(url: str, *templates: str) -> bool:
    """Return whether a message with these templates may link to a URL."""
    return is_own_url(url) or is_authored(url, *templates)


def is_authored(url: str, *templates: str) -> bool:
    """Return whether the author of these templates has written a link to the same host."""
    host = host_of(url)
    return bool(host) and host in authored_hosts(templates)


@lru_cache(maxsize=256)
def authored_hosts(templates: tuple[str, ...]) -> frozenset[str]:
    """Return the hosts that templates spell out, without a variable in them."""
    hosts = set()
    for source in templates:
        masked = _TOKEN.sub(_VALUE, source.replace(_VALUE, ""))
        for text in (masked, unescape(masked)):
            for url in _AUTHORED_URL.finditer(text):
                is_cut = text[url.end() : url.end() + 1] == _VALUE
                if not is_cut or _WHOLE_HOST.match(url[0]):
                    hosts.add(host_of(url[0].rstrip(".,;:!?)")))
    return frozenset(hosts - {""})


def _shop_hosts() -> list[str]:
    hosts = (host_of(shop().url), *(_to_ascii(host) for host in settings.PRODUCT_HOSTS))
    return [host for host in hosts if host]


@lru_cache(maxsize=1_000)
def _to_ascii(host: str) -> str:
    host = host.lower().rstrip(".")
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        return ""
