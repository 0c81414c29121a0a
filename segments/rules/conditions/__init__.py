"""The filters, a module a room; importing this package registers them all."""

from . import behaviour, orders, population, profile, segments, spending

__all__ = ["behaviour", "orders", "population", "profile", "segments", "spending"]
