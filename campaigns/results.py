"""The results of a campaign: its messages, clicks, and the orders credited to it.

An order is credited to the latest message, of any campaign, that reached its customer at most ``CAMPAIGN_CREDIT_DAYS``
before it. Only counting orders are credited, and their revenue is their total minus refunds. A message reaches a
customer when it is sent; an on-site message when it is first shown.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Case, Count, F, Min, Value, When
from django.db.models.functions import TruncDate

from core.db import dialect, execution, temporary_tables
from core.db.sql import Sql, compose
from core.values.decimals import from_units
from customers.models import COUNTING_STATUSES, Order
from segments.evaluation.context import shop_zone

from .channels.registry import CHANNELS
from .models.campaign import Campaign, Step
from .models.delivery import Delivery

State = Delivery.State
Row = Mapping[str, Any]
_DELIVERIES, _STEPS = Delivery._meta.db_table, Step._meta.db_table


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
    """Return the results of a campaign until ``at``, in a few queries."""
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
    """Return the revenue of campaigns by key. Campaigns without orders are missing."""
    if not _gather_orders(campaigns, at):
        return {}
    rows = execution.fetch_all(
        compose(
            "SELECT campaign, sum(units) FROM ({credited}) AS c GROUP BY campaign",
            credited=_credited(campaigns),
        )
    )
    return {campaign: from_units(int(units)) for campaign, units in rows}


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
    """Return the credited orders of a campaign by step and day."""
    if not _gather_orders([campaign.pk], at):
        return []
    credited = execution.fetch_all(
        compose("SELECT step, placed_at, units FROM ({credited}) AS c", credited=_credited([campaign.pk]))
    )
    zone = shop_zone()
    counts: dict[tuple[int, date], tuple[int, int]] = {}
    for step, placed_at, units in credited:
        day = dialect.datetime_from_row(placed_at).astimezone(zone).date()
        orders, total = counts.get((step, day), (0, 0))
        counts[step, day] = orders + 1, total + units
    return [
        {"step": step, "day": day, "orders": orders, "units": units}
        for (step, day), (orders, units) in counts.items()
    ]


def _gather_orders(campaigns: Collection[int], at: datetime) -> int:
    """Gather the counting orders of those who got messages of campaigns. Return how many."""
    sent = Delivery.objects.filter(campaign__in=campaigns, state=State.SENT).order_by()
    first = sent.aggregate(first=Min("sent_at"))["first"]  # nothing is shown before it is sent
    if first is None:
        return 0
    temporary_tables.create_temporary_table(
        "recipients_orders",
        f"customer_id bigint, placed_at {dialect.datetime_type_sql()}, units bigint",
        joined_on=("customer_id",),
    )
    orders = Order.objects.filter(
        customer__in=sent.values("customer"),
        status__in=COUNTING_STATUSES,
        placed_at__gte=first,
        placed_at__lte=at,
    )
    columns = orders.order_by().values_list("customer_id", "placed_at", F("total") - F("refunded_total"))
    return execution.execute(compose("INSERT INTO recipients_orders {columns}", columns=columns))


def _credited(campaigns: Collection[int]) -> Sql:
    """Return the query of gathered orders with the message of these campaigns that each is credited to."""
    period = dialect.interval_sql(timedelta(days=settings.CAMPAIGN_CREDIT_DAYS))
    reached, later_reached = _reached_sql("d", "s"), _reached_sql("l", "ls")
    return Sql(
        f"""SELECT d.campaign_id AS campaign, d.step_id AS step, o.placed_at, o.units
            FROM recipients_orders o
            JOIN {_DELIVERIES} d ON d.customer_id = o.customer_id JOIN {_STEPS} s ON s.id = d.step_id
            WHERE d.state = 'sent' AND d.campaign_id IN ({", ".join(map(str, campaigns))})
                AND o.placed_at >= {reached} AND o.placed_at <= {dialect.datetime_plus_sql(reached, period)}
                AND NOT EXISTS (SELECT 1 FROM {_DELIVERIES} l JOIN {_STEPS} ls ON ls.id = l.step_id
                    WHERE l.customer_id = d.customer_id AND l.state = 'sent'
                        AND l.sent_at <= o.placed_at AND {later_reached} <= o.placed_at
                        AND ({later_reached} > {reached} OR ({later_reached} = {reached} AND l.id > d.id)))"""
    )


def _reached_sql(delivery: str, step: str) -> str:
    """Return the expression for when a message reached its customer."""
    others = "".join(
        f" WHEN '{channel.key}' THEN {delivery}.{channel.reached_at}"
        for channel in CHANNELS.values()
        if channel.reached_at != "sent_at"
    )
    sent_at = f"{delivery}.sent_at"
    return f"CASE {step}.channel{others} ELSE {sent_at} END" if others else sent_at


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
