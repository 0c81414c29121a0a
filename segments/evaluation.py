"""Whom a rule matches at an instant, changing nothing."""

from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import QuerySet

from customers import facts
from customers.models import Customer

from .rules import AsOf, Figures, Rule


def as_of(at: datetime | None = None, figures: Figures | None = None) -> AsOf:
    """Open the shop at an instant, by default now: facts that hold then, and figures, computed when asked for.

    Facts waiting in the queue are settled before, so that the answer includes every record.
    """
    now = datetime.now(UTC)
    facts.settle(now if at is None else min(at, now))
    if at is None:
        at = latest(now)
    return AsOf(at, zone(), facts.relation_at(at), Figures() if figures is None else figures)


def from_records(at: datetime, figures: Figures) -> AsOf:
    """Open the shop at an instant from the records alone, whatever facts are stored."""
    return AsOf(at, zone(), facts.recompute_at(at), figures)


def latest(now: datetime) -> datetime:
    """Give the instant that is now: the clock's, unless the facts stand for a later one."""
    return max(now, facts.settled_at() or now)


def matching(rule: Rule, shop: AsOf) -> QuerySet[Customer]:
    """Give the customers a rule matches, each once, unordered."""
    return Customer.objects.filter(shop.existing_q()).filter(rule.q(shop)).order_by()


def everybody(shop: AsOf) -> QuerySet[Customer]:
    """Give the customers who had been seen."""
    return Customer.objects.filter(shop.existing_q()).order_by()


def zone() -> ZoneInfo:
    """Give the shop's time zone."""
    return ZoneInfo(settings.TIME_ZONE)


def printed_ids(customers: QuerySet[Customer]) -> Iterable[str]:
    """Give the printed ids in their order."""
    return customers.order_by("customer_id").values_list("customer_id", flat=True)
