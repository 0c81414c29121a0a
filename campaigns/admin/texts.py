"""Texts about campaigns for staff: the description of a campaign, and labels."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from campaigns.channels.registry import CHANNELS, channel_label
from campaigns.models import Campaign, Step
from core.durations import duration_text
from segments.future_segments import LEFT, ComingChange, coming_change
from segments.models import Segment

STATE_LABELS: Final = {
    Campaign.State.DRAFT.value: "info",
    Campaign.State.RUNNING.value: "success",
    Campaign.State.PAUSED.value: "warning",
    Campaign.State.STOPPED.value: "primary",
    Campaign.State.DONE.value: "primary",
}


def campaign_sentence(campaign: Campaign, steps: Sequence[Step]) -> str:
    """Describe a campaign: what starts it, what is sent when, and what ends it or limits it."""
    return " ".join([f"{_trigger_clause(campaign)}: {_steps_clause(steps)}.", *_limit_sentences(campaign)])


def moment_text(at: datetime) -> str:
    """Return a moment in the shop's time zone."""
    local = timezone.localtime(at)
    return f"{local.day} {local:%b %Y} at {local:%H:%M}"


def start_text(campaign: Campaign) -> str:
    """Return what starts a campaign, such as "a customer enters the segment"."""
    if change := early_change(campaign):
        verb = "leave" if change.kind == LEFT else "enter"
        return f"{duration_text(change.span)} before a customer would {verb}"
    return campaign.get_trigger_display()


def step_title(step: Step) -> str:
    return message_title(step.subject, step.channel)


def message_title(subject: str, channel: str) -> str:
    return subject or channel_label(channel).capitalize()


def join_words(parts: Iterable[str]) -> str:
    """Return "a, b and c"."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _trigger_clause(campaign: Campaign) -> str:
    name = campaign.segment.name
    if change := early_change(campaign):
        subject = (
            Segment.objects.filter(slug=change.slug).values_list("name", flat=True).first() or change.slug
        )
        would = f"would {'leave' if change.kind == LEFT else 'enter'} “{subject}” within {duration_text(change.span)}"
        if campaign.include_current_members:
            return f"For customers who {would} if nothing more is recorded, now and from now on"
        return f"When a customer {would} if nothing more is recorded"
    match campaign.trigger:
        case Campaign.Trigger.ENTERS:
            if campaign.include_current_members:
                return f"For the present members of “{name}”, and when a customer enters it"
            return f"When a customer enters “{name}”"
        case Campaign.Trigger.LEAVES:
            return f"When a customer leaves “{name}”"
        case Campaign.Trigger.AT:
            when = f"On {moment_text(campaign.starts_at)}" if campaign.starts_at else "When it starts"
            return f"{when}, for all members of “{name}”"
        case _:
            every = duration_text(campaign.repeats_every, in_weeks=True) if campaign.repeats_every else "…"
            first = f", starting on {moment_text(campaign.starts_at)}" if campaign.starts_at else ""
            return f"Every {every.removeprefix('1 ')}{first}, for all members of “{name}”"


def _steps_clause(steps: Sequence[Step]) -> str:
    parts = []
    after = timedelta()
    for step in steps:
        after += step.wait
        when = f"after {duration_text(after, in_weeks=True)}" if after else "immediately"
        noun = CHANNELS[step.channel].noun if step.channel in CHANNELS else "a message"
        parts.append(f"{noun} {when}")
    return join_words(parts) if parts else "no step yet"


def early_change(campaign: Campaign) -> ComingChange | None:
    """Return the change before which a campaign starts, if it does."""
    return coming_change(campaign.segment) if campaign.trigger == Campaign.Trigger.ENTERS else None


def _limit_sentences(campaign: Campaign) -> Iterator[str]:
    ends = []
    if campaign.ends_with_order:
        ends.append("order")
    is_early = early_change(campaign) is not None
    if campaign.exit_when_not_member and not is_early:
        ends.append("come back" if campaign.trigger == Campaign.Trigger.LEAVES else "leave the segment")
    if ends:
        yield f"It ends early for customers who {' or '.join(ends)}."
    if campaign.exit_when_not_member and is_early:
        yield "It is called off for customers for whom this no longer holds."
    if campaign.quiet_from and campaign.quiet_until:
        hours = f"{campaign.quiet_from:%H:%M} and {campaign.quiet_until:%H:%M}"
        yield f"Nothing is sent between {hours} in the customer's time zone."
    if campaign.trigger in (Campaign.Trigger.ENTERS, Campaign.Trigger.LEAVES):
        if campaign.reentry_after is None:
            yield "Each customer goes through it once."
        elif campaign.reentry_after:
            after = duration_text(campaign.reentry_after, in_weeks=True)
            yield f"A customer can start it again after {after}."
        if campaign.include_bulk_entries:
            yield "It also starts for customers who enter because the segment is new or its rule was edited."
