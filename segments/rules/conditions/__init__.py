"""The filters. Importing this package registers all of them."""

from . import ahead, behaviour, orders, profile, rfm, sampling, segments, spending

__all__ = ["ahead", "behaviour", "orders", "profile", "rfm", "sampling", "segments", "spending"]
