"""The admin pages of segments, members, refreshes, verifications and webhooks."""

from . import (
    customers,
    refreshes,
    segment,
    site_search,
    verifications,
    webhook_endpoints,
    webhook_messages,
)

__all__ = [
    "customers",
    "refreshes",
    "segment",
    "site_search",
    "verifications",
    "webhook_endpoints",
    "webhook_messages",
]
