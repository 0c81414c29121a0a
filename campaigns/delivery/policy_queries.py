"""Queries of the sending policy: what it needs to know about deliveries and customers.

The frequency cap counts messages by e-mail address, and by customer for customers without one. Two customers with the
same address share a cap.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, Final

from django.db.models import (
    BooleanField,
    Case,
    Count,
    DateTimeField,
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

from campaigns.channels.base import AddressColumns, Channel
from campaigns.channels.registry import capped_keys, find_channel, sending_channels
from campaigns.models import Delivery, Journey, Step
from customers.models import COUNTING_STATUSES, Customer, Order, Suppression
from segments.models import Membership

from . import quiet_hours

CAP_PERIOD: Final = timedelta(days=7)
DATE_PREFIX: Final = "date:"
"""The start of the occasion of a journey that a date has started."""

CUSTOMER_COLUMNS: Final = (
    "is_reachable",
    "is_suppressed",
    "sent_this_week",
    "country",
    *quiet_hours.TIME_ZONE_ATTRIBUTES,
)
_DUPLICATE_COLUMNS: Final = ("has_preferred", "has_same_occasion", "duplicate_planned_for")


def delivery_rows_queryset(
    deliveries: QuerySet[Delivery], at: datetime
) -> QuerySet[Delivery, dict[str, Any]]:
    """Return a row for each delivery with everything that decides whether it may be sent at ``at``."""
    journey = Journey.objects.filter(
        campaign=OuterRef("campaign"), customer=OuterRef("customer"), occasion=OuterRef("occasion")
    )
    rows: QuerySet[Delivery, dict[str, Any]] = (
        deliveries.annotate(began_at=Coalesce(Subquery(journey.values("began_at")[:1]), F("planned_for")))
        .annotate(
            has_ordered=has_ordered_q("customer_id", "began_at", at),
            is_member=is_member_q("customer_id", "campaign__segment_id"),
            is_reachable=Case(
                *(
                    When(step__channel=channel.key, then=is_reachable_q(channel.key, "customer_id"))
                    for channel in sending_channels()
                ),
                default=Value(False),
            ),
            **_customer_annotations("customer__", "customer_id", at),
            **_duplicate_annotations(at),
        )
        .values(
            *(
                "pk",
                "planned_for",
                "occasion",
                "campaign_id",
                "has_ordered",
                "is_member",
                *CUSTOMER_COLUMNS,
                *_DUPLICATE_COLUMNS,
            ),
            channel=F("step__channel"),
        )
    )
    return rows


def annotate_customers(customers: QuerySet[Customer], step: Step, at: datetime) -> QuerySet[Customer]:
    """Add what decides whether a step's message to these customers may be sent at ``at``."""
    annotated = customers.annotate(
        is_reachable=is_reachable_q(step.channel, "pk"), **_customer_annotations("", "pk", at)
    )
    channel = find_channel(step.channel)
    if channel is None or channel.address is None:
        return annotated.annotate(has_preferred=Value(False))
    compared = channel.address.compared
    preferred = Customer.objects.filter(
        channel.reachable_q(), _has_precedence_q(channel.address, "pk"), pk__in=customers.order_by().values("pk"),
        **{compared: OuterRef(compared)}, merged_into=None,
    )  # fmt: skip
    return annotated.annotate(has_preferred=Exists(preferred))


def has_ordered_q(customer: str, since: str, at: datetime) -> Exists:
    """Match rows whose customer has placed a counting order since an instant; both arguments name fields."""
    return Exists(
        Order.objects.filter(
            customer=OuterRef(customer),
            placed_at__gt=OuterRef(since),
            placed_at__lte=at,
            status__in=COUNTING_STATUSES,
        )
    )


def is_member_q(customer: str, segment: str) -> Combinable:
    """Match rows whose customer is a member.

    Between a merge and the next refresh, the membership of the merged visitor counts.
    """
    members = Membership.objects.filter(segment=OuterRef(segment))
    own = Q(Exists(members.filter(customer=OuterRef(customer))))
    visitors = Customer.objects.filter(merged_into=OuterRef(OuterRef(customer))).values("pk")
    merged = Q(Exists(members.filter(customer__in=visitors)))
    return ExpressionWrapper(own | merged, output_field=BooleanField())


