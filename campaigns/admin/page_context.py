"""The template context that the pages of campaigns share."""

from collections.abc import Iterable
from typing import Any

from django.http import HttpRequest

from campaigns import lifecycle
from campaigns.channels.registry import channel_label
from campaigns.journeys import forecasts
from campaigns.messages import rendering
from campaigns.models import Campaign, Step
from core.durations import duration_text

from . import access, notices, texts


def admin_page_context(model_admin: Any, request: HttpRequest, title: str) -> dict[str, Any]:
    """Return the admin's own context, the title and the notices."""
    return {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        "notices": notices.sending_notices(request),
    }


def campaign_page_context(
    model_admin: Any, request: HttpRequest, campaign: Campaign, tab: str, title: str = ""
) -> dict[str, Any]:
    """Return the context of a page of one campaign; ``tab`` names the page."""
    return (
        admin_page_context(model_admin, request, title or campaign.name)
        | campaign_context(request, campaign)
        | {"tab": tab}
    )


def campaign_context(request: HttpRequest, campaign: Campaign) -> dict[str, Any]:
    """Return the campaign, its description, its state, and what the user may do with it."""
    steps = list(campaign.steps.all())
    state = campaign.state
    may_write = request.user.has_perm(access.CHANGE_CAMPAIGN)
    is_started = state in (Campaign.State.RUNNING, Campaign.State.PAUSED)
    return {
        "original": campaign,
        "campaign": campaign,
        "segment": campaign.segment,
        "steps": steps,
        "invalid_steps": [
            (step, problems) for step in steps if is_started and (problems := rendering.problem_texts(step))
        ],
        "rows": [
            (
                step,
                texts.step_title(step),
                duration_text(step.wait, in_weeks=True) if step.wait else "no time",
                channel_label(step.channel),
            )
            for step in steps
        ],
        "sentence": texts.campaign_sentence(campaign, steps),
        "state_label": texts.STATE_LABELS[state],
        "is_draft": state == Campaign.State.DRAFT,
        "is_running": state == Campaign.State.RUNNING,
        "is_paused": state == Campaign.State.PAUSED,
        "is_stopped": state == Campaign.State.STOPPED,
        "is_over": state in lifecycle.FINAL_STATES,
        "is_dated": campaign.trigger in (Campaign.Trigger.AT, Campaign.Trigger.EVERY),
        "starts_for_members": forecasts.starts_for_members(campaign),
        "needs_input": bool(rendering.answer_names(steps)) or rendering.uses_variable(steps, "coupon"),
        "may_write": may_write,
        "may_edit": may_write and state not in lifecycle.FINAL_STATES,
        "may_discard": request.user.has_perm(access.DELETE_CAMPAIGN) and state == Campaign.State.DRAFT,
    }


def fill_in_answers(campaign: Campaign, steps: Iterable[Step]) -> None:
    """Show where the texts stand that staff write before the start. They are not saved."""
    names = rendering.answer_names(steps)
    asked = {name: f"[{lifecycle.question_label(campaign, name)}]" for name in names}
    campaign.answers = asked | {name: text for name, text in campaign.answers.items() if text}


def requested_step(request: HttpRequest, steps: list[Step]) -> Step | None:
    """Return the step whose number is in the query string, else the first."""
    number = request.GET.get("step", "")
    return next((step for step in steps if str(step.number) == number), steps[0] if steps else None)
