"""The shop: its name, currency, time zone, address, looks and sender.

The environment gives the defaults. Once staff have saved the settings of the shop, these count instead.
"""

import threading
import time
from dataclasses import dataclass
from email.headerregistry import Address
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone

from .models import ShopProfile
from .models.shop_profile import CURRENCY


@dataclass(frozen=True)
class Shop:
    """The shop. ``address`` and ``logo`` may be empty. ``sender`` is as in ``The Shop <news@shop.example>``."""

    name: str
    url: str
    address: str
    currency: str
    zone: ZoneInfo
    logo: str
    colour: str
    sender: str

    def __post_init__(self) -> None:
        if not CURRENCY.fullmatch(self.currency):  # it becomes part of statements
            raise ValueError(f"{self.currency!r} is not a currency code such as EUR")


SHARED_SECONDS: Final = 1.0
"""How long the requests of a process share what one of them has read."""


class _Cache(threading.local):
    """What the request or task of this thread uses: None if staff have saved nothing yet."""

    is_read = False
    stored: Shop | None = None


@dataclass
class _LastRead:
    """What this process has read last, and when by the monotonic clock."""

    stored: Shop | None = None
    at: float = -SHARED_SECONDS


_cache: Final = _Cache()
_last_read: Final = _LastRead()


def shop() -> Shop:
    """Return the shop. Each request and each task sees one shop throughout.

    A task reads it anew. Requests of other processes see a change within ``SHARED_SECONDS``.
    """
    if not _cache.is_read:
        if not 0 <= time.monotonic() - _last_read.at < SHARED_SECONDS:
            profile = ShopProfile.objects.first()
            _last_read.stored, _last_read.at = _from_profile(profile) if profile else None, time.monotonic()
        _cache.stored, _cache.is_read = _last_read.stored, True
    return _cache.stored or default_shop()


def default_shop() -> Shop:
    """Return the shop of the environment's settings."""
    return Shop(
        name=settings.SHOP_NAME,
        url=settings.SHOP_URL,
        address=settings.SHOP_ADDRESS,
        currency=settings.SHOP_CURRENCY,
        zone=ZoneInfo(settings.TIME_ZONE),
        logo=settings.SHOP_LOGO,
        colour=settings.SHOP_COLOUR,
        sender=settings.DEFAULT_FROM_EMAIL,
    )


def last_known_shop() -> Shop:
    """Return the shop without a query, for pages that must work while the database is away."""
    return (_cache.stored if _cache.is_read else _last_read.stored) or default_shop()


def forget_shop(**_: Any) -> None:
    """Read the shop from the database when it is next asked for. Can be connected to a signal."""
    leave_shop()
    _last_read.at = -SHARED_SECONDS


def leave_shop(**_: Any) -> None:
    """End the request or task of this thread: the next one may see another shop. Can be connected to a signal."""
    _cache.is_read, _cache.stored = False, None


def enter_shop_time(**_: Any) -> None:
    """Begin a request or task: print times in the shop's time zone from now on. Can be connected to a signal.

    While the database is away, the time zone is the last known.
    """
    leave_shop()
    try:
        zone = shop().zone
    except DatabaseError:
        zone = last_known_shop().zone
    timezone.activate(zone)


def _from_profile(profile: ShopProfile) -> Shop:
    return Shop(
        name=profile.name,
        url=profile.url,
        address=profile.address,
        currency=profile.currency,
        zone=ZoneInfo(profile.time_zone),
        logo=profile.logo,
        colour=profile.colour,
        sender=_sender(profile.sender_name, profile.sender_address),
    )


def _sender(name: str, address: str) -> str:
    # Quoted where commas or brackets would end the name; not encoded, which Django does.
    return str(Address(name, addr_spec=address)) if name else address
