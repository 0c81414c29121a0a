"""Which addresses may be called: those of the public internet, and those that the settings allow.

A name is looked up once, all of its addresses are checked, and it is these that are connected to: a name that
leads elsewhere a moment later leads nowhere new.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from django.conf import settings
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from segments.models.webhook import MAX_URL_LENGTH

IpAddress = IPv4Address | IPv6Address

PORTS: Final = {"https": 443, "http": 80}
PUBLIC_IPV6: Final = IPv6Network("2000::/3")  # all that is given out to anybody
# Addresses that carry one of IPv4 inside, and lead there: through a network's own gateway, or somebody's.
NAT64_GATEWAY: Final = IPv6Network("64:ff9b::/96")


class InvalidAddress(ValueError):
    """Not an address that may be called; the message says what to change."""


@dataclass(frozen=True)
class Target:
    """Where a request goes, taken apart."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_secure(self) -> bool:
        """Tell whether others on the way can read what is sent."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Give host and port as a request names them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str) -> Target:
    """Take an address apart; raises BadAddress where it is none that can be called."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidAddress("write the address without spaces and in plain letters; other scripts as xn--…")
    if len(url) > MAX_URL_LENGTH:
        raise InvalidAddress(f"is longer than {MAX_URL_LENGTH} characters")
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise InvalidAddress("is no web address, such as https://example.org/hooks") from None
    if parts.scheme not in PORTS or not parts.host:
        raise InvalidAddress("is no web address, such as https://example.org/hooks")
    if parts.auth:
        raise InvalidAddress("leave out the user name and password: receivers know us by the signature")
    if parts.fragment is not None:
        raise InvalidAddress("leave out the part after #, which is never sent")
    host = parts.host.strip("[]")
    return Target(parts.scheme, host, parts.port or PORTS[parts.scheme], parts.request_uri)


def resolve_target(target: Target) -> Sequence[str]:
    """Find the addresses behind the name, to connect to these and no others.

    Raises BadAddress where there are none, where one of them is neither public nor allowed in the settings, or
    where what is sent could be read on its way through the internet.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise InvalidAddress(f"no address was found for {target.host}")
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in map(_parse_ip, addresses):
        if _is_allowed(address):
            continue
        if not is_public(address):
            raise InvalidAddress(
                f"{target.host} leads to a private or local address; WEBHOOK_ALLOWED_NETWORKS can allow it"
            )
        if not target.is_secure:
            raise InvalidAddress(
                "begin the address with https: what goes through the internet can be read there"
            )
    return addresses


def is_public(address: IpAddress) -> bool:
    """Tell whether an address is one of the public internet, also by way of the address it may carry inside."""
    if isinstance(address, IPv4Address):
        return address.is_global and not address.is_multicast
    if address in NAT64_GATEWAY:
        return is_public(_embedded_ipv4(address))
    carries_another = address.sixtofour or address.teredo
    return address in PUBLIC_IPV6 and address.is_global and not carries_another


def _is_allowed(address: IpAddress) -> bool:
    return any(address in network for network in settings.WEBHOOK_ALLOWED_NETWORKS)


def _parse_ip(text: str) -> IpAddress:
    address = ip_address(text.partition("%")[0])
    # ::ffff:127.0.0.1 is 127.0.0.1 to the system that connects.
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _embedded_ipv4(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
