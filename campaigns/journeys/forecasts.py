"""What a campaign will send in the next days, and what would happen if it started now. Writes nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db.models import Count, DateTimeField, Exists, ExpressionWrapper, F, OuterRef, QuerySet, Value
from django.db.models.functions import TruncDate

from campaigns.channels import registry
from campaigns.delivery import policy_queries, sending_policy
from campaigns.models import Campaign, Delivery, Journey, Step
from customers.models import Customer
from segments.evaluation.context import shop_zone
from segments.models import Change, Membership

from . import schedule

SAMPLE_SIZE: Final = 20
RECENTLY_LEFT: Final = timedelta(days=30)
ALREADY_IN_CAMPAIGN: Final = "The customer has already been in this campaign."


@dataclass(frozen=True)
class UpcomingMessages:
    """How many messages of a step come due on a day in the shop's time zone; some may be held back then."""

    day: date
    step: Step
    messages: int


@dataclass(frozen=True)
class SampleCustomer:
    """One customer, and the decision about their message."""

    customer: Customer
    decision: sending_policy.Decision


@dataclass(frozen=True)
class DryRun:
    """What would happen to the first messages if the campaign started now for its whole audience."""

    customers: int
    would_get: int
    postponed: int
    held_back: Mapping[str, int]
    sample: tuple[SampleCustomer, ...]


def upcoming_messages(campaign: Campaign, since: datetime, until: datetime) -> list[UpcomingMessages]:
    """Count the messages that come due by day and step, from journeys and from dates. Overdue ones count for today.

    Only customers who can be reached now are counted, as in ``dry_run``.
    """
    steps = list(campaign.steps.order_by("number"))
    counts: Counter[tuple[date, int]] = Counter()
    if campaign.state not in (Campaign.State.STOPPED, Campaign.State.DONE):
        counts.update(_count_planned(campaign))
        counts.update(_count_on_journeys(campaign, steps, since, until))
        counts.update(_count_for_dates(campaign, steps, since, until))
    zone = shop_zone()
    first, last = since.astimezone(zone).date(), until.astimezone(zone).date()
    by_day: Counter[tuple[date, int]] = Counter()
    for (day, number), messages in counts.items():
        if day <= last:
            by_day[max(day, first), number] += messages
    by_number = {step.number: step for step in steps}
    return [UpcomingMessages(day, by_number[number], by_day[day, number]) for day, number in sorted(by_day)]


def starts_for_members(campaign: Campaign) -> bool:
    """Return whether a campaign starts for all members: at a date, or when it is started."""
    is_dated = campaign.trigger in (Campaign.Trigger.AT, Campaign.Trigger.EVERY)
    return is_dated or (campaign.trigger == Campaign.Trigger.ENTERS and campaign.include_current_members)


def dry_run(campaign: Campaign, at: datetime) -> DryRun:
    """Return who would get the first message now, and why others would not.

    The audience is the segment's members, or the customers who left in the last 30 days if leaving triggers the
    campaign.
    """
    step = campaign.steps.exclude(channel__in=registry.keys_without_messages()).order_by("number").first()
    audience = _audience_queryset(campaign, at)
    if step is None:
        return DryRun(audience.count(), 0, 0, {}, ())
    newcomers = _may_start_queryset(audience, campaign, at)
    decisions = sending_policy.count_decisions(newcomers, step, at)
    held_back: Counter[str] = Counter()
    for decision, customers in decisions.items():
        if decision.reason:
            held_back[decision.reason] += customers
    total, new = audience.count(), sum(decisions.values())
    sample = list(newcomers.order_by("pk")[:SAMPLE_SIZE])
    sample_decisions = sending_policy.evaluate_customers(newcomers, sample, step, at)
    if total > new:
        held_back[ALREADY_IN_CAMPAIGN] = total - new
    return DryRun(
        customers=total,
        would_get=sum(customers for decision, customers in decisions.items() if decision.may_send),
        postponed=sum(customers for decision, customers in decisions.items() if decision.not_before),
        held_back=dict(held_back.most_common()),
        sample=tuple(SampleCustomer(customer, sample_decisions[customer.pk]) for customer in sample),
    )


# -- What comes due


def _count_planned(campaign: Campaign) -> Counter[tuple[date, int]]:
    waiting = Delivery.objects.filter(campaign=campaign, state__in=("planned", "sending"))
    return _sum_counts([_by_day_queryset(waiting, "not_before", timedelta(), "step__number")])


def _count_on_journeys(
    campaign: Campaign, steps: list[Step], since: datetime, until: datetime
) -> Counter[tuple[date, int]]:
    due_by_day = []
    continuing = _continuing_journeys_queryset(campaign, since)
    for index, step in enumerate(steps):
        for later in range(index, len(steps)):
            wait = sum((each.wait for each in steps[index + 1 : later + 1]), timedelta())
            if registry.sends_messages(steps[later].channel):
                reachable = policy_queries.is_reachable_q(steps[later].channel, "customer_id")
                due = continuing.filter(reachable, next_step=step.number, due_at__lte=until - wait)
                due_by_day.append(_by_day_queryset(due, "due_at", wait, Value(steps[later].number)))
    return _sum_counts(due_by_day)


