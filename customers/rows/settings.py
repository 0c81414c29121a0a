"""The settings of the shop that parsing depends on."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from core.shop import shop


@dataclass(frozen=True)
class ShopSettings:
    zone: ZoneInfo
    currency: str


def shop_settings() -> ShopSettings:
    return ShopSettings(shop().zone, shop().currency)
