"""Campaigns in the words of staff: what one does, in a sentence, and how it stands."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from campaigns.channels.registry import CHANNELS, channel_label
from campaigns.models import Campaign, Step
from core.durations import duration_text

STATE_LABELS: Final = {
    Campaign.State.DRAFT.value: "info",
    Campaign.State.RUNNING.value: "success",
    Campaign.State.PAUSED.value: "warning",
    Campaign.State.STOPPED.value: "primary",
    Campaign.State.DONE.value: "primary",
}


def campaign_sentence(campaign: Campaign, steps: Sequence[Step]) -> str:
    """Say what a campaign does: what begins it, what is sent when, and what ends it or holds it back."""
    sent = " ".join(_steps_clause(campaign, steps)) or "nothing is sent yet."
    return " ".join([f"{_trigger_clause(campaign)}, {sent}", *_limit_sentences(campaign)])


def moment_text(at: datetime) -> str:
    """Write a moment in the shop's time zone."""
    local = timezone.localtime(at)
    return f"{local.day} {local:%b %Y} at {local:%H:%M}"


def step_title(step: Step) -> str:
    """Name a step by its subject, or by what it is."""
    return message_title(step.subject, step.channel)


def message_title(subject: str, channel: str) -> str:
    """Return the subject of a step, or the name of its channel."""
    return subject or channel_label(channel).capitalize()


def join_words(parts: Iterable[str]) -> str:
    """Write a list as people say it: a, b and c."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def _trigger_clause(campaign: Campaign) -> str:
    name = campaign.segment.name
    match campaign.trigger:
        case Campaign.Trigger.ENTERS:
            members = ", and for its members when it is started" if campaign.takes_members else ""
            return f"When a customer enters “{name}”{members}"
        case Campaign.Trigger.LEAVES:
            return f"When a customer leaves “{name}”"
        case Campaign.Trigger.AT:
            when = (
                f"On {moment_text(campaign.starts_at)}" if campaign.starts_at else "As soon as it is started"
            )
            return f"{when}, for all members of “{name}”"
        case _:
            every = duration_text(campaign.repeats_every, in_weeks=True) if campaign.repeats_every else "…"
            first = f" from {moment_text(campaign.starts_at)} on" if campaign.starts_at else ""
            return f"Every {every.removeprefix('1 ')}{first}, for all members of “{name}”"


def _steps_clause(campaign: Campaign, steps: Sequence[Step]) -> Iterator[str]:
    if not steps:
        return
    parts = []
    after = timedelta()
    for step in steps:
        after += step.wait
        when = f"after {duration_text(after, in_weeks=True)}" if after else "at once"
        noun = CHANNELS[step.channel].noun if step.channel in CHANNELS else "a message"
        parts.append(f"{noun} {when}")
    yield f"{join_words(parts)}."


def _limit_sentences(campaign: Campaign) -> Iterator[str]:
    ends = []
    if campaign.ends_with_order:
        ends.append("they order")
    if campaign.is_only_for_members:
        ends.append(
            "they come back" if campaign.trigger == Campaign.Trigger.LEAVES else "they leave the segment"
        )
    if ends:
        yield f"It ends for whoever it reaches as soon as {' or '.join(ends)}."
    if campaign.quiet_from and campaign.quiet_until:
        yield f"Nothing is sent between {campaign.quiet_from:%H:%M} and {campaign.quiet_until:%H:%M} of their time."
    if campaign.trigger in (Campaign.Trigger.ENTERS, Campaign.Trigger.LEAVES):
        if campaign.reentry_after is None:
            yield "Nobody goes through it twice."
        elif campaign.reentry_after:
            after = duration_text(campaign.reentry_after, in_weeks=True)
            yield f"Whoever comes again may begin again after {after}."
        if campaign.takes_mass_changes:
            yield "Also whoever a first filling or an edited rule brings begins it."
