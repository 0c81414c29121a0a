"""What staff see of the shop's customers, and the keys of those who send and ask."""

from core.admin import api_keys

from . import customer, identity_conflicts, imports, privacy, refused_messages, suppressions, tracking_sources

__all__ = [
    "api_keys",
    "customer",
    "identity_conflicts",
    "imports",
    "privacy",
    "refused_messages",
    "suppressions",
    "tracking_sources",
]
