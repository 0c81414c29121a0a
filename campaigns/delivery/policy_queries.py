"""What the sending policy needs to know about customers and deliveries, read for a batch of customers.

Tables of customers are read by the customers' keys, apart from those of campaigns: they may be on other machines.

The frequency cap counts messages by e-mail address, and by customer for customers without one. Two customers with the
same address share a cap.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import BooleanField, Count, ExpressionWrapper, Max, Q, Value
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KeyTextTransform

from campaigns.channels.base import AddressColumns, Channel
from campaigns.channels.registry import capped_keys, find_channel
from campaigns.models import Campaign, Delivery, Journey
from customers.models import COUNTING_STATUSES, Customer, Order, Suppression
from segments.models import Membership

from . import quiet_hours

CAP_PERIOD: Final = timedelta(days=7)
DATE_PREFIX: Final = "date:"
"""The start of the occasion of a journey that a date has started."""

Row = Mapping[str, Any]
_CAP_ADDRESS: Final = "email_folded"


class PolicyCustomers:
    """Some customers, and the others who have the same addresses. Merged and erased customers are left out."""

    def __init__(self, keys: Collection[int], channels: Iterable[type[Channel]], at: datetime) -> None:
        self._channels = list(channels)
        self._columns = sorted({_CAP_ADDRESS} | {c.address.compared for c in self._channels if c.address})
        self.rows = self._read(Q(pk__one_of=keys))
        self.others = self._read_others()
        everybody = [*self.rows.values(), *self.others.values()]
        self._by_address: dict[str, dict[str, list[Row]]] = {column: {} for column in self._columns}
        for column, by_address in self._by_address.items():
            for row in everybody:
                if row[column]:
                    by_address.setdefault(row[column], []).append(row)
        self._suppressed = _suppressed_among(self._by_address[_CAP_ADDRESS])
        self._sent = _count_sent([row["pk"] for row in everybody], at)

    def _read(self, condition: Q) -> dict[int, Row]:
        trusted = {c.address.trusted for c in self._channels if c.address and c.address.trusted}
        rows = (
            Customer.objects.existing()
            .filter(condition)
            .order_by()
            .values(
                "pk",
                "country",
                *self._columns,
                *trusted,
                **{name: KeyTextTransform(name, "attributes") for name in quiet_hours.TIME_ZONE_ATTRIBUTES},
                **{_reaches(channel): _condition(channel.reachable_q()) for channel in self._channels},
            )
        )
        return {row["pk"]: row for row in rows}

    def _read_others(self) -> dict[int, Row]:
        shares = Q()
        for column in self._columns:
            if addresses := {row[column] for row in self.rows.values() if row[column]}:
                shares |= Q(**{f"{column}__one_of": addresses})
        return self._read(shares & ~Q(pk__one_of=self.rows)) if shares else {}

    def is_reachable(self, row: Row, channel: type[Channel]) -> bool:
        return row[_reaches(channel)] and not (channel.obeys_suppressions and self.is_suppressed(row))

    def is_suppressed(self, row: Row) -> bool:
        return row[_CAP_ADDRESS] in self._suppressed

    def sent_this_week(self, row: Row) -> int:
        """Return how many messages the customer got that count towards the cap."""
        if not row[_CAP_ADDRESS]:
            return self._sent[row["pk"]]
        return sum(self._sent[one["pk"]] for one in self._by_address[_CAP_ADDRESS][row[_CAP_ADDRESS]])

    def with_same_address(self, row: Row, address: AddressColumns | None) -> Iterator[Row]:
        """Yield the other customers to whom messages would go to the same address."""
        if address and row[address.compared]:
            for other in self._by_address[address.compared][row[address.compared]]:
                if other["pk"] != row["pk"]:
                    yield other

    def preferred(self, row: Row, channel: type[Channel]) -> Iterator[int]:
        """Yield the other customers who would get a message instead, by their keys."""
        for other in self.with_same_address(row, channel.address):
            assert channel.address
            if _has_precedence(other, row, channel.address) and self.is_reachable(other, channel):
                yield other["pk"]


def _reaches(channel: type[Channel]) -> str:
    return f"reaches_{channel.key}"


def _condition(condition: Q) -> Combinable:
    # Django compiles no condition without parts.
    return ExpressionWrapper(condition, output_field=BooleanField()) if condition else Value(True)


def _has_precedence(other: Row, row: Row, address: AddressColumns) -> bool:
    """Return whether a customer precedes another one with the same address: trusted ones do, then the oldest."""
    if address.trusted and other[address.trusted] != row[address.trusted]:
        return bool(other[address.trusted])
    return bool(other["pk"] < row["pk"])


def _count_sent(customers: Collection[int], at: datetime) -> Counter[int]:
    capped = Delivery.objects.filter(
        customer__one_of=customers, sent_at__gt=at - CAP_PERIOD, step__channel__in=capped_keys()
    )
    return Counter(dict(capped.order_by().values_list("customer").annotate(sent=Count("pk"))))


def reachable_customers(
    customers: Collection[int], channels: Iterable[type[Channel]]
) -> dict[str, frozenset[int]]:
    """Return which of the customers can be reached, by the key of the channel."""
    channels = list(channels)
    rows: list[Row] = list(
        Customer.objects.filter(pk__one_of=customers)
        .order_by()
        .values(
            "pk",
            _CAP_ADDRESS,
            **{_reaches(channel): _condition(channel.reachable_q()) for channel in channels},
        )
    )
    suppressed = _suppressed_among({row[_CAP_ADDRESS] for row in rows})
    return {
        channel.key: frozenset(
            row["pk"]
            for row in rows
            if row[_reaches(channel)] and not (channel.obeys_suppressions and row[_CAP_ADDRESS] in suppressed)
        )
        for channel in channels
    }


def _suppressed_among(addresses: Iterable[str]) -> frozenset[str]:
    found = Suppression.objects.filter(address__one_of=addresses).values_list("address", flat=True)
    return frozenset(address for address in found if address)


def merged_among(customers: Iterable[int]) -> set[int]:
    """Return which of the customers were merged into another one."""
    return set(
        Customer.objects.filter(pk__one_of=customers, merged_into__isnull=False)
        .order_by()
        .values_list("pk", flat=True)
    )


# -- Orders and memberships


def latest_orders(customers: Collection[int], since: datetime, at: datetime) -> dict[int, datetime]:
    """Return when customers placed their latest counting order in ``(since, at]``."""
    orders = Order.objects.filter(
        customer__one_of=customers, placed_at__gt=since, placed_at__lte=at, status__in=COUNTING_STATUSES
    )
    return dict(orders.order_by().values_list("customer").annotate(latest=Max("placed_at")))


def memberships(customers: Collection[int], segments: Collection[int]) -> set[tuple[int, int]]:
    """Return which of the customers are members of which of the segments.

    Between a merge and the next refresh, the membership of the merged visitor counts.
    """
    found = _stored_memberships(customers, segments)
    if len(found) == len(customers) * len(segments):
        return found
    merged = Customer.objects.filter(merged_into__one_of=customers).order_by()
    visitors: dict[int, Any] = dict(merged.values_list("pk", "merged_into"))
    if visitors:
        found |= {
            (visitors[visitor], segment)
            for visitor, segment in _stored_memberships(visitors.keys(), segments)
        }
    return found


def _stored_memberships(customers: Collection[int], segments: Collection[int]) -> set[tuple[int, int]]:
    stored = Membership.objects.filter(customer__one_of=customers, segment__in=segments)
    return set(stored.order_by().values_list("customer_id", "segment_id"))


@dataclass(frozen=True)
class Stay:
    """A customer's stay in a campaign since an instant, by the key of its journey or delivery."""

    key: int
    customer: int
    campaign: Campaign
    since: datetime


