"""Newsletter consent, as the oracle understands docs/importing.md: it follows the newest statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from .oracle_shop import Person

NEVER, SUBSCRIBED, UNSUBSCRIBED = "never", "subscribed", "unsubscribed"


@dataclass
class Consent:
    """The times of the newest statements in files about one person."""

    never: datetime | None = None
    unsubscribed: datetime | None = None
    dated: datetime | None = None
    undated: datetime | None = None

    def state(self, newsletter: str, subscribed_at: datetime | None, at: datetime) -> None:
        """Add a statement that was received at an instant."""
        if newsletter == SUBSCRIBED and subscribed_at:
            self.dated = _newest(self.dated, min(subscribed_at, at))
        elif newsletter == SUBSCRIBED:
            self.undated = _newest(self.undated, at)
        elif newsletter == UNSUBSCRIBED:
            self.unsubscribed = _newest(self.unsubscribed, at)
        else:
            self.never = _newest(self.never, at)

    @property
    def newsletter(self) -> str:
        counted = [at for at in (self.dated, self.undated) if at and (self.never is None or at > self.never)]
        if self.unsubscribed and not any(at > self.unsubscribed for at in counted):
            return UNSUBSCRIBED
        return SUBSCRIBED if counted else NEVER


def statements(
    people: Iterable[Person], at: datetime
) -> Iterator[tuple[str, str, datetime | None, datetime]]:
    """Yield the statements of a file: who, the state, its date, and when it counts as received.

    Where a row changes what an earlier one of the same person says, it and those after it count as a microsecond later.
    """
    latest: dict[str, tuple[str, datetime | None]] = {}
    for person in people:
        key = str(person.customer_id)
        state, subscribed_at = latest.get(key, (person.newsletter, None))
        if state != person.newsletter:
            yield from ((one, *said, at) for one, said in latest.items())
            latest, at, subscribed_at = {}, at + timedelta(microseconds=1), None
        latest[key] = person.newsletter, person.subscribed_at or subscribed_at
    yield from ((one, *said, at) for one, said in latest.items())


def _newest(one: datetime | None, other: datetime) -> datetime:
    return max(one, other) if one else other