def is_reachable_q(channel: str, customer: str) -> Combinable:
    """Match rows whose customer can be reached through a channel; ``customer`` names a field."""
    channel_class = find_channel(channel)
    if channel_class is None:
        return Value(False)
    return Exists(Customer.objects.filter(channel_class.reachable_q(), pk=OuterRef(customer)))


def _customer_annotations(path: str, customer: str, at: datetime) -> dict[str, Any]:
    """Return the annotations that every campaign needs of a customer."""
    address = f"{path}email_folded"
    capped = Delivery.objects.filter(sent_at__gt=at - CAP_PERIOD, step__channel__in=capped_keys()).order_by()
    to_address = capped.filter(customer__email_folded=OuterRef(address)).values("customer__email_folded")
    # Customers without an e-mail address share no count.
    to_customer = capped.filter(customer=OuterRef(customer)).values("customer")
    sent_this_week = Case(
        When(**{address: ""}, then=_count_sent(to_customer)),
        default=_count_sent(to_address),
        output_field=IntegerField(),
    )
    suppressed = Suppression.objects.filter(address=OuterRef(address))
    annotations: dict[str, Any] = {
        name: KeyTextTransform(name, f"{path}attributes") for name in quiet_hours.TIME_ZONE_ATTRIBUTES
    }
    if path:
        annotations["country"] = F(f"{path}country")
    return annotations | {"sent_this_week": sent_this_week, "is_suppressed": Exists(suppressed)}


def _count_sent(messages: QuerySet[Delivery, Any]) -> Coalesce:
    return Coalesce(Subquery(messages.annotate(sent=Count("pk")).values("sent")), 0)


def _duplicate_annotations(at: datetime) -> dict[str, Any]:
    """Return the annotations about deliveries of the same step to other customers with the same address."""
    by_channel = [
        _duplicates_in_channel(channel, channel.address, at)
        for channel in sending_channels()
        if channel.address
    ]
    if not by_channel:
        return {
            "has_preferred": Value(False),
            "has_same_occasion": Value(False),
            "duplicate_planned_for": Value(None, output_field=DateTimeField()),
        }
    preferred, same_occasion, planned_for = zip(*by_channel, strict=True)
    return {
        "has_preferred": _any_q(preferred),
        "has_same_occasion": _any_q(same_occasion),
        # A step has one channel, so at most one of them is not null.
        "duplicate_planned_for": Coalesce(*planned_for) if len(planned_for) > 1 else planned_for[0],
    }


def _duplicates_in_channel(
    channel: type[Channel], address: AddressColumns, at: datetime
) -> tuple[Exists, Exists, Subquery]:
    compared = f"customer__{address.compared}"
    others = Delivery.objects.filter(
        ~Q(customer=OuterRef("customer")),
        campaign=OuterRef("campaign"),
        step=OuterRef("step"),
        step__channel=channel.key,
        **{compared: OuterRef(compared)},
    ).exclude(**{compared: ""})
    sent = others.filter(state__in=("sending", "sent", "written"))
    preferred = _has_precedence_q(address, "customer_id", "customer__") & channel.reachable_q("customer__")
    return (
        Exists(others.filter(preferred, state="planned", not_before__lte=at)),
        Exists(sent.filter(occasion=OuterRef("occasion"))),
        Subquery(
            sent.exclude(occasion__startswith=DATE_PREFIX).order_by("-planned_for").values("planned_for")[:1]
        ),
    )


def _any_q(conditions: Sequence[Exists]) -> Combinable:
    return ExpressionWrapper(reduce(or_, map(Q, conditions)), output_field=BooleanField())


def _has_precedence_q(address: AddressColumns, key: str, path: str = "") -> Q:
    """Match customers who take precedence among those with the same address: trusted ones, then the oldest."""
    is_older = Q(**{f"{path}pk__lt": OuterRef(key)})
    if not address.trusted:
        return is_older
    trusted = f"{path}{address.trusted}"
    other_is_untrusted = Exact(OuterRef(trusted), False)
    return Q(**{trusted: True}) & Q(other_is_untrusted | is_older) | (
        Q(**{trusted: False}) & is_older & Q(other_is_untrusted)
    )