class Endings:
    """What has ended stays in campaigns: an order, or a change of membership."""

    def __init__(self, stays: Sequence[Stay], at: datetime) -> None:
        ordering = [stay for stay in stays if stay.campaign.ends_with_order]
        leaving = [stay for stay in stays if stay.campaign.exit_when_not_member]
        self._orders = (
            latest_orders({stay.customer for stay in ordering}, min(stay.since for stay in ordering), at)
            if ordering
            else {}
        )
        self._members = (
            memberships({stay.customer for stay in leaving}, {stay.campaign.segment_id for stay in leaving})
            if leaving
            else set()
        )

    def has_ordered(self, stay: Stay) -> bool:
        latest = self._orders.get(stay.customer)
        return stay.campaign.ends_with_order and latest is not None and latest > stay.since

    def has_exited(self, stay: Stay) -> bool:
        """Return whether the customer has left the segment, or come back in a campaign for those who left."""
        if not stay.campaign.exit_when_not_member:
            return False
        is_member = (stay.customer, stay.campaign.segment_id) in self._members
        return is_member == (stay.campaign.trigger == Campaign.Trigger.LEAVES)


def stays_of_deliveries(deliveries: Sequence[Delivery]) -> dict[int, Stay]:
    """Return since when the customers of deliveries are in the campaign, by delivery. Journeys say so."""
    ending = [delivery for delivery in deliveries if delivery.campaign.ends_with_order]
    journeys = Journey.objects.filter(
        customer__one_of={delivery.customer_id for delivery in ending},
        campaign__in={delivery.campaign_id for delivery in ending},
    )
    began: dict[tuple[int, int, str], datetime] = {}
    if ending:
        for *journey, began_at in journeys.values_list("campaign", "customer", "occasion", "began_at"):
            began[tuple(journey)] = began_at  # type: ignore[index]
    return {
        each.pk: Stay(
            each.pk,
            each.customer_id,
            each.campaign,
            began.get((each.campaign_id, each.customer_id, each.occasion), each.planned_for),
        )
        for each in deliveries
    }


