"""What reading rows needs to know of the shop."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings


@dataclass(frozen=True)
class ShopSettings:
    """What reading needs to know of the shop."""

    zone: ZoneInfo
    currency: str


def shop_settings() -> ShopSettings:
    """Give the shop as the settings describe it."""
    return ShopSettings(ZoneInfo(settings.TIME_ZONE), settings.SHOP_CURRENCY)
