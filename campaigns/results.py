"""The results of a campaign: its messages, clicks, and the orders credited to it.

An order is credited to the latest message, of any campaign, that reached its customer at most ``CAMPAIGN_CREDIT_DAYS``
before it. Only counting orders are credited, and their revenue is their total minus refunds. A message reaches a
customer when it is sent; an on-site message when it is first shown.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db.models import Case, Count, Exists, F, OuterRef, Q, QuerySet, Sum, Value, When
from django.db.models.functions import TruncDate

from core.values.decimals import from_units
from customers.models import COUNTING_STATUSES
from segments.evaluation.context import shop_zone

from .channels.registry import CHANNELS
from .models.campaign import Campaign, Step
from .models.delivery import Delivery

State = Delivery.State
Row = Mapping[str, Any]
_VALUE: Final = F("customer__orders__total") - F("customer__orders__refunded_total")


@dataclass(frozen=True)
class ResultTotals:
    """Counts of messages and credited orders, and their revenue.

    ``shown`` counts only on-site messages. ``clicked`` counts messages, not clicks.
    """

    sent: int = 0
    shown: int = 0
    clicked: int = 0
    ordered: int = 0
    revenue: Decimal = Decimal(0)


@dataclass(frozen=True)
class StepResults(ResultTotals):
    number: int = 0
    channel: str = ""
    subject: str = ""


@dataclass(frozen=True)
class DayResults:
    """One day in the shop's time zone: messages sent and first clicked, orders placed."""

    day: date
    sent: int
    clicked: int
    ordered: int
    revenue: Decimal


@dataclass(frozen=True)
class Results(ResultTotals):
    """The results of a campaign. ``waiting`` messages are planned or being sent, ``days`` skips days without results.

    ``written`` messages went to a file instead of customers and have no results.
    """

    waiting: int = 0
    written: int = 0
    failed: int = 0
    held_back: Mapping[str, int] = field(default_factory=dict)
    steps: Sequence[StepResults] = ()
    days: Sequence[DayResults] = ()


def campaign_results(campaign: Campaign, at: datetime) -> Results:
    """Return the results of a campaign until ``at``, in five queries."""
    steps = list(campaign.steps.all())
    messages = _messages(campaign)
    orders = _orders(campaign, at)
    held_back = [row for row in messages if row["state"] == State.HELD_BACK]
    return Results(
        **_totals(messages, orders),
        waiting=_count(messages, State.PLANNED, State.SENDING),
        written=_count(messages, State.WRITTEN),
        failed=_count(messages, State.FAILED),
        held_back={
            reason: _count([row for row in held_back if row["held_back_reason"] == reason], State.HELD_BACK)
            for reason in sorted({row["held_back_reason"] for row in held_back})
        },
        steps=[_step_results(step, messages, orders) for step in steps],
        days=_day_results(campaign, orders, at),
    )


def revenue_by_campaign(campaigns: Collection[int], at: datetime) -> dict[int, Decimal]:
    """Return the revenue of campaigns by key, in one query. Campaigns without orders are missing."""
    rows = _credited_orders_queryset(campaigns, at).values("campaign").annotate(units=Sum(_VALUE)).order_by()
    return {row["campaign"]: _revenue([row]) for row in rows}


def _messages(campaign: Campaign) -> list[Row]:
    # Only the reasons for holding back are few.
    held_back_reason = Case(When(state=State.HELD_BACK, then=F("reason")), default=Value(""))
    grouped = Delivery.objects.filter(campaign=campaign).values(
        "step", "state", held_back_reason=held_back_reason
    )
    return list(
        grouped.annotate(
            messages=Count("pk"), shown=Count("shown_at"), clicked=Count("clicked_at")
        ).order_by()
    )


def _orders(campaign: Campaign, at: datetime) -> list[Row]:
    by_day = _credited_orders_queryset([campaign.pk], at).values(
        "step", day=TruncDate("placed_at", tzinfo=shop_zone())
    )
    return list(by_day.annotate(orders=Count("pk"), units=Sum(_VALUE)).order_by())


def _credited_orders_queryset(campaigns: Collection[int], at: datetime) -> QuerySet[Any]:
    """Return the messages of campaigns, once for each credited order, annotated with its ``placed_at``."""
    sent = Delivery.objects.filter(state=State.SENT).annotate(
        reached=Case(
            *(
                When(step__channel=channel.key, then=channel.reached_at)
                for channel in CHANNELS.values()
                if channel.reached_at != "sent_at"
            ),
            default="sent_at",
        )
    )
    # One condition after another on the same order.
    credited = sent.filter(
        campaign__in=campaigns,
        customer__orders__placed_at__gte=F("reached"),
        customer__orders__placed_at__lte=F("reached") + timedelta(days=settings.CAMPAIGN_CREDIT_DAYS),
        customer__orders__status__in=COUNTING_STATUSES,
    ).annotate(placed_at=F("customer__orders__placed_at"))
    later = sent.filter(
        Q(reached__gt=OuterRef("reached")) | Q(reached=OuterRef("reached"), pk__gt=OuterRef("pk")),
        customer=OuterRef("customer"),
        sent_at__lte=OuterRef("placed_at"),  # nothing is shown before it is sent, and this has an index
        reached__lte=OuterRef("placed_at"),
    )
    return credited.filter(~Exists(later), placed_at__lte=at)


def _step_results(step: Step, messages: Sequence[Row], orders: Sequence[Row]) -> StepResults:
    of_step = [[row for row in rows if row["step"] == step.pk] for rows in (messages, orders)]
    return StepResults(**_totals(*of_step), number=step.number, channel=step.channel, subject=step.subject)


def _day_results(campaign: Campaign, orders: Sequence[Row], at: datetime) -> list[DayResults]:
    sent, clicked = _count_by_day(campaign, "sent_at", at), _count_by_day(campaign, "clicked_at", at)
    return [
        DayResults(
            day,
            sent.get(day, 0),
            clicked.get(day, 0),
            sum(row["orders"] for row in orders if row["day"] == day),
            _revenue(row for row in orders if row["day"] == day),
        )
        for day in sorted({*sent, *clicked, *(row["day"] for row in orders)})
    ]


def _count_by_day(campaign: Campaign, moment: str, at: datetime) -> dict[date, int]:
    deliveries = Delivery.objects.filter(campaign=campaign, **{f"{moment}__lte": at})
    days = deliveries.values(day=TruncDate(moment, tzinfo=shop_zone()))
    return dict(days.annotate(messages=Count("pk")).order_by().values_list("day", "messages"))


def _totals(messages: Sequence[Row], orders: Sequence[Row]) -> dict[str, Any]:
    return {
        "sent": _count(messages, State.SENT),
        "shown": sum(row["shown"] for row in messages),
        "clicked": sum(row["clicked"] for row in messages),
        "ordered": sum(row["orders"] for row in orders),
        "revenue": _revenue(orders),
    }


def _count(messages: Sequence[Row], *states: str) -> int:
    return sum(row["messages"] for row in messages if row["state"] in states)


def _revenue(orders: Iterable[Row]) -> Decimal:
    return from_units(sum(int(row["units"]) for row in orders))
