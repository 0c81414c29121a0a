"""How many messages a minute a source may send, and one client address by the key of a browser."""

from datetime import datetime
from typing import Final

from core import rate_limits
from core.http.client_ip import rate_limit_key
from customers.models import Source

BROWSER_LIMIT: Final = "browsers"
CHARACTERS_PER_MESSAGE: Final = 2_048
"""A long body by the key of a browser counts as so many messages as it has room for."""


def seconds_to_wait(source: Source, messages: int, characters: int, address: str | None, at: datetime) -> int:
    """Count messages that come in; return 0, or the seconds until more may be sent.

    Everybody can read the key of a browser: who sends too much by it is stopped by address, before it is counted
    against the source that all visitors share.
    """
    if source.is_browser:
        weight = max(messages, characters // CHARACTERS_PER_MESSAGE)
        who = f"{source.digest[:16]} {rate_limit_key(address)}"
        if wait := rate_limits.throttle_group(BROWSER_LIMIT, who, at, weight):
            return wait
    return rate_limits.throttle(
        f"tracking:{source.digest[:16]}", source.messages_a_minute, at, count=messages
    )
