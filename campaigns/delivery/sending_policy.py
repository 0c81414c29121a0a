"""Whether a message may be sent to a customer now: consent, orders, membership, the frequency cap, quiet hours.

The policy is evaluated at sending, for many messages in one query. ``policy_queries`` builds it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Count, QuerySet

from campaigns.channels.email import Email
from campaigns.channels.registry import find_channel
from campaigns.models import Campaign, Delivery, Step
from customers.models import Customer

from . import policy_queries, quiet_hours

STOPPED: Final = "The campaign was stopped."
TOO_LATE: Final = "It could not be sent in time."
ORDERED: Final = "The customer has ordered since the campaign started for them."
LEFT: Final = "The customer has left the segment."
CAME_BACK: Final = "The customer has come back to the segment."
CAP_REACHED: Final = "The customer has reached the weekly limit of messages."
UNREACHABLE: Final = "The customer cannot be reached through this channel."
SUPPRESSED: Final = "The customer's address is suppressed."
DUPLICATE_ADDRESS: Final = "Another customer with the same address gets the message."
NO_CONSENT: Final = Email.unreachable_reason()


@dataclass(frozen=True)
class Decision:
    """Whether a message may be sent: it is held back for a reason, postponed until an instant, or neither."""

    reason: str = ""
    not_before: datetime | None = None

    @property
    def may_send(self) -> bool:
        return not self.reason and self.not_before is None


def evaluate(deliveries: QuerySet[Delivery], at: datetime) -> dict[int, Decision]:
    """Return the decision for each delivery, by key."""
    rows = policy_queries.delivery_rows_queryset(deliveries, at)
    campaigns = Campaign.objects.in_bulk({row["campaign_id"] for row in rows})
    return {row["pk"]: _decide_for_delivery(row, campaigns[row["campaign_id"]], at) for row in rows}


def count_decisions(customers: QuerySet[Customer], step: Step, at: datetime) -> Counter[Decision]:
    """Count the decisions for these customers if a step's message were due at this instant."""
    rows = (
        policy_queries.annotate_customers(customers, step, at)
        .order_by()
        .values(*policy_queries.CUSTOMER_COLUMNS, "has_preferred")
        .annotate(customers=Count("pk"))
    )
    counts: Counter[Decision] = Counter()
    for row in rows:
        counts[_decide_for_customer(row, step, at)] += row["customers"]
    return counts


def evaluate_customers(
    customers: QuerySet[Customer], sample: Iterable[Customer], step: Step, at: datetime
) -> dict[int, Decision]:
    """Return the decision for each customer of ``sample``, by key; all of ``customers`` would get the message."""
    keys = [customer.pk for customer in sample]
    rows = (
        policy_queries.annotate_customers(customers, step, at)
        .filter(pk__in=keys)
        .order_by()
        .values("pk", *policy_queries.CUSTOMER_COLUMNS, "has_preferred")
    )
    return {row["pk"]: _decide_for_customer(row, step, at) for row in rows}


def expires_at(planned_for: datetime) -> datetime:
    """Return when a message expires. A pause, quiet hours or an outage can delay it until then."""
    return planned_for + _valid_for()


def expired_before(at: datetime) -> datetime:
    """Return the instant before which messages have expired at ``at``."""
    return at - _valid_for()


def _valid_for() -> timedelta:
    return timedelta(hours=settings.CAMPAIGN_MESSAGES_VALID_FOR)


# -- Decisions


def _decide_for_customer(row: dict[str, Any], step: Step, at: datetime) -> Decision:
    if row["is_reachable"] and row["has_preferred"]:
        return Decision(DUPLICATE_ADDRESS)
    return _decide_by_channel(row, step.channel, step.campaign, at)


def _is_duplicate(row: dict[str, Any], campaign: Campaign) -> bool:
    """Return whether another customer with the address gets or has got the message."""
    if row["has_preferred"] or row["has_same_occasion"]:
        return True
    if row["duplicate_planned_for"] is None or row["occasion"].startswith(policy_queries.DATE_PREFIX):
        return False
    reentry_after = campaign.reentry_after
    return reentry_after is None or row["duplicate_planned_for"] + reentry_after > row["planned_for"]


def _decide_for_delivery(row: dict[str, Any], campaign: Campaign, at: datetime) -> Decision:
    is_for_leavers = campaign.trigger == Campaign.Trigger.LEAVES
    if campaign.state == Campaign.State.STOPPED:
        return Decision(STOPPED)
    if at > expires_at(row["planned_for"]):
        return Decision(TOO_LATE)
    if campaign.ends_with_order and row["has_ordered"]:
        return Decision(ORDERED)
    if campaign.exit_when_not_member and row["is_member"] == is_for_leavers:
        return Decision(CAME_BACK if is_for_leavers else LEFT)
    if row["is_reachable"] and _is_duplicate(row, campaign):
        return Decision(DUPLICATE_ADDRESS)
    return _decide_by_channel(row, row["channel"], campaign, at)


def _decide_by_channel(row: dict[str, Any], key: str, campaign: Campaign, at: datetime) -> Decision:
    channel = find_channel(key)
    if channel is None:
        return Decision(UNREACHABLE)
    if channel.obeys_suppressions and row["is_suppressed"]:
        return Decision(SUPPRESSED)
    if not row["is_reachable"]:
        return Decision(channel.unreachable_reason())
    if channel.keeps_quiet_hours and (end := _quiet_until(row, campaign, at)):
        return Decision(not_before=end)
    if channel.counts_towards_cap and row["sent_this_week"] >= settings.CAMPAIGN_MESSAGES_A_WEEK:
        return Decision(CAP_REACHED)
    return Decision()


def _quiet_until(row: dict[str, Any], campaign: Campaign, at: datetime) -> datetime | None:
    if campaign.quiet_from is None:
        return None
    zone_names = (row[name] for name in quiet_hours.TIME_ZONE_ATTRIBUTES)
    zone = quiet_hours.customer_time_zone(zone_names, row["country"], at, ZoneInfo(settings.TIME_ZONE))
    return quiet_hours.quiet_until_utc(campaign.quiet_from, campaign.quiet_until, at, zone)
