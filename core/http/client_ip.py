"""The IP address of a client: for failed logins, the networks of API keys, and rate limits."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network

from django.conf import settings
from django.http import HttpRequest


def client_ip(request: HttpRequest) -> str | None:
    """Return the address that a request came from.

    Behind our proxy, this is the last one in ``X-Forwarded-For``. The proxy adds it; clients can make up the others.
    """
    given = request.META.get("REMOTE_ADDR", "")
    if settings.BEHIND_HTTPS_PROXY:
        given = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip() or given
    try:
        address = ip_address(given.partition("%")[0])  # without the zone of a link-local address
    except ValueError:
        return None
    # A server that listens on IPv6 sees IPv4 clients as ::ffff:192.0.2.1.
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def rate_limit_key(address: str | None) -> str:
    """Return what rate limits count by: an IPv4 address, or the /64 of an IPv6 address, which one subscriber owns."""
    if address is None or ":" not in address:
        return str(address)
    return str(ip_network((address, 64), strict=False))


def parse_network(text: str) -> str:
    """Parse a network such as ``192.0.2.0/24``, or a single address. Raises ValueError with what to change."""
    text = text.strip()
    try:
        given = ip_interface(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a network; write it as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7"
        ) from None
    if "/" in text and given.ip != given.network.network_address:
        raise ValueError(
            f"{text} is an address inside {given.network}; write {given.network} for the whole network"
        )
    return str(given.network)


def in_networks(address: str | None, networks: Iterable[str]) -> bool:
    """Return whether an address is in one of the networks. An unknown address is in none."""
    return address is not None and any(ip_address(address) in ip_network(network) for network in networks)
