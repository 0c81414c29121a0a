"""Whether a message may go out to a customer now: consent, orders, membership, the weekly cap, quiet hours.

Asked at the sending, of many messages in one query; a campaign's own policy is applied to the answers.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import (
    BooleanField,
    Case,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce

from customers.models import COUNTING_STATUSES, Customer, Order
from segments.models import Membership

from . import quiet_hours
from .channels.catalogue import CHANNELS
from .models import Campaign, Channel, Delivery, Journey, Step

WEEK: Final = timedelta(days=7)
CAPPED: Final = (Channel.EMAIL,)
KEPT_QUIET: Final = (Channel.EMAIL, Channel.WEBHOOK)  # who sees an on-site message is awake

STOPPED: Final = "The campaign was stopped."
TOO_LATE: Final = "It could not be sent in time."
ORDERED: Final = "They have ordered since it began."
LEFT: Final = "They have left the segment."
CAME_BACK: Final = "They have come back to the segment."
OVER_THE_CAP: Final = "They have had as many messages this week as anybody may get."
NOT_REACHED: Final = "They cannot be reached this way."
NO_CONSENT: Final = "They have no e-mail address, or have not subscribed to the newsletter."


@dataclass(frozen=True)
class Verdict:
    """Whether a message may go: held back for a reason, put off until an instant, or neither."""

    reason: str = ""
    not_before: datetime | None = None

    @property
    def may_go(self) -> bool:
        """Tell whether it may go now."""
        return not self.reason and self.not_before is None


def judge(deliveries: QuerySet[Delivery], at: datetime) -> dict[int, Verdict]:
    """Give for each of some messages, by key, whether it may go out at an instant."""
    journey = Journey.objects.filter(
        campaign=OuterRef("campaign"), customer=OuterRef("customer"), occasion=OuterRef("occasion")
    )
    rows = (
        deliveries.annotate(began_at=Coalesce(Subquery(journey.values("began_at")[:1]), F("planned_for")))
        .annotate(
            has_ordered=has_ordered("customer_id", "began_at", at),
            is_in=is_in("customer_id", "campaign__segment_id"),
            is_reached=Case(
                *(When(step__channel=name, then=_is_reached(name, "customer_id")) for name in CHANNELS),
                default=Value(False),
            ),
            **_about("customer__", "customer_id", at),
        )
        .values(
            *("pk", "planned_for", "campaign_id", "has_ordered", "is_in", *_ABOUT), channel=F("step__channel")
        )
    )
    campaigns = Campaign.objects.in_bulk({row["campaign_id"] for row in rows})
    return {row["pk"]: _of_message(row, campaigns[row["campaign_id"]], at) for row in rows}


def judge_newcomers(customers: QuerySet[Customer], step: Step, at: datetime) -> Counter[Verdict]:
    """Count what would become of a step's message, were it due for these customers at an instant."""
    rows = _asked(customers, step, at).order_by().values(*_ABOUT).annotate(customers=Count("pk"))
    counts: Counter[Verdict] = Counter()
    for row in rows:
        counts[_of_person(row, step.channel, step.campaign, at)] += row["customers"]
    return counts


def judge_each(customers: Iterable[Customer], step: Step, at: datetime) -> dict[int, Verdict]:
    """Give the same for each of some customers, by key."""
    some = Customer.objects.filter(pk__in=[customer.pk for customer in customers])
    rows = _asked(some, step, at).values("pk", *_ABOUT)
    return {row["pk"]: _of_person(row, step.channel, step.campaign, at) for row in rows}


def _asked(customers: QuerySet[Customer], step: Step, at: datetime) -> QuerySet[Customer]:
    return customers.annotate(is_reached=_is_reached(step.channel, "pk"), **_about("", "pk", at))


def has_ordered(customer: str, since: str, at: datetime) -> Exists:
    """Ask whether a customer has placed an order that counts since an instant, both named by their fields."""
    return Exists(
        Order.objects.filter(
            customer=OuterRef(customer),
            placed_at__gt=OuterRef(since),
            placed_at__lte=at,
            status__in=COUNTING_STATUSES,
        )
    )


