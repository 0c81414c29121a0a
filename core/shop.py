"""The shop: its name, currency, time zone, address, looks and sender.

The environment gives the defaults. Once staff have saved the settings of the shop, these count instead.
"""

import threading
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


class _Cache(threading.local):
    """What this thread has read, until its next request or task begins: None if staff have saved nothing yet."""

    is_read = False
    stored: Shop | None = None


_cache: Final = _Cache()
_last_stored: Shop | None = None


def shop() -> Shop:
    """Return the shop. It is read once for each request and each task, so each of them sees one shop throughout."""
    global _last_stored
    if not _cache.is_read:
        profile = ShopProfile.objects.first()
        _cache.stored = _last_stored = _from_profile(profile) if profile else None
        _cache.is_read = True
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
    return (_cache.stored if _cache.is_read else _last_stored) or default_shop()


def forget_shop(**_: Any) -> None:
    """Read the shop anew when it is next asked for. Can be connected to a signal."""
    _cache.is_read, _cache.stored = False, None


def enter_shop_time(**_: Any) -> None:
    """Read the shop anew, and print times in its time zone from now on. Can be connected to a signal.

    While the database is away, the time zone is the last known.
    """
    forget_shop()
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
