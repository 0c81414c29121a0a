"""Drafts, and campaigns that run, pause and stop: the only writer of ``Step``, and of ``Campaign`` but for its cursors.

What another person did meanwhile is not overwritten: each move between states is a conditional update.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from core.db import transactions
from segments.models import Segment

from .channels import registry
from .delivery import sending_policy
from .journeys import progress, triggers
from .messages import rendering
from .models.campaign import Campaign, Step
from .models.coupon import CouponPool
from .models.delivery import Delivery
from .models.journey import Journey
from .playbook.catalogue import TACTICS, Tactic

log = structlog.get_logger(__name__)

State, Trigger = Campaign.State, Campaign.Trigger

EDITABLE_FIELDS: Final = (
    *("name", "trigger", "starts_at", "repeats_every", "reentry_after", "exit_when_not_member"),
    *("ends_with_order", "include_bulk_entries", "quiet_from", "quiet_until", "pool"),
)
MAX_ANSWER_LENGTH: Final = 2_000
FINAL_STATES: Final = (State.STOPPED, State.DONE)
STEP_FIELDS: Final = ("wait", "channel", "subject", "text", "html", "url")


class CampaignError(Exception):
    """A campaign cannot be saved, or moved to another state, as it is; the message says what to change."""


# -- What it is


def create_from_tactic(segment: Segment, tactic: Tactic, by: User | None = None) -> Campaign:
    """Make a draft that carries out a tactic for a segment, with its content."""
    campaign = Campaign(
        segment=segment,
        tactic=tactic.slug,
        **{"name": f"{tactic.name}: {segment.name}"[:200], **tactic.campaign},
    )
    steps = [Step(**{name: getattr(step, name) for name in STEP_FIELDS}) for step in tactic.steps]
    return save_campaign(campaign, steps, by)


def save_campaign(campaign: Campaign, steps: Sequence[Step], by: User | None = None) -> Campaign:
    """Save a campaign, new or edited, with its steps in this order; raises NotPossible.

    One that has begun keeps its segment and its steps, whose content and waits may change; more may come behind
    them. What it says from then on must do as at the start.
    """
    with transaction.atomic():
        before = _lock_campaign(campaign) if campaign.pk else None
        if before and before.state != State.DRAFT:
            _check_is_editable(before, steps)
            _check_can_run(campaign, steps)
        if before:
            campaign.save(update_fields=[*EDITABLE_FIELDS, "updated_at", *_draft_only_fields(before)])
        else:
            campaign.created_by_name = by.get_username() if by else ""
            campaign.save()
        _save_steps(campaign, steps)
    return campaign


def delete_draft(campaign: Campaign, by: User | None = None) -> None:
    """Delete a draft; raises NotPossible for one that has begun, whose messages are kept."""
    key = campaign.pk
    with transaction.atomic():
        if _lock_campaign(campaign).state != State.DRAFT:
            raise CampaignError("It has begun: stop it instead, so that what was sent stays known.")
        campaign.delete()
    campaign.pk = key
    _log_event("campaign_discarded", campaign, by)


def _draft_only_fields(before: Campaign) -> tuple[str, ...]:
    # Whom it meets at its start is settled by then.
    return ("segment", "include_current_members") if before.state == State.DRAFT else ()


def _lock_campaign(campaign: Campaign) -> Campaign:
    found = Campaign.objects.select_for_update().filter(pk=campaign.pk).first()
    if found is None:
        raise CampaignError("The campaign was deleted meanwhile.")
    return found


def _check_is_editable(before: Campaign, steps: Sequence[Step]) -> None:
    if before.state in FINAL_STATES:
        raise CampaignError(
            f"A campaign that is {before.get_state_display()} is kept as it was; make a new one."
        )
    if len(steps) < before.steps.count():
        raise CampaignError("People are on their way through these steps: none can be removed any more.")


def _check_can_run(campaign: Campaign, steps: Sequence[Step]) -> None:
    """Refuse what cannot be carried out."""
    if not any(registry.sends_messages(step.channel) for step in steps):
        raise CampaignError("It has no message to send: add a step, or download the audience instead.")
    if campaign.trigger == Trigger.EVERY and not campaign.repeats_every:
        raise CampaignError("Say how often it is repeated.")
    if (campaign.quiet_from is None) != (campaign.quiet_until is None):
        raise CampaignError("Quiet hours need both a beginning and an end.")
    for number, step in enumerate(steps, start=1):
        if problems := rendering.problem_texts(step):
            raise CampaignError(f"Step {number}: {problems[0]}")


def _save_steps(campaign: Campaign, steps: Sequence[Step]) -> None:
    """Write the steps into the rows there are, so that messages keep the step they belong to."""
    rows = list(campaign.steps.order_by("number"))
    for number, given in enumerate(steps, start=1):
        row = rows[number - 1] if number <= len(rows) else Step(campaign=campaign, number=number)
        for name in STEP_FIELDS:
            setattr(row, name, getattr(given, name))
        row.save()
    campaign.steps.filter(number__gt=len(steps)).delete()


# -- Whether it goes on


def start(campaign: Campaign, at: datetime, by: User | None = None) -> None:
    """Let a draft run; nobody who entered or left before is met, unless it is for all members at a date or its start.

    A date that is not given is now. Raises NotPossible.
    """
    with transaction.atomic():
        found = _lock_campaign(campaign)
        if found.state != State.DRAFT:
            raise CampaignError(f"It is {found.get_state_display().lower()} already.")
        steps = list(found.steps.order_by("number"))
        _check_can_run(found, steps)
        if lacking := start_problems(found, steps, at):
            raise CampaignError(lacking[0])
        if (
            found.trigger == Trigger.AT
            and found.starts_at
            and at > sending_policy.expires_at(found.starts_at)
        ):
            raise CampaignError("Its date is over: choose a later one, or none to begin at once.")
        is_dated = found.trigger in (Trigger.AT, Trigger.EVERY)
        _transition(
            campaign,
            State.DRAFT,
            State.RUNNING,
            started_at=at,
            starts_at=(found.starts_at or at) if is_dated else found.starts_at,
            cursor=triggers.latest_change_id(found.segment_id),
        )
    _log_event("campaign_started", campaign, by)


def save_answers(
    campaign: Campaign, answers: Mapping[str, str], pool: CouponPool | None = None, by: User | None = None
) -> None:
    """Keep what staff fill into the texts of a campaign, and where its codes come from.

    Raises NotPossible once it is over.
    """
    with transaction.atomic():
        found = _lock_campaign(campaign)
        if found.state in FINAL_STATES:
            raise CampaignError(
                f"A campaign that is {found.get_state_display()} is kept as it was; make a new one."
            )
        found.answers |= {name: said.strip()[:MAX_ANSWER_LENGTH] for name, said in answers.items()}
        found.pool = pool or found.pool
        found.save(update_fields=["answers", "pool", "updated_at"])
    campaign.answers, campaign.pool = found.answers, found.pool
    _log_event("campaign_answered", campaign, by)


def start_problems(campaign: Campaign, steps: Sequence[Step], at: datetime) -> list[str]:
    """Name what staff have to decide before a campaign can start, a sentence each."""
    found = [
        f"Fill in: {question_label(campaign, name)}."
        for name in rendering.answer_names(steps)
        if not campaign.answers.get(name)
    ]
    pool = campaign.pool
    if pool is None and rendering.uses_variable(steps, "coupon"):
        found.append("A message gives a coupon code: choose where the codes come from.")
    if pool and pool.ends_at and pool.ends_at <= at and rendering.uses_variable(steps, "coupon"):
        found.append(
            f"The last day of the codes of {pool.name} is over: choose another pool, or a later last day."
        )
    if (
        pool
        and pool.last_day is None
        and TACTICS.get(campaign.tactic)
        and TACTICS[campaign.tactic].has_last_day
    ):
        found.append(
            f"Its codes are valid for a limited time: give {pool.name} a last day, or choose a pool with one."
        )
    return found


def question_label(campaign: Campaign, name: str) -> str:
    """Return what staff are asked for, in words."""
    tactic = TACTICS.get(campaign.tactic)
    asks = {question.name: question.label for question in tactic.asks} if tactic else {}
    return asks.get(name, name.replace("_", " "))


def pause(campaign: Campaign, at: datetime, by: User | None = None) -> None:
    """Let a campaign rest; whoever is on their way stays there. Raises NotPossible."""
    _transition(campaign, State.RUNNING, State.PAUSED)
    _log_event("campaign_paused", campaign, by)


def resume(campaign: Campaign, at: datetime, by: User | None = None) -> None:
    """Let it go on: what came due meanwhile is sent unless it is too late. Raises NotPossible."""
    _transition(campaign, State.PAUSED, State.RUNNING)
    _log_event("campaign_resumed", campaign, by)


def stop(campaign: Campaign, at: datetime, by: User | None = None) -> None:
    """End a campaign for good and for everybody, with what is planned of it. Raises NotPossible."""

    def end() -> None:
        progress.acquire_lock()
        if not Campaign.objects.filter(pk=campaign.pk, state__in=(State.RUNNING, State.PAUSED)).update(
            state=State.STOPPED
        ):
            raise CampaignError("It does not run.")
        progress.stop_journeys(campaign, sending_policy.STOPPED, at)

    transactions.retry_on_deadlock(end)
    campaign.state = State.STOPPED
    _log_event("campaign_stopped", campaign, by)


def finish_dated_campaigns(at: datetime) -> int:
    """Call campaigns of one date done once it was carried out, or is over, and nobody waits; return how many."""
    is_waiting = Exists(Journey.objects.filter(campaign=OuterRef("pk"), state=Journey.State.ACTIVE)) | Exists(
        Delivery.objects.filter(
            campaign=OuterRef("pk"), state__in=(Delivery.State.PLANNED, Delivery.State.SENDING)
        )
    )
    is_over = Q(scheduled_until__gte=F("starts_at")) | Q(starts_at__lt=sending_policy.expired_before(at))
    one_off = Campaign.objects.filter(is_over, state=State.RUNNING, trigger=Trigger.AT)
    done = one_off.filter(~is_waiting).update(state=State.DONE)
    if done:
        log.info("campaigns_done", campaigns=done)
    return done


def _transition(campaign: Campaign, before: str, after: str, **fields: object) -> None:
    moved = Campaign.objects.filter(pk=campaign.pk, state=before).update(state=after, **fields)
    if not moved:
        raise CampaignError(f"It is not {State(before).label.lower()} any more: look at it again.")
    campaign.state = after
    for name, value in fields.items():
        setattr(campaign, name, value)


def _log_event(event: str, campaign: Campaign, by: User | None) -> None:
    log.info(event, campaign=campaign.pk, by=by.get_username() if by else "")
