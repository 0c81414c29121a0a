"""How many messages a minute a source may send: counted in Redis, and not at all where it is away."""

from datetime import datetime

from customers import volatile
from customers.models import Source

KEPT_FOR = 120  # seconds


def seconds_to_wait(source: Source, messages: int, at: datetime) -> int:
    """Count messages that come in; give 0, or the seconds until the source may send again."""
    minute = int(at.timestamp()) // 60
    counter = f"tracking:{source.digest[:16]}:{minute}"

    def count(client: volatile.Client) -> int:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.incrby(counter, messages)
            pipeline.expire(counter, KEPT_FOR)
            return int(pipeline.execute()[0])

    so_far = volatile.ask(count)
    # What finds room at its beginning is taken whole, however low the limit.
    if so_far is None or so_far - messages < source.messages_a_minute:
        return 0
    return 60 - int(at.timestamp()) % 60
