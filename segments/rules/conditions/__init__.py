"""The filters, a module a room; importing this package registers them all."""

from . import behaviour, orders, profile, rfm, segments, spending

__all__ = ["behaviour", "orders", "profile", "rfm", "segments", "spending"]