# -- Duplicates


@dataclass(frozen=True)
class Duplicates:
    """The deliveries of the same step to the other customers with the same address."""

    preferred: bool = False
    """Another customer gets the message instead."""
    same_occasion: bool = False
    latest_planned_for: datetime | None = None
    """When the latest was due that is sent, other than for a date."""


def find_duplicates(
    deliveries: Sequence[Delivery], known: PolicyCustomers, at: datetime
) -> dict[int, Duplicates]:
    """Return the duplicates of deliveries by key; those without any are left out."""
    sharing: dict[int, list[Row]] = {}
    for delivery in deliveries:
        channel, row = _channel_of(delivery), known.rows.get(delivery.customer_id)
        if channel and row and (others := list(known.with_same_address(row, channel.address))):
            sharing[delivery.pk] = others
    if not sharing:
        return {}
    sent_or_waiting = Delivery.objects.filter(
        customer__one_of={row["pk"] for others in sharing.values() for row in others},
        step__in={delivery.step_id for delivery in deliveries if delivery.pk in sharing},
        state__in=("planned", "sending", "sent", "written"),
    )
    theirs: dict[tuple[int, int], list[Delivery]] = defaultdict(list)
    for one in sent_or_waiting:
        theirs[one.step_id, one.customer_id].append(one)
    found: dict[int, Duplicates] = {}
    for delivery in deliveries:
        if delivery.pk in sharing:
            same_step = [
                one for row in sharing[delivery.pk] for one in theirs.get((delivery.step_id, row["pk"]), ())
            ]
            if same_step:
                found[delivery.pk] = _duplicates_among(same_step, delivery, known, at)
    return found


def _duplicates_among(
    same_step: Sequence[Delivery], delivery: Delivery, known: PolicyCustomers, at: datetime
) -> Duplicates:
    channel = _channel_of(delivery)
    assert channel
    preferred = set(known.preferred(known.rows[delivery.customer_id], channel))
    sent = [one for one in same_step if one.state != Delivery.State.PLANNED]
    undated = [one.planned_for for one in sent if not one.occasion.startswith(DATE_PREFIX)]
    return Duplicates(
        preferred=any(
            one.state == Delivery.State.PLANNED and one.not_before <= at and one.customer_id in preferred
            for one in same_step
        ),
        same_occasion=any(one.occasion == delivery.occasion for one in sent),
        latest_planned_for=max(undated, default=None),
    )


def _channel_of(delivery: Delivery) -> type[Channel] | None:
    return find_channel(delivery.step.channel)
