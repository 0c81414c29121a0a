"""Reach: how many members of a segment may be written to by e-mail, and how many are under the weekly cap."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings

from campaigns.channels.email import Email
from core.db import time_limits
from segments import insights
from segments.models import Segment

from .policy_queries import PolicyCustomers

SAMPLE_SIZE: Final = 20_000
PAGE_SIZE: Final = 5_000


@dataclass(frozen=True)
class Reach:
    """Each number is part of the one before. ``is_estimated`` if the last two come from a sample of the members."""

    people: int
    known: int
    reachable: int
    under_cap: int
    is_estimated: bool = False


def segment_reach(segment: Segment, at: datetime, *, seconds: float) -> Reach:
    """Count as the sending policy decides: consent, an address that is not suppressed, and the messages of a week.

    Customers who share an address are counted each. Raises StatementTimeout.
    """
    read = reachable = under_cap = 0
    ends = time.monotonic() + seconds
    for keys in _sampled_pages(segment):
        if time.monotonic() > ends:
            raise time_limits.StatementTimeout
        customers = PolicyCustomers(keys, [Email], at)
        read += len(keys)
        for row in customers.rows.values():
            if customers.is_reachable(row, Email):
                reachable += 1
                under_cap += customers.sent_this_week(row) < settings.CAMPAIGN_MESSAGES_A_WEEK
    is_estimated = segment.known_size > SAMPLE_SIZE and read > 0
    scale = segment.known_size / read if is_estimated else 1
    return Reach(
        segment.size,
        segment.known_size,
        round(reachable * scale),
        round(under_cap * scale),
        is_estimated,
    )


def _sampled_pages(segment: Segment) -> Iterator[list[int]]:
    """Yield the keys of the known members, or of some twenty thousand of them."""
    after = 0
    while True:
        members = insights.sampled_members(segment, one_in=max(1, segment.known_size // SAMPLE_SIZE))
        known = members.filter(is_known=True, customer_id__gt=after).order_by("customer_id")
        keys = list(known.values_list("customer_id", flat=True)[:PAGE_SIZE])
        if keys:
            yield keys
        if len(keys) < PAGE_SIZE:
            return
        after = keys[-1]
