"""What staff see of the shop's customers, and the keys of API clients."""

from . import api_keys, customer, imports, privacy

__all__ = ["api_keys", "customer", "imports", "privacy"]
