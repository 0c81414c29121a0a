"""Whether a message may be sent to a customer now: consent, orders, membership, the frequency cap, quiet hours.

The policy is evaluated at sending, for many messages at once. ``policy_queries`` reads what it needs.
"""

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings

from campaigns.channels.base import Channel
from campaigns.channels.email import Email
from campaigns.channels.registry import find_channel
from campaigns.models import Campaign, Delivery, Step
from core.shop import shop

from . import policy_queries, quiet_hours
from .policy_queries import Duplicates, Endings, PolicyCustomers, Row, Stay

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


def evaluate(deliveries: Sequence[Delivery], at: datetime) -> dict[int, Decision]:
    """Return the decision for each delivery, by key. Those of customers who were just merged have none."""
    channels = _channels_of(delivery.step for delivery in deliveries)
    known = PolicyCustomers({delivery.customer_id for delivery in deliveries}, channels, at)
    deliveries = [delivery for delivery in deliveries if delivery.customer_id in known.rows]
    stays = policy_queries.stays_of_deliveries(deliveries)
    endings = policy_queries.Endings([*stays.values()], at)
    duplicates = policy_queries.find_duplicates(deliveries, known, at)
    # A merge may have moved what was read last, but not what was read first.
    merged = policy_queries.merged_among(known.rows)
    return {
        delivery.pk: _decide_for_delivery(
            delivery, stays[delivery.pk], known, endings, duplicates.get(delivery.pk), at
        )
        for delivery in deliveries
        if delivery.customer_id not in merged
    }


def gather_customers(customers: Collection[int], steps: Iterable[Step], at: datetime) -> PolicyCustomers:
    """Return what the policy needs to know about customers to decide about the messages of steps."""
    return PolicyCustomers(customers, _channels_of(steps), at)


def decide_for_customers(
    known: PolicyCustomers, customers: Collection[int], step: Step, at: datetime
) -> dict[int, Decision]:
    """Return the decision for each customer if a step's message were due at this instant.

    ``customers`` are those who would get the message. Decisions are made for those of them whom ``known`` was
    gathered for; the others of them share addresses with these.
    """
    return {
        key: _decide_for_customer(row, step, known, customers, at)
        for key, row in known.rows.items()
        if key in customers
    }


def expires_at(planned_for: datetime) -> datetime:
    """Return when a message expires. A pause, quiet hours or an outage can delay it until then."""
    return planned_for + _valid_for()


def expired_before(at: datetime) -> datetime:
    """Return the instant before which messages have expired at ``at``."""
    return at - _valid_for()


def _valid_for() -> timedelta:
    return timedelta(hours=settings.CAMPAIGN_MESSAGES_VALID_FOR)


# -- Decisions


def _channels_of(steps: Iterable[Step]) -> list[type[Channel]]:
    channels = map(find_channel, {step.channel for step in steps})
    return [channel for channel in channels if channel]


def _decide_for_customer(
    row: Row, step: Step, known: PolicyCustomers, audience: Container[int], at: datetime
) -> Decision:
    channel = find_channel(step.channel)
    if (
        channel
        and known.is_reachable(row, channel)
        and any(other in audience for other in known.preferred(row, channel))
    ):
        return Decision(DUPLICATE_ADDRESS)
    return _decide_by_channel(row, channel, step.campaign, known, at)


def _is_duplicate(delivery: Delivery, duplicates: Duplicates) -> bool:
    """Return whether another customer with the address gets or has got the message."""
    if duplicates.preferred or duplicates.same_occasion:
        return True
    latest = duplicates.latest_planned_for
    if latest is None or delivery.occasion.startswith(policy_queries.DATE_PREFIX):
        return False
    reentry_after = delivery.campaign.reentry_after
    return reentry_after is None or latest + reentry_after > delivery.planned_for


def _decide_for_delivery(
    delivery: Delivery,
    stay: Stay,
    known: PolicyCustomers,
    endings: Endings,
    duplicates: Duplicates | None,
    at: datetime,
) -> Decision:
    campaign, channel, row = (
        delivery.campaign,
        find_channel(delivery.step.channel),
        known.rows[delivery.customer_id],
    )
    if campaign.state == Campaign.State.STOPPED:
        return Decision(STOPPED)
    if at > expires_at(delivery.planned_for):
        return Decision(TOO_LATE)
    if endings.has_ordered(stay):
        return Decision(ORDERED)
    if endings.has_exited(stay):
        return Decision(exit_reason(campaign))
    if duplicates and channel and known.is_reachable(row, channel) and _is_duplicate(delivery, duplicates):
        return Decision(DUPLICATE_ADDRESS)
    return _decide_by_channel(row, channel, campaign, known, at)


def exit_reason(campaign: Campaign) -> str:
    return CAME_BACK if campaign.trigger == Campaign.Trigger.LEAVES else LEFT


def _decide_by_channel(
    row: Row, channel: type[Channel] | None, campaign: Campaign, known: PolicyCustomers, at: datetime
) -> Decision:
    if channel is None:
        return Decision(UNREACHABLE)
    if channel.obeys_suppressions and known.is_suppressed(row):
        return Decision(SUPPRESSED)
    if not known.is_reachable(row, channel):
        return Decision(channel.unreachable_reason())
    if channel.keeps_quiet_hours and campaign.quiet_from is not None:
        zone_names = tuple(row[name] for name in quiet_hours.TIME_ZONE_ATTRIBUTES)
        end = _quiet_until(
            campaign.quiet_from, campaign.quiet_until, zone_names, row["country"], shop().zone, at
        )
        if end:
            return Decision(not_before=end)
    if channel.counts_towards_cap and known.sent_this_week(row) >= settings.CAMPAIGN_MESSAGES_A_WEEK:
        return Decision(CAP_REACHED)
    return Decision()


@lru_cache(maxsize=10_000)
def _quiet_until(
    quiet_from: time,
    quiet_until: time | None,
    zone_names: tuple[str | None, ...],
    country: str,
    shop_zone: ZoneInfo,
    at: datetime,
) -> datetime | None:
    zone = quiet_hours.customer_time_zone(zone_names, country, at, shop_zone)
    return quiet_hours.quiet_until_utc(quiet_from, quiet_until, at, zone)
