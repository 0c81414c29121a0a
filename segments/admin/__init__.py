"""What staff see of segments, their members, their refreshes, and of webhooks."""

from . import customers, refreshes, segment, verifications, webhook_endpoints, webhook_messages

__all__ = ["customers", "refreshes", "segment", "verifications", "webhook_endpoints", "webhook_messages"]
