"""What staff see of segments, their members, their refreshes, and of webhooks."""

from . import customers, endpoints, refreshes, segment, verifications, webhook_messages

__all__ = ["customers", "endpoints", "refreshes", "segment", "verifications", "webhook_messages"]
