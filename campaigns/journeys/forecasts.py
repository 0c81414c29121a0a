"""What a campaign will send in the next days, and what would happen if it started now. Writes nothing."""

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import attrgetter
from typing import Any, Final, TypeVar

from django.db.models import Count, Exists, Max, OuterRef, QuerySet
from django.db.models.functions import TruncDate

from campaigns.channels import registry
from campaigns.delivery import sending_policy
from campaigns.delivery.policy_queries import Endings, Stay, reachable_customers
from campaigns.models import Campaign, Delivery, Journey, Step
from core.db import time_limits
from customers.models import Customer
from segments.evaluation.context import shop_zone
from segments.models import Change, Membership

from . import schedule

Page = TypeVar("Page")

PAGE_SIZE: Final = 5_000
SAMPLE_SIZE: Final = 20
CANDIDATES: Final = 200
"""How many customers are looked at to find some who would get a message."""
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


def upcoming_messages(
    campaign: Campaign, since: datetime, until: datetime, *, seconds: float | None = None
) -> list[UpcomingMessages]:
    """Count the messages that come due by day and step, from journeys and from dates. Overdue ones count for today.

    Only customers who can be reached now are counted, as in ``dry_run``. Raises StatementTimeout.
    """
    steps = sorted(campaign.steps.all(), key=attrgetter("number"))
    counts: Counter[tuple[date, int]] = Counter()
    if campaign.state not in (Campaign.State.STOPPED, Campaign.State.DONE):
        counts.update(_count_planned(campaign))
        counts.update(_count_on_journeys(campaign, steps, since, until, seconds))
        counts.update(_count_for_dates(campaign, steps, since, until, seconds))
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


def dry_run(campaign: Campaign, at: datetime, *, seconds: float | None = None) -> DryRun:
    """Return who would get the first message now, and why others would not.

    The audience is the segment's members, or the customers who left in the last 30 days if leaving triggers the
    campaign. Raises StatementTimeout.
    """
    sending = (step for step in campaign.steps.all() if registry.sends_messages(step.channel))
    step = min(sending, key=attrgetter("number"), default=None)
    counts: Counter[sending_policy.Decision] = Counter()
    sample: dict[int, sending_policy.Decision] = {}
    total = new = 0
    for page in _within(_audience_pages(campaign, at), seconds):
        total += len(page)
        if step is None:
            continue
        known = sending_policy.gather_customers(_starting(page, campaign, [at])[at], [step], at)
        others = _audience_among(known.others, campaign, at)
        customers = {*known.rows, *_starting(others, campaign, [at])[at]}
        decisions = sending_policy.decide_for_customers(known, customers, step, at)
        new += len(decisions)
        counts.update(decisions.values())
        for key in sorted(decisions)[: SAMPLE_SIZE - len(sample)]:
            sample[key] = decisions[key]
    held_back: Counter[str] = Counter()
    for decision, customers_of_decision in counts.items():
        if decision.reason:
            held_back[decision.reason] += customers_of_decision
    if step and total > new:
        held_back[ALREADY_IN_CAMPAIGN] = total - new
    instances = Customer.objects.select_related("facts").in_bulk([*sample])
    return DryRun(
        customers=total,
        would_get=sum(number for decision, number in counts.items() if decision.may_send),
        postponed=sum(number for decision, number in counts.items() if decision.not_before),
        held_back=dict(held_back.most_common()),
        sample=tuple(
            SampleCustomer(instances[key], decision) for key, decision in sample.items() if key in instances
        ),
    )


def likely_recipients(campaign: Campaign, step: Step, at: datetime, limit: int) -> list[Customer]:
    """Return customers who would get the message of a step if the campaign started now.

    Only the beginning of the audience is looked at, so that it takes a moment in any shop.
    """
    channel = registry.find_channel(step.channel)
    page = next(_audience_pages(campaign, at), [])
    if channel is None or not page:
        return []
    reachable = Customer.objects.existing().filter(channel.reachable_q(), pk__one_of=page)
    keys = list(reachable.order_by("pk").values_list("pk", flat=True)[:CANDIDATES])
    known = sending_policy.gather_customers(keys, [step], at)
    customers = _starting(keys, campaign, [at])[at]
    decisions = sending_policy.decide_for_customers(known, customers, step, at)
    chosen = sorted(key for key, decision in decisions.items() if not decision.reason)[:limit]
    instances = Customer.objects.select_related("facts").in_bulk(chosen)
    return [instances[key] for key in chosen if key in instances]