def is_in(customer: str, segment: str) -> Combinable:
    """Ask whether a customer is a member; between a join and the next refresh the visitor's membership counts."""
    members = Membership.objects.filter(segment=OuterRef(segment))
    own = Q(Exists(members.filter(customer=OuterRef(customer))))
    visitors = Customer.objects.filter(joined_into=OuterRef(OuterRef(customer))).values("pk")
    joined = Q(Exists(members.filter(customer__in=visitors)))
    return ExpressionWrapper(own | joined, output_field=BooleanField())


def is_reached(channel: str, customer: str) -> Combinable:
    """Ask whether a channel reaches a customer, named by a field."""
    return _is_reached(channel, customer)


def expires_at(planned_for: datetime) -> datetime:
    """Give until when a message is worth sending, whatever kept it: a pause, quiet hours, an outage."""
    return planned_for + _valid_for()


def expired_before(at: datetime) -> datetime:
    """Give the instant whose messages are worth sending up to another."""
    return at - _valid_for()


def _valid_for() -> timedelta:
    return timedelta(hours=settings.CAMPAIGN_MESSAGES_VALID_FOR)


_ABOUT: Final = ("is_reached", "this_week", "country", *quiet_hours.ATTRIBUTES)


def _about(path: str, customer: str, at: datetime) -> dict[str, Any]:
    """What is asked of a customer, whatever the campaign."""
    lately = Delivery.objects.filter(
        customer=OuterRef(customer), sent_at__gt=at - WEEK, step__channel__in=CAPPED
    )
    counted = lately.order_by().values("customer").annotate(sent=Count("pk")).values("sent")
    about: dict[str, Any] = {
        name: KeyTextTransform(name, f"{path}attributes") for name in quiet_hours.ATTRIBUTES
    }
    if path:
        about["country"] = F(f"{path}country")
    return about | {"this_week": Coalesce(Subquery(counted), 0)}


def _is_reached(channel: str, customer: str) -> Combinable:
    if channel not in CHANNELS:
        return Value(False)
    return Exists(Customer.objects.filter(CHANNELS[channel]().reaches(), pk=OuterRef(customer)))


def _of_message(row: dict[str, Any], campaign: Campaign, at: datetime) -> Verdict:
    awaits_leaving = campaign.trigger == Campaign.Trigger.LEAVES
    if campaign.state == Campaign.State.STOPPED:
        return Verdict(STOPPED)
    if at > expires_at(row["planned_for"]):
        return Verdict(TOO_LATE)
    if campaign.ends_with_order and row["has_ordered"]:
        return Verdict(ORDERED)
    if campaign.is_only_for_members and row["is_in"] == awaits_leaving:
        return Verdict(CAME_BACK if awaits_leaving else LEFT)
    return _of_person(row, row["channel"], campaign, at)


def _of_person(row: dict[str, Any], channel: str, campaign: Campaign, at: datetime) -> Verdict:
    if not row["is_reached"]:
        return Verdict(NO_CONSENT if channel == Channel.EMAIL else NOT_REACHED)
    if channel in KEPT_QUIET and (end := _quiet_until(row, campaign, at)):
        return Verdict(not_before=end)
    if channel in CAPPED and row["this_week"] >= settings.CAMPAIGN_MESSAGES_A_WEEK:
        return Verdict(OVER_THE_CAP)
    return Verdict()


def _quiet_until(row: dict[str, Any], campaign: Campaign, at: datetime) -> datetime | None:
    if campaign.quiet_from is None:
        return None
    named = (row[name] for name in quiet_hours.ATTRIBUTES)
    zone = quiet_hours.zone_of(named, row["country"], at, ZoneInfo(settings.TIME_ZONE))
    return quiet_hours.ends_at(campaign.quiet_from, campaign.quiet_until, at, zone)
