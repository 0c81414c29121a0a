"""From which address a request comes: one answer for failed logins, for the networks of keys and for limits."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_interface, ip_network

from django.conf import settings
from django.http import HttpRequest


def client_ip(request: HttpRequest) -> str | None:
    """Give the address the request came from.

    Behind our proxy that is the one which the proxy itself has put last: those before it anybody could have sent.
    """
    given = request.META.get("REMOTE_ADDR", "")
    if settings.BEHIND_HTTPS_PROXY:
        given = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip() or given
    try:
        address = ip_address(given.partition("%")[0])  # without the zone of a local one
    except ValueError:
        return None
    # A server that listens on IPv6 sees clients of IPv4 as ::ffff:192.0.2.1, which is the same address.
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def rate_limit_key(address: str | None) -> str:
    """Name whom an address stands for when something is counted: of IPv6 its /64, all of which one subscriber has."""
    if address is None or ":" not in address:
        return str(address)
    return str(ip_network((address, 64), strict=False))


def parse_network(text: str) -> str:
    """Read a network, such as ``192.0.2.0/24``, or a single address; raises ValueError that says what to change."""
    text = text.strip()
    try:
        given = ip_interface(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no network; write it as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7"
        ) from None
    if "/" in text and given.ip != given.network.network_address:
        raise ValueError(f"{text} lies inside of {given.network}; write that for the whole network")
    return str(given.network)


def in_networks(address: str | None, networks: Iterable[str]) -> bool:
    """Tell whether an address lies in one of the networks; one that is not known lies in none."""
    return address is not None and any(ip_address(address) in ip_network(network) for network in networks)
