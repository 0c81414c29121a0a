"""The tables of the core: API keys, idempotent responses, named locks, and installed declarations."""

from .api_key import ApiKey
from .idempotent_response import IdempotentResponse
from .installed_declarations import InstalledRole, InstalledSchedule
from .named_lock import NamedLock

__all__ = ["ApiKey", "IdempotentResponse", "InstalledRole", "InstalledSchedule", "NamedLock"]
