"""What staff see of the shop's customers, and the keys of those who send and ask."""

from . import api_keys, conflicts, customer, imports, privacy, refused, sources, suppressions

__all__ = ["api_keys", "conflicts", "customer", "imports", "privacy", "refused", "sources", "suppressions"]