def _continuing_journeys_queryset(campaign: Campaign, at: datetime) -> QuerySet[Journey]:
    """Return the active journeys that no order or change of membership ends."""
    journeys = Journey.objects.filter(campaign=campaign, state=Journey.State.ACTIVE)
    if campaign.ends_with_order:
        journeys = journeys.filter(~policy_queries.has_ordered_q("customer_id", "began_at", at))
    if campaign.exit_when_not_member:
        journeys = journeys.annotate(
            is_member=policy_queries.is_member_q("customer_id", "campaign__segment_id")
        ).filter(is_member=campaign.trigger != Campaign.Trigger.LEAVES)
    return journeys


def _by_day_queryset(
    rows: QuerySet[Delivery] | QuerySet[Journey], moment: str, wait: timedelta, number: str | Value
) -> QuerySet[Any, tuple[date, int, int]]:
    when = ExpressionWrapper(F(moment) + Value(wait), output_field=DateTimeField())
    return (
        rows.annotate(
            day=TruncDate(when, tzinfo=shop_zone()),
            number=F(number) if isinstance(number, str) else number,
        )
        .order_by()
        .values_list("day", "number")
        .annotate(messages=Count("pk"))
    )


def _sum_counts(by_day: Sequence[QuerySet[Any, tuple[date, int, int]]]) -> Counter[tuple[date, int]]:
    """Add up counts by day and step, in one statement for all of them."""
    counts: Counter[tuple[date, int]] = Counter()
    if by_day:
        first, *others = by_day
        for day, number, messages in first.union(*others, all=True) if others else first:
            counts[day, number] += messages
    return counts


def _count_for_dates(
    campaign: Campaign, steps: list[Step], since: datetime, until: datetime
) -> Counter[tuple[date, int]]:
    """Count the present members that each message can reach, for each date to come."""
    counts: Counter[tuple[date, int]] = Counter()
    for occasion in _upcoming_dates(campaign, since, until):
        due = occasion
        customers = _may_start_queryset(_audience_queryset(campaign, since), campaign, occasion)
        for step in steps:
            due += step.wait
            if due <= until and registry.sends_messages(step.channel):
                counts[due.astimezone(shop_zone()).date(), step.number] += _count_reached(
                    customers, step, since, is_now=due <= since
                )
    return +counts


def _count_reached(customers: QuerySet[Customer], step: Step, at: datetime, *, is_now: bool) -> int:
    """Count the customers a message reaches. A later message also counts customers who are at the cap now."""
    decisions = sending_policy.count_decisions(customers, step, at)
    counted_reasons = ("",) if is_now else ("", sending_policy.CAP_REACHED)
    return sum(count for decision, count in decisions.items() if decision.reason in counted_reasons)


def _upcoming_dates(campaign: Campaign, since: datetime, until: datetime) -> Iterator[datetime]:
    if starts_for_members(campaign) and campaign.trigger == Campaign.Trigger.ENTERS:
        if campaign.scheduled_until is None:
            yield max(since, campaign.started_at or since)
        return
    if campaign.trigger not in (Campaign.Trigger.AT, Campaign.Trigger.EVERY):
        return
    if campaign.starts_at is None:  # a draft that starts when staff start it
        campaign = Campaign(trigger=campaign.trigger, repeats_every=campaign.repeats_every, starts_at=since)
    processed_until = max(
        campaign.scheduled_until or since - timedelta(microseconds=1), sending_policy.expired_before(since)
    )
    yield from schedule.dates_between(campaign, processed_until, until)


# -- The audience


def _audience_queryset(campaign: Campaign, at: datetime) -> QuerySet[Customer]:
    members = Membership.objects.filter(segment=campaign.segment_id, customer=OuterRef("pk"))
    if campaign.trigger != Campaign.Trigger.LEAVES:
        return Customer.objects.filter(Exists(members))
    left = Change.objects.filter(
        segment=campaign.segment_id,
        customer=OuterRef("pk"),
        change=Change.Kind.LEFT,
        at__gt=at - RECENTLY_LEFT,
        at__lte=at,
    )
    return Customer.objects.existing().filter(Exists(left), ~Exists(members))


def _may_start_queryset(
    customers: QuerySet[Customer], campaign: Campaign, at: datetime
) -> QuerySet[Customer]:
    """Return the customers without those who were in the campaign and may not start again."""
    earlier = Journey.objects.filter(campaign=campaign.pk, customer=OuterRef("pk"))
    if campaign.reentry_after is not None:
        earlier = earlier.filter(began_at__gt=at - campaign.reentry_after)
    elif campaign.trigger in (Campaign.Trigger.AT, Campaign.Trigger.EVERY):
        return customers
    return customers.filter(~Exists(earlier))
