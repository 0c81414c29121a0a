"""Which addresses may be called: those of the public internet, and those that the settings allow.

A host name is resolved once, all its addresses are checked, and connections go only to these. If the name has another
address a moment later (DNS rebinding), it has no effect.
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
PUBLIC_IPV6: Final = IPv6Network("2000::/3")  # all global unicast addresses
# These addresses contain an IPv4 address, and a gateway of the network sends packets there.
NAT64_GATEWAY: Final = IPv6Network("64:ff9b::/96")


class InvalidAddress(ValueError):
    """An address that may not be called. The message says what to change."""


@dataclass(frozen=True)
class Target:
    """The parts of a URL that a request needs."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Return host and port as the Host header needs them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str) -> Target:
    """Parse a URL. Raises InvalidAddress if it cannot be called."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidAddress(
            "use only ASCII characters and no spaces; write an international host name as xn--…"
        )
    if len(url) > MAX_URL_LENGTH:
        raise InvalidAddress(f"the address is longer than {MAX_URL_LENGTH} characters")
    try:
        parts = parse_url(url)
    except LocationParseError:
        raise InvalidAddress("enter a web address, such as https://example.org/hooks") from None
    if parts.scheme not in PORTS or not parts.host:
        raise InvalidAddress("enter a web address, such as https://example.org/hooks")
    if parts.auth:
        raise InvalidAddress("remove the user name and password: receivers check the signature instead")
    if parts.fragment is not None:
        raise InvalidAddress("remove the part after #: it is never sent")
    host = parts.host.strip("[]")
    return Target(parts.scheme, host, parts.port or PORTS[parts.scheme], parts.request_uri)


def resolve_target(target: Target, *, needs_encryption: bool = True) -> Sequence[str]:
    """Resolve the host name, and return the addresses to connect to.

    Raises InvalidAddress if there are none, if one of them is neither public nor allowed in the settings, or if a
    request that needs encryption would go through the internet without it.
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
                f"{target.host} has a private or local address; WEBHOOK_ALLOWED_NETWORKS can allow it"
            )
        if needs_encryption and not target.is_secure:
            raise InvalidAddress("use https: without it, others on the internet can read the messages")
    return addresses


def is_public(address: IpAddress) -> bool:
    """Return whether an address, and an IPv4 address embedded in it, belongs to the public internet."""
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
    # The operating system connects to 127.0.0.1 for ::ffff:127.0.0.1.
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _embedded_ipv4(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
