"""Positions in lists that are sorted by the instants of coming changes."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from customers.models import Customer
from segments.evaluation.upcoming import UpcomingChange
from segments.rules.population import from_microseconds, to_microseconds

FIRST = -(10**16)
NEVER = 10**17
"""The instant, in microseconds, of what has none: later than any. ``FIRST`` is earlier than any."""

_PLACE = re.compile(r"(after|before):(-?[0-9]{1,18}):([0-9]{1,18})")


@dataclass(frozen=True)
class Place:
    """A position next to a change: its instant and its customer's key."""

    forward: bool
    at: int
    key: int

    @classmethod
    def beside(cls, change: UpcomingChange, *, forward: bool) -> Self:
        return cls(forward, to_microseconds(change.at), change.key)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what ``str`` returned. Raises ValueError."""
        found = _PLACE.fullmatch(urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
        if found is None or not FIRST <= int(found[2]) <= NEVER:
            raise ValueError("not a cursor")
        return cls(found[1] == "after", int(found[2]), int(found[3]))

    def __str__(self) -> str:
        place = f"{'after' if self.forward else 'before'}:{self.at}:{self.key}"
        return urlsafe_b64encode(place.encode()).decode().rstrip("=")

    def index_in(self, changes: Sequence[UpcomingChange]) -> int:
        """Return how many changes are before the position. The change beside it may be gone."""
        named = Customer.objects.filter(pk=self.key).values_list("customer_id", flat=True).first()
        bisect = bisect_right if self.forward else bisect_left
        return bisect(
            changes, (from_microseconds(self.at), named or ""), key=lambda one: (one.at, one.customer_id)
        )


def link(request: Request, place: Place) -> str:
    """Return the URL of the page at a position."""
    return replace_query_param(request.build_absolute_uri(), "cursor", str(place))


def parse_place(request: Request) -> Place | None:
    """Return the requested position, or None. Raises ValidationError."""
    given = request.query_params.get("cursor")
    if not given:
        return None
    try:
        return Place.parse(given)
    except ValueError:
        message = "This cursor is not valid. Start again without a cursor."
        raise ValidationError({"cursor": message}) from None
