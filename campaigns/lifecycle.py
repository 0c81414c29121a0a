"""Saves campaigns, and starts, pauses, resumes and stops them.

The only writer of ``Step``, and of ``Campaign``, except that ``campaigns.journeys.triggers`` moves the cursors of a
running campaign. Each change of state is a conditional update, so it never overwrites what another person
did meanwhile.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.apps import apps
from django.apps.registry import Apps
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from core.db import transactions
from segments import future_segments
from segments.models import Change, Segment

from .channels import registry
from .delivery import sending_policy
from .journeys import progress
from .messages import blocks, rendering
from .messages.blocks import InvalidBlocks
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
STEP_FIELDS: Final = ("wait", "channel", "subject", "text", "html", "url", "blocks")


class CampaignError(Exception):
    """A campaign cannot be saved, or change its state, as it is. The message says what to change."""


# -- Drafts and edits


def create_from_tactic(segment: Segment, tactic: Tactic, by: User | None = None) -> Campaign:
    """Save a draft with the content of a tactic.

    If the segment is one of customers who would enter or leave another one, the first message is sent at once, also to
    the present members: later, they would have changed already.
    """
    is_early = future_segments.coming_change(segment) is not None
    campaign = Campaign(
        segment=segment,
        tactic=tactic.slug,
        **{
            "name": f"{tactic.name}: {segment.name}"[:200],
            **tactic.campaign,
            **({"include_current_members": True} if is_early else {}),
        },
    )
    steps = [
        Step(
            wait=timedelta() if is_early and number == 0 else step.wait,
            channel=step.channel,
            subject=step.subject,
            url=step.url,
            blocks=list(step.blocks),
        )
        for number, step in enumerate(tactic.steps)
    ]
    return save_campaign(campaign, steps, by)


def save_campaign(campaign: Campaign, steps: Sequence[Step], by: User | None = None) -> Campaign:
    """Save a new or edited campaign with its steps in this order. Raises CampaignError.

    A started campaign keeps its segment and its steps. Their content and waits may change, and steps may be added at
    the end. The edited campaign is checked as at the start.
    """
    for step in steps:
        _write_blocks(step)
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
    """Delete a draft. Raises CampaignError for a started campaign, whose messages are kept."""
    key = campaign.pk
    with transaction.atomic():
        if _lock_campaign(campaign).state != State.DRAFT:
            raise CampaignError(
                "The campaign has started and cannot be deleted. Stop it instead: its messages and results are kept."
            )
        campaign.delete()
    campaign.pk = key
    _log_event("campaign_discarded", campaign, by)


def _draft_only_fields(before: Campaign) -> tuple[str, ...]:
    # The start has already decided who takes part.
    return ("segment", "include_current_members") if before.state == State.DRAFT else ()


def _lock_campaign(campaign: Campaign) -> Campaign:
    current = Campaign.objects.select_for_update().filter(pk=campaign.pk).first()
    if current is None:
        raise CampaignError("Somebody has deleted this campaign.")
    return current


def _check_is_editable(before: Campaign, steps: Sequence[Step]) -> None:
    if before.state in FINAL_STATES:
        raise CampaignError(
            f"A campaign that is {before.get_state_display().lower()} cannot be changed. Copy it instead."
        )
    if len(steps) < before.steps.count():
        raise CampaignError("Customers have already started these steps, so none of them can be removed.")


def _check_can_run(campaign: Campaign, steps: Sequence[Step]) -> None:
    """Raise CampaignError for a campaign that cannot run."""
    if not any(registry.sends_messages(step.channel) for step in steps):
        raise CampaignError("The campaign sends no messages. Add a step, or download the audience instead.")
    if campaign.trigger == Trigger.EVERY and not campaign.repeats_every:
        raise CampaignError("Enter how often the campaign repeats.")
    if (campaign.quiet_from is None) != (campaign.quiet_until is None):
        raise CampaignError("Quiet hours need a start and an end.")
    for number, step in enumerate(steps, start=1):
        if problems := rendering.problem_texts(step):
            raise CampaignError(f"Step {number}: {problems[0]}")


def redesign_after_migrate(using: str, apps: Apps = apps, **_: Any) -> None:
    """Write the text and HTML of all messages of blocks anew, in the design of this version.

    After a partial migration, ``apps`` has other fields than this version or none, and nothing is written.
    """
    if "campaigns" not in apps.app_configs:
        return
    step_model = apps.get_model("campaigns", "Step")
    if {field.name for field in step_model._meta.get_fields()} < {
        field.name for field in Step._meta.get_fields()
    }:
        return
    for step in Step.objects.using(using).exclude(blocks=[]).order_by("pk").iterator():
        before = step.text, step.html
        try:
            blocks.write_templates(step)
        except InvalidBlocks as error:
            log.warning("message_not_redesigned", step=step.pk, problem=str(error))
            continue
        if (step.text, step.html) != before:
            step.save(using=using, update_fields=["blocks", "text", "html"])


def _write_blocks(step: Step) -> None:
    """Make the text and HTML of a message of blocks. Raises CampaignError."""
    try:
        blocks.write_templates(step)
    except InvalidBlocks as error:
        raise CampaignError(str(error)) from error


def _save_steps(campaign: Campaign, steps: Sequence[Step]) -> None:
    """Update the existing rows, so that deliveries keep the step they belong to."""
    rows = list(campaign.steps.order_by("number"))
    marks = {_words(row): row.not_converted for row in rows if row.not_converted}
    for number, new in enumerate(steps, start=1):
        row = rows[number - 1] if number <= len(rows) else Step(campaign=campaign, number=number)
        for name in STEP_FIELDS:
            setattr(row, name, getattr(new, name))
        row.not_converted = new.not_converted or marks.get(_words(new), "")
        row.save()
    campaign.steps.filter(number__gt=len(steps)).delete()


def _words(step: Step) -> tuple[tuple[str, ...], ...]:
    """Return the words of a message, by part. A form changes line breaks and spaces around them."""
    return tuple(tuple(getattr(step, name).split()) for name in ("subject", "text", "html", "url"))


# -- States


def start(campaign: Campaign, at: datetime, by: User | None = None) -> None:
    """Start a draft. Raises CampaignError.

    Entries and exits before the start do not start journeys. A missing ``starts_at`` means now.
    """
    with transaction.atomic():
        current = _lock_campaign(campaign)
        if current.state != State.DRAFT:
            raise CampaignError(f"The campaign is already {current.get_state_display().lower()}.")
        steps = list(current.steps.order_by("number"))
        _check_can_run(current, steps)
        if problems := start_problems(current, steps, at):
            raise CampaignError(problems[0])
        if (
            current.trigger == Trigger.AT
            and current.starts_at
            and at > sending_policy.expires_at(current.starts_at)
        ):
            raise CampaignError(
                "The start date is in the past. Choose a later one, or leave it empty to start now."
            )
        is_dated = current.trigger in (Trigger.AT, Trigger.EVERY)
        _transition(
            campaign,
            State.DRAFT,
            State.RUNNING,
            started_at=at,
            starts_at=(current.starts_at or at) if is_dated else current.starts_at,
            cursor=Change.objects.filter(segment=current.segment_id).latest_id(),
        )
    _log_event("campaign_started", campaign, by)


def save_answers(
    campaign: Campaign, answers: Mapping[str, str], pool: CouponPool | None = None, by: User | None = None
) -> None:
    """Save the answers of staff, which the texts of a campaign print, and its coupon pool.

    Raises CampaignError for a campaign that has ended.
    """
    with transaction.atomic():
        current = _lock_campaign(campaign)
        if current.state in FINAL_STATES:
            raise CampaignError(
                f"A campaign that is {current.get_state_display().lower()} cannot be changed. Copy it instead."
            )
        current.answers |= {name: text.strip()[:MAX_ANSWER_LENGTH] for name, text in answers.items()}
        current.pool = pool or current.pool
        current.save(update_fields=["answers", "pool", "updated_at"])
    campaign.answers, campaign.pool = current.answers, current.pool
    _log_event("campaign_answers_saved", campaign, by)


def start_problems(campaign: Campaign, steps: Sequence[Step], at: datetime) -> list[str]:
    """Return what staff have to do before a campaign can start, a sentence each."""
    problems = [
        f"Fill in: {question_label(campaign, name)}."
        for name in rendering.answer_names(steps)
        if not campaign.answers.get(name)
    ]
    pool = campaign.pool
    if pool is None and rendering.uses_variable(steps, "coupon"):
        problems.append("A message contains a coupon code: choose the pool of codes.")
    if pool and pool.ends_at and pool.ends_at <= at and rendering.uses_variable(steps, "coupon"):
        problems.append(
            f"The codes of {pool.name} have expired. Choose another pool, or give this one a later last day."
        )
    if (
        pool
        and pool.last_day is None
        and TACTICS.get(campaign.tactic)
        and TACTICS[campaign.tactic].has_last_day
    ):
        problems.append(
            f"This campaign needs codes that expire. Set a last day for {pool.name}, or choose a pool with one."
        )
    if late := late_step(campaign, steps):
        problems.append(
            f"Message {late.number} would not be sent: by then, customers have left {campaign.segment.name}."
            " Shorten the waits."
        )
    return problems


def late_step(campaign: Campaign, steps: Sequence[Step]) -> Step | None:
    """Return the first step that comes when the change has happened before which the campaign starts."""
    change = future_segments.coming_change(campaign.segment)
    if change is None or campaign.trigger != Trigger.ENTERS or not campaign.exit_when_not_member:
        return None
    after = timedelta()
    for step in steps:
        after += step.wait
        if after >= change.span:
            return step
    return None


def question_label(campaign: Campaign, name: str) -> str:
    """Return the label of a value that staff fill in."""
    tactic = TACTICS.get(campaign.tactic)
    labels = {question.name: question.label for question in tactic.questions} if tactic else {}
    return labels.get(name, name.replace("_", " "))


def pause(campaign: Campaign, at: datetime, by: User | None = None) -> None:
    """Pause a campaign; journeys wait. Raises CampaignError."""
    _transition(campaign, State.RUNNING, State.PAUSED)
    _log_event("campaign_paused", campaign, by)


def resume(campaign: Campaign, at: datetime, by: User | None = None) -> None:
    """Resume a campaign. What came due meanwhile is sent unless it has expired. Raises CampaignError."""
    _transition(campaign, State.PAUSED, State.RUNNING)
    _log_event("campaign_resumed", campaign, by)


def stop(campaign: Campaign, at: datetime, by: User | None = None) -> None:
    """Stop a campaign for good, with its journeys and planned messages. Raises CampaignError."""

    def stop_once() -> None:
        progress.acquire_lock()
        if not Campaign.objects.filter(pk=campaign.pk, state__in=(State.RUNNING, State.PAUSED)).update(
            state=State.STOPPED
        ):
            raise CampaignError("The campaign is not running.")
        progress.stop_journeys(campaign, sending_policy.STOPPED, at)

    transactions.retry_on_conflict(stop_once)
    campaign.state = State.STOPPED
    _log_event("campaign_stopped", campaign, by)


def finish_dated_campaigns(at: datetime) -> int:
    """Mark campaigns with one date as done once the date is over and no message waits. Return how many."""
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
    changed = Campaign.objects.filter(pk=campaign.pk, state=before).update(state=after, **fields)
    if not changed:
        raise CampaignError(
            f"The campaign is not {State(before).label.lower()}. Reload the page to see its state."
        )
    campaign.state = after
    for name, value in fields.items():
        setattr(campaign, name, value)


def _log_event(event: str, campaign: Campaign, by: User | None) -> None:
    log.info(event, campaign=campaign.pk, by=by.get_username() if by else "")