def _within(pages: Iterable[Page], seconds: float | None) -> Iterator[Page]:
    """Yield pages. Raises StatementTimeout once the time is over."""
    started = time.monotonic()
    for page in pages:
        if seconds is not None and time.monotonic() - started > seconds:
            raise time_limits.StatementTimeout
        yield page


# -- What comes due


def _count_planned(campaign: Campaign) -> Counter[tuple[date, int]]:
    waiting = Delivery.objects.filter(campaign=campaign, state__in=("planned", "sending")).order_by()
    by_day = waiting.values_list(TruncDate("not_before", tzinfo=shop_zone()), "step__number")
    counts: Counter[tuple[date, int]] = Counter()
    for day, number, messages in by_day.annotate(messages=Count("pk")):
        counts[day, number] += messages
    return counts


def _count_on_journeys(
    campaign: Campaign, steps: list[Step], since: datetime, until: datetime, seconds: float | None
) -> Counter[tuple[date, int]]:
    """Count the messages of active journeys that no order or change of membership ends."""
    counts: Counter[tuple[date, int]] = Counter()
    zone = shop_zone()
    channels = [channel for step in steps if (channel := registry.find_channel(step.channel))]
    for page in _within(_journey_pages(campaign, until), seconds):
        endings = Endings(page, since)
        continuing = [
            journey
            for journey in page
            if not endings.has_ordered(journey) and not endings.has_exited(journey)
        ]
        reachable = reachable_customers({journey.customer for journey in continuing}, set(channels))
        for journey in continuing:
            due = journey.due_at
            for step in steps:
                if step.number < journey.next_step:
                    continue
                if step.number > journey.next_step:
                    due += step.wait
                if due > until:
                    break
                if journey.customer in reachable.get(step.channel, ()):
                    counts[due.astimezone(zone).date(), step.number] += 1
    return counts


@dataclass(frozen=True)
class _DueJourney(Stay):
    next_step: int
    due_at: datetime


def _journey_pages(campaign: Campaign, until: datetime) -> Iterator[list[_DueJourney]]:
    journeys = (
        Journey.objects.filter(campaign=campaign.pk, state=Journey.State.ACTIVE, due_at__lte=until)
        .order_by("pk")
        .values_list("pk", "customer_id", "began_at", "next_step", "due_at")
    )
    last = 0
    has_more = True
    while has_more and (rows := list(journeys.filter(pk__gt=last)[:PAGE_SIZE])):
        yield [
            _DueJourney(key, customer, campaign, began_at, next_step, due_at)
            for key, customer, began_at, next_step, due_at in rows
            if due_at is not None
        ]
        last, has_more = rows[-1][0], len(rows) == PAGE_SIZE


def _count_for_dates(
    campaign: Campaign, steps: list[Step], since: datetime, until: datetime, seconds: float | None
) -> Counter[tuple[date, int]]:
    """Count the present members that each message can reach, for each date to come."""
    counts: Counter[tuple[date, int]] = Counter()
    messages = list(_upcoming_steps(campaign, steps, since, until))
    if not messages:
        return counts
    occasions = list(dict.fromkeys(occasion for occasion, _, _ in messages))
    sending = [step for step in steps if registry.sends_messages(step.channel)]
    for page in _within(_audience_pages(campaign, since), seconds):
        known = sending_policy.gather_customers(page, sending, since)
        starting = _starting([*page, *_audience_among(known.others, campaign, since)], campaign, occasions)
        decided: dict[tuple[int, int], Counter[str]] = {}  # most occasions have the same customers
        for occasion, step, due in messages:
            customers = starting[occasion]
            if (id(customers), step.pk) not in decided:
                decisions = sending_policy.decide_for_customers(known, customers, step, since)
                decided[id(customers), step.pk] = Counter(one.reason for one in decisions.values())
            reasons = decided[id(customers), step.pk]
            # A later message also counts customers who are at the cap now.
            reached = reasons[""] + (reasons[sending_policy.CAP_REACHED] if due > since else 0)
            counts[due.astimezone(shop_zone()).date(), step.number] += reached
    return +counts


