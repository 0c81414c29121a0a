"""How many messages a minute a source may send."""

from datetime import datetime

from customers import limits
from customers.models import Source


def seconds_to_wait(source: Source, messages: int, at: datetime) -> int:
    """Count messages that come in; give 0, or the seconds until the source may send again."""
    return limits.seconds_to_wait(
        f"tracking:{source.digest[:16]}", source.messages_a_minute, at, count=messages
    )
