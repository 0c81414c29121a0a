"""The tables of the core: API keys, idempotent responses, named locks, dismissed hints, the shop."""

from .api_key import ApiKey
from .dismissal import Dismissal
from .idempotent_response import IdempotentResponse
from .installed_declarations import InstalledRole, InstalledSchedule
from .named_lock import NamedLock
from .shop_profile import ShopProfile

__all__ = [
    "ApiKey",
    "Dismissal",
    "IdempotentResponse",
    "InstalledRole",
    "InstalledSchedule",
    "NamedLock",
    "ShopProfile",
]
