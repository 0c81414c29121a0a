"""The filters. Importing this package registers all of them."""

from . import behaviour, orders, profile, rfm, sampling, segments, spending

__all__ = ["behaviour", "orders", "profile", "rfm", "sampling", "segments", "spending"]
