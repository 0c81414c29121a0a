"""The settings of the shop that parsing depends on."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from django.conf import settings


@dataclass(frozen=True)
class ShopSettings:
    zone: ZoneInfo
    currency: str


def shop_settings() -> ShopSettings:
    return ShopSettings(ZoneInfo(settings.TIME_ZONE), settings.SHOP_CURRENCY)
