"""Rate limits of messages: per source, and per client address with the key of a browser."""

from datetime import datetime
from typing import Final

from core import rate_limits
from core.http.client_ip import rate_limit_key
from customers.models import Source

BROWSER_LIMIT: Final = "browsers"
CHARACTERS_PER_MESSAGE: Final = 2_048
"""With the key of a browser, each so many characters of a body count as one message."""


def seconds_to_wait(source: Source, messages: int, characters: int, address: str | None, at: datetime) -> int:
    """Count messages; return 0, or the number of seconds until more may be sent.

    Anybody can read the key of a browser. Its messages are limited by address first, so that one client cannot use up
    the limit that all visitors of the source share.
    """
    if source.is_browser:
        weight = max(messages, characters // CHARACTERS_PER_MESSAGE)
        who = f"{source.digest[:16]} {rate_limit_key(address)}"
        if wait := rate_limits.throttle_group(BROWSER_LIMIT, who, at, weight):
            return wait
    return rate_limits.throttle(
        f"tracking:{source.digest[:16]}", source.messages_a_minute, at, count=messages
    )
