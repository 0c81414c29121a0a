"""Whether a message may go out to a customer now: consent, orders, membership, the weekly cap, quiet hours.

What an address gets is counted by the address, whoever has it.

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
    IntegerField,
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
from django.db.models.lookups import Exact

from customers import consent
from customers.models import COUNTING_STATUSES, Customer, Order, Suppression
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
SUPPRESSED: Final = "Their address is suppressed."
TWIN: Final = "Another customer with the same address gets it."
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
            **_of_twins(at),
        )
        .values(
            *("pk", "planned_for", "occasion", "campaign_id", "has_ordered", "is_in", *_ABOUT, *_OF_TWINS),
            channel=F("step__channel"),
        )
    )
    campaigns = Campaign.objects.in_bulk({row["campaign_id"] for row in rows})
    return {row["pk"]: _of_message(row, campaigns[row["campaign_id"]], at) for row in rows}


def judge_newcomers(customers: QuerySet[Customer], step: Step, at: datetime) -> Counter[Verdict]:
    """Count what would become of a step's message, were it due for these customers at an instant."""
    rows = (
        _asked(customers, step, at).order_by().values(*_ABOUT, "has_better").annotate(customers=Count("pk"))
    )
    counts: Counter[Verdict] = Counter()
    for row in rows:
        counts[_of_newcomer(row, step, at)] += row["customers"]
    return counts


def judge_each(
    customers: QuerySet[Customer], some: Iterable[Customer], step: Step, at: datetime
) -> dict[int, Verdict]:
    """Return the same for each of some of these customers, by key."""
    keys = [customer.pk for customer in some]
    rows = _asked(customers, step, at).filter(pk__in=keys).order_by().values("pk", *_ABOUT, "has_better")
    return {row["pk"]: _of_newcomer(row, step, at) for row in rows}


def _of_newcomer(row: dict[str, Any], step: Step, at: datetime) -> Verdict:
    if row["is_reached"] and row["has_better"]:
        return Verdict(TWIN)
    return _of_person(row, step.channel, step.campaign, at)


def _asked(customers: QuerySet[Customer], step: Step, at: datetime) -> QuerySet[Customer]:
    asked = customers.annotate(is_reached=_is_reached(step.channel, "pk"), **_about("", "pk", at))
    if step.channel not in CAPPED:
        return asked.annotate(has_better=Value(False))
    reached = Q(CHANNELS[step.channel]().reaches())
    better = Customer.objects.filter(
        reached, _is_better_than("email_is_trusted", "pk"), pk__in=customers.order_by().values("pk"),
        email_folded=OuterRef("email_folded"), joined_into=None,
    )  # fmt: skip
    return asked.annotate(has_better=Exists(better))


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


_ABOUT: Final = ("is_reached", "is_suppressed", "this_week", "country", *quiet_hours.ATTRIBUTES)
_OF_TWINS: Final = ("has_better", "has_same_occasion", "twin_planned_for")
_DATE: Final = "date:"


def _about(path: str, customer: str, at: datetime) -> dict[str, Any]:
    """What is asked of a customer, whatever the campaign."""
    address = f"{path}email_folded"
    lately = Delivery.objects.filter(
        customer__email_folded=OuterRef(address), sent_at__gt=at - WEEK, step__channel__in=CAPPED
    )
    counted = lately.order_by().values("customer__email_folded").annotate(sent=Count("pk")).values("sent")
    # Who has no address gets nothing that is capped; nobody counts what all of them got.
    this_week = Case(
        When(**{address: ""}, then=Value(0)),
        default=Coalesce(Subquery(counted), 0),
        output_field=IntegerField(),
    )
    suppressed = Suppression.objects.filter(address=OuterRef(address))
    about: dict[str, Any] = {
        name: KeyTextTransform(name, f"{path}attributes") for name in quiet_hours.ATTRIBUTES
    }
    if path:
        about["country"] = F(f"{path}country")
    return about | {"this_week": this_week, "is_suppressed": Exists(suppressed)}


def _of_twins(at: datetime) -> dict[str, Any]:
    """What is asked of the messages of others with the same address, from the same step of the campaign."""
    others = Delivery.objects.filter(
        ~Q(customer=OuterRef("customer")),
        campaign=OuterRef("campaign"),
        step=OuterRef("step"),
        step__channel__in=CAPPED,
        customer__email_folded=OuterRef("customer__email_folded"),
    ).exclude(customer__email_folded="")
    taken = others.filter(state__in=("sending", "sent", "written"))
    reached = Q(
        _is_better_than("customer__email_is_trusted", "customer_id", "customer__"),
        consent.unsuppressed_q("customer__"),
        customer__newsletter=Customer.Newsletter.SUBSCRIBED,
    )
    return {
        "has_better": Exists(others.filter(reached, state="planned", not_before__lte=at)),
        "has_same_occasion": Exists(taken.filter(occasion=OuterRef("occasion"))),
        "twin_planned_for": Subquery(
            taken.exclude(occasion__startswith=_DATE).order_by("-planned_for").values("planned_for")[:1]
        ),
    }


def _is_better_than(trusted: str, key: str, path: str = "") -> Q:
    """Ask for who comes before another with the same address: a trusted one, then the oldest."""
    return Q(**{f"{path}email_is_trusted": True}) & Q(
        Exact(OuterRef(trusted), False) | Q(**{f"{path}pk__lt": OuterRef(key)})
    ) | Q(**{f"{path}email_is_trusted": False, f"{path}pk__lt": OuterRef(key)}) & Q(
        Exact(OuterRef(trusted), False)
    )


def _is_twins(row: dict[str, Any], campaign: Campaign) -> bool:
    """Tell whether somebody else with the address gets the message, or has got it."""
    if row["has_better"] or row["has_same_occasion"]:
        return True
    if row["twin_planned_for"] is None or row["occasion"].startswith(_DATE):
        return False
    again = campaign.reentry_after
    return again is None or row["twin_planned_for"] + again > row["planned_for"]


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
    if row["is_reached"] and _is_twins(row, campaign):
        return Verdict(TWIN)
    return _of_person(row, row["channel"], campaign, at)


def _of_person(row: dict[str, Any], channel: str, campaign: Campaign, at: datetime) -> Verdict:
    if channel in CAPPED and row["is_suppressed"]:
        return Verdict(SUPPRESSED)
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