def _upcoming_steps(
    campaign: Campaign, steps: list[Step], since: datetime, until: datetime
) -> Iterator[tuple[datetime, Step, datetime]]:
    """Yield the messages of each date to come: the date, the step, and when it is due."""
    for occasion in _upcoming_dates(campaign, since, until):
        due = occasion
        for step in steps:
            due += step.wait
            if due <= until and registry.sends_messages(step.channel):
                yield occasion, step, due


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


def _audience_pages(campaign: Campaign, at: datetime) -> Iterator[list[int]]:
    """Yield the customers whom the campaign is for, by their keys."""
    if campaign.trigger == Campaign.Trigger.LEAVES:
        candidates: QuerySet[Any, int] = _left_queryset(campaign, at).values_list("customer_id", flat=True)
        candidates, key = candidates.order_by("customer_id").distinct(), "customer_id__gt"
    else:
        candidates = _members_queryset(campaign).order_by("pk").values_list("pk", flat=True)
        key = "pk__gt"
    last, has_more = 0, True
    while has_more and (page := list(candidates.filter(**{key: last})[:PAGE_SIZE])):
        last, has_more = page[-1], len(page) == PAGE_SIZE
        yield _not_members(campaign, page) if campaign.trigger == Campaign.Trigger.LEAVES else page


def _audience_among(keys: Collection[int], campaign: Campaign, at: datetime) -> list[int]:
    """Return which customers the campaign is for."""
    if not keys:
        return []
    if campaign.trigger == Campaign.Trigger.LEAVES:
        left = _left_queryset(campaign, at).filter(customer__one_of=keys)
        return _not_members(campaign, set(left.values_list("customer_id", flat=True)))
    return list(_members_queryset(campaign).filter(pk__one_of=keys).values_list("pk", flat=True))


def _members_queryset(campaign: Campaign) -> QuerySet[Customer]:
    return Customer.objects.existing().filter(Exists(_memberships_queryset(campaign)))


def _memberships_queryset(campaign: Campaign) -> QuerySet[Membership]:
    return Membership.objects.filter(segment=campaign.segment_id, customer=OuterRef("pk"))


def _left_queryset(campaign: Campaign, at: datetime) -> QuerySet[Change]:
    return Change.objects.filter(
        segment=campaign.segment_id,
        customer__isnull=False,
        change=Change.Kind.LEFT,
        at__gt=at - RECENTLY_LEFT,
        at__lte=at,
    )


def _not_members(campaign: Campaign, keys: Collection[int]) -> list[int]:
    customers = Customer.objects.existing().filter(~Exists(_memberships_queryset(campaign)), pk__one_of=keys)
    return list(customers.order_by("pk").values_list("pk", flat=True))


def _starting(
    customers: Collection[int], campaign: Campaign, occasions: Sequence[datetime]
) -> dict[datetime, Set[int]]:
    """Return the customers without those who were in the campaign and may not start again, at each occasion."""
    everybody = frozenset(customers)
    is_dated = campaign.trigger in (Campaign.Trigger.AT, Campaign.Trigger.EVERY)
    if campaign.reentry_after is None and is_dated:
        return dict.fromkeys(occasions, everybody)
    earlier = Journey.objects.filter(campaign=campaign.pk, customer__one_of=everybody).order_by()
    latest = dict(earlier.values_list("customer_id").annotate(latest=Max("began_at")))
    if not latest or campaign.reentry_after is None:
        return dict.fromkeys(occasions, everybody - latest.keys())
    return {
        occasion: everybody
        - {customer for customer, began in latest.items() if began > occasion - campaign.reentry_after}
        for occasion in occasions
    }
