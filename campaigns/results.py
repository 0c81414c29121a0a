"""What came of a campaign: its messages, what was followed, and the orders that are put down to it.

An order is put down to the latest message that reached its customer before it, of whichever campaign, where that was
at most ``CAMPAIGN_CREDIT_DAYS`` ago. It has to count, and its revenue is its value: total less refunds. A message
reaches a customer when it is sent; one on the shop's pages when it is first shown.
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
    """How many messages were sent, shown and followed; how many orders came of them, and what these are worth.

    ``shown`` counts messages on the shop's pages alone, and ``clicked`` messages, not clicks.
    """

    sent: int = 0
    shown: int = 0
    clicked: int = 0
    ordered: int = 0
    revenue: Decimal = Decimal(0)


@dataclass(frozen=True)
class StepResults(ResultTotals):
    """What came of one step."""

    number: int = 0
    channel: str = ""
    subject: str = ""


@dataclass(frozen=True)
class DayResults:
    """What happened on one day, in the shop's time zone: messages sent and first followed, orders placed."""

    day: date
    sent: int
    clicked: int
    ordered: int
    revenue: Decimal


@dataclass(frozen=True)
class Results(ResultTotals):
    """What came of a campaign: ``waiting`` are planned or on their way, ``days`` those on which anything happened.

    ``written`` went to a file instead of people, so nothing came of them.
    """

    waiting: int = 0
    written: int = 0
    failed: int = 0
    held_back: Mapping[str, int] = field(default_factory=dict)
    steps: Sequence[StepResults] = ()
    days: Sequence[DayResults] = ()


def campaign_results(campaign: Campaign, at: datetime) -> Results:
    """Give what came of a campaign until an instant, by five queries, however large it is."""
    steps = list(campaign.steps.all())
    messages = _messages(campaign)
    orders = _orders(campaign, at)
    held_back = [one for one in messages if one["state"] == State.HELD_BACK]
    return Results(
        **_totals(messages, orders),
        waiting=_count(messages, State.PLANNED, State.SENDING),
        written=_count(messages, State.WRITTEN),
        failed=_count(messages, State.FAILED),
        held_back={
            why: _count([one for one in held_back if one["why"] == why], State.HELD_BACK)
            for why in sorted({one["why"] for one in held_back})
        },
        steps=[_step_results(step, messages, orders) for step in steps],
        days=_day_results(campaign, orders, at),
    )


def revenue_by_campaign(campaigns: Collection[int], at: datetime) -> dict[int, Decimal]:
    """Give the revenue of several campaigns, by key, in one query; of those without orders, nothing."""
    rows = _credited_orders_queryset(campaigns, at).values("campaign").annotate(units=Sum(_VALUE)).order_by()
    return {row["campaign"]: _revenue([row]) for row in rows}


def _messages(campaign: Campaign) -> list[Row]:
    # Only the reasons for holding back are few.
    why = Case(When(state=State.HELD_BACK, then=F("reason")), default=Value(""))
    counted = Delivery.objects.filter(campaign=campaign).values("step", "state", why=why)
    return list(
        counted.annotate(
            messages=Count("pk"), shown=Count("shown_at"), clicked=Count("clicked_at")
        ).order_by()
    )


def _orders(campaign: Campaign, at: datetime) -> list[Row]:
    by_day = _credited_orders_queryset([campaign.pk], at).values(
        "step", day=TruncDate("placed_at", tzinfo=shop_zone())
    )
    return list(by_day.annotate(orders=Count("pk"), units=Sum(_VALUE)).order_by())


def _credited_orders_queryset(campaigns: Collection[int], at: datetime) -> QuerySet[Any]:
    """Give the messages of campaigns, each once for every order that is put down to it, with ``placed_at``."""
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
    after = sent.filter(
        campaign__in=campaigns,
        customer__orders__placed_at__gte=F("reached"),
        customer__orders__placed_at__lte=F("reached") + timedelta(days=settings.CAMPAIGN_CREDIT_DAYS),
        customer__orders__status__in=COUNTING_STATUSES,
    ).annotate(placed_at=F("customer__orders__placed_at"))
    another = sent.filter(
        Q(reached__gt=OuterRef("reached")) | Q(reached=OuterRef("reached"), pk__gt=OuterRef("pk")),
        customer=OuterRef("customer"),
        sent_at__lte=OuterRef("placed_at"),  # nothing is shown before it is sent, and this has an index
        reached__lte=OuterRef("placed_at"),
    )
    return after.filter(~Exists(another), placed_at__lte=at)


def _step_results(step: Step, messages: Sequence[Row], orders: Sequence[Row]) -> StepResults:
    of_step = [[one for one in rows if one["step"] == step.pk] for rows in (messages, orders)]
    return StepResults(**_totals(*of_step), number=step.number, channel=step.channel, subject=step.subject)


def _day_results(campaign: Campaign, orders: Sequence[Row], at: datetime) -> list[DayResults]:
    sent, clicked = _count_by_day(campaign, "sent_at", at), _count_by_day(campaign, "clicked_at", at)
    return [
        DayResults(
            day,
            sent.get(day, 0),
            clicked.get(day, 0),
            sum(one["orders"] for one in orders if one["day"] == day),
            _revenue(one for one in orders if one["day"] == day),
        )
        for day in sorted({*sent, *clicked, *(one["day"] for one in orders)})
    ]


def _count_by_day(campaign: Campaign, moment: str, at: datetime) -> dict[date, int]:
    happened = Delivery.objects.filter(campaign=campaign, **{f"{moment}__lte": at})
    days = happened.values(day=TruncDate(moment, tzinfo=shop_zone()))
    return dict(days.annotate(messages=Count("pk")).order_by().values_list("day", "messages"))


def _totals(messages: Sequence[Row], orders: Sequence[Row]) -> dict[str, Any]:
    return {
        "sent": _count(messages, State.SENT),
        "shown": sum(one["shown"] for one in messages),
        "clicked": sum(one["clicked"] for one in messages),
        "ordered": sum(one["orders"] for one in orders),
        "revenue": _revenue(orders),
    }


def _count(messages: Sequence[Row], *states: str) -> int:
    return sum(one["messages"] for one in messages if one["state"] in states)


def _revenue(orders: Iterable[Row]) -> Decimal:
    return from_units(sum(int(one["units"]) for one in orders))
