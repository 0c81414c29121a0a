"""Reach: how many customers may be written to by e-mail, and how many are under the weekly cap."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db.models import Count

from campaigns.channels.email import Email
from campaigns.channels.registry import capped_keys
from campaigns.models import Delivery
from core.db import time_limits
from customers.models import Customer, CustomerQuerySet, Suppression
from segments import insights
from segments.models import Segment

from .policy_queries import CAP_PERIOD, PolicyCustomers

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
    one_in = max(1, segment.known_size // SAMPLE_SIZE)
    for keys in _sampled_pages(segment, one_in):
        if time.monotonic() > ends:
            raise time_limits.StatementTimeout
        customers = PolicyCustomers(keys, [Email], at)
        read += len(keys)
        for row in customers.rows.values():
            if customers.is_reachable(row, Email):
                reachable += 1
                under_cap += customers.sent_this_week(row) < settings.CAMPAIGN_MESSAGES_A_WEEK
    is_estimated = one_in > 1 and read > 0
    scale = segment.known_size / read if is_estimated else 1
    return Reach(
        segment.size,
        segment.known_size,
        round(reachable * scale),
        round(under_cap * scale),
        is_estimated,
    )


def shop_reach(at: datetime, seconds: float) -> Reach:
    """Count all customers, each with their own messages of a week. Raises StatementTimeout."""
    everybody = Customer.objects.existing()
    with time_limits.time_limit(seconds):
        reachable = reachable_queryset()
        return Reach(
            everybody.count(),
            everybody.known().count(),
            reachable.count(),
            under_cap_queryset(at).count(),
        )


def reachable_queryset() -> CustomerQuerySet:
    """Return the customers who may be written to: with consent, and an address that is not suppressed."""
    suppressed = Suppression.objects.exclude(address=None).order_by().values_list("address", flat=True)
    return (
        Customer.objects.existing().filter(Email.reachable_q()).exclude(email_folded__one_of=list(suppressed))
    )


def under_cap_queryset(at: datetime) -> CustomerQuerySet:
    """Return those of them who can get another message this week."""
    sent = Delivery.objects.filter(sent_at__gt=at - CAP_PERIOD, step__channel__in=capped_keys()).order_by()
    reached = (
        sent.values("customer_id")
        .annotate(messages=Count("pk"))
        .filter(messages__gte=settings.CAMPAIGN_MESSAGES_A_WEEK)
    )
    return reachable_queryset().exclude(pk__one_of=[row["customer_id"] for row in reached])


def _sampled_pages(segment: Segment, one_in: int) -> Iterator[list[int]]:
    """Yield the keys of the known members, or of a sample of them."""
    after = 0
    while True:
        members = insights.sampled_members(segment, one_in=one_in)
        known = members.filter(is_known=True, customer_id__gt=after).order_by("customer_id")
        keys = list(known.values_list("customer_id", flat=True)[:PAGE_SIZE])
        if keys:
            yield keys
        if len(keys) < PAGE_SIZE:
            return
        after = keys[-1]
