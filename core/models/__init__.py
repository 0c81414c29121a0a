"""The tables of the core: API keys, idempotent responses, named locks, installed declarations, and the shop."""

from .api_key import ApiKey
from .idempotent_response import IdempotentResponse
from .installed_declarations import InstalledRole, InstalledSchedule
from .named_lock import NamedLock
from .shop_profile import ShopProfile

__all__ = ["ApiKey", "IdempotentResponse", "InstalledRole", "InstalledSchedule", "NamedLock", "ShopProfile"]
