"""How many customers can be written to: all, the known, those with consent, those under the frequency cap."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Count

from core.db import time_limits
from customers.models import Customer, CustomerQuerySet, Suppression
from segments.models import Membership, Segment

from .channels.email import Email
from .channels.registry import capped_keys
from .delivery.policy_queries import CAP_PERIOD
from .models import Delivery


@dataclass(frozen=True)
class Reach:
    """How many customers there are; of these are known; of these can get an e-mail; of these are under the cap.

    Customers with the same address are counted one by one, and each with their own messages.
    """

    customers: int
    known: int
    writable: int
    under_cap: int


def count_reach(at: datetime, seconds: float, segment: Segment | None = None) -> Reach:
    """Count the customers of the shop, or the members of a segment. Raises StatementTimeout."""
    everybody = Customer.objects.existing()
    if segment:
        members = Membership.objects.filter(segment=segment).values("customer_id")
        everybody = everybody.filter(pk__in=members)
    with time_limits.time_limit(seconds):
        can_get_email = writable(everybody)
        return Reach(
            everybody.count(),
            everybody.known().count(),
            can_get_email.count(),
            under_cap(can_get_email, at).count(),
        )


def writable(customers: CustomerQuerySet) -> CustomerQuerySet:
    """Return those who can get an e-mail: with an address that is not suppressed, and with consent."""
    suppressed = Suppression.objects.exclude(address=None).order_by().values_list("address", flat=True)
    return customers.filter(Email.reachable_q()).exclude(email_folded__one_of=list(suppressed))


def under_cap(customers: CustomerQuerySet, at: datetime) -> CustomerQuerySet:
    """Return those who can get another message this week."""
    return customers.exclude(pk__one_of=_capped_customers(at))


def _capped_customers(at: datetime) -> list[int]:
    sent = Delivery.objects.filter(sent_at__gt=at - CAP_PERIOD, step__channel__in=capped_keys()).order_by()
    reached = (
        sent.values("customer_id")
        .annotate(messages=Count("pk"))
        .filter(messages__gte=settings.CAMPAIGN_MESSAGES_A_WEEK)
    )
    return [row["customer_id"] for row in reached]
