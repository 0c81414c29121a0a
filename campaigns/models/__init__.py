"""The tables of campaigns. Each model names the modules that write it."""

from .audience import AudienceExport, AudienceMember
from .campaign import Campaign, Step
from .coupon import Coupon, CouponPool
from .delivery import ChannelHealth, Delivery
from .journey import Journey
from .product import BoughtTogether, SoldProduct

__all__ = [
    "AudienceExport",
    "AudienceMember",
    "BoughtTogether",
    "Campaign",
    "ChannelHealth",
    "Coupon",
    "CouponPool",
    "Delivery",
    "Journey",
    "SoldProduct",
    "Step",
]
