"""What staff see of segments, their members and their refreshes."""

from . import customers, refreshes, segment, verifications

__all__ = ["customers", "refreshes", "segment", "verifications"]
