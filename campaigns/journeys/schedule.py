"""The dates of campaigns that start for all members: one date, or repeated dates."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from campaigns.models import Campaign
from segments.evaluation.context import shop_zone

DAY = timedelta(days=1)


def latest_due_date(campaign: Campaign, at: datetime, not_before: datetime) -> datetime | None:
    """Return the latest date up to ``at`` that has not been processed; earlier missed dates are skipped."""
    since = max(campaign.scheduled_until or not_before, not_before)
    last = None
    for occasion in dates_between(campaign, since, at):
        last = occasion
    return last


def dates_between(campaign: Campaign, since: datetime | None, until: datetime) -> Iterator[datetime]:
    """Yield the dates in ``(since, until]``. Repetitions by whole days keep their local time when clocks change."""
    first, every = campaign.starts_at, campaign.repeats_every
    if first is None:
        return
    if campaign.trigger == Campaign.Trigger.AT:
        every = None
    elif campaign.trigger != Campaign.Trigger.EVERY or not every:
        return
    number = 0
    if every and since and since > first:
        number = max(0, (since - first) // every - 1)  # an hour of clock change may lie between
    while (occasion := _nth_date(first, every, number)) <= until:
        if since is None or occasion > since:
            yield occasion
        if every is None:
            return
        number += 1


def _nth_date(first: datetime, every: timedelta | None, number: int) -> datetime:
    if every is None:
        return first
    if every % DAY:
        return first + number * every
    local = first.astimezone(shop_zone())
    # Arithmetic on a local time moves its wall clock.
    return (local + number * every).astimezone(UTC)
