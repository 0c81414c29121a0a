"""The admin pages of customers, imports, tracking sources, suppressions and privacy."""

from core.admin import api_keys

from . import (
    customer,
    identity_conflicts,
    imports,
    privacy,
    refused_messages,
    site_search,
    suppressions,
    tracking_sources,
)

__all__ = [
    "api_keys",
    "customer",
    "identity_conflicts",
    "imports",
    "privacy",
    "refused_messages",
    "site_search",
    "suppressions",
    "tracking_sources",
]
