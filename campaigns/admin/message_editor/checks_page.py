"""The checks of the messages of a campaign before it is started, each with how to mend what it found."""

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from campaigns.channels.base import Check
from campaigns.channels.registry import sends_messages
from campaigns.messages import message_checks, rendering
from campaigns.models import Campaign, Step
from core.admin.permissions import READ_METHODS, require_permissions

from .. import access, page_context, texts
from . import recipients


@require_permissions(access.VIEW_CAMPAIGN, access.CHANGE_CAMPAIGN, methods=READ_METHODS)
def checks_page(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Show what to mend in each message. A request by htmx gets only this part. It asks the shop for its pages."""
    campaign = get_object_or_404(Campaign.objects.select_related("segment"), pk=pk)
    context = page_context.campaign_page_context(
        model_admin, request, campaign, "checks", f"Check {campaign.name}"
    )
    sending = [step for step in context["steps"] if sends_messages(step.channel)]
    page_context.fill_in_answers(campaign, sending)
    context["checked_steps"] = [(step, *_checks(step)) for step in sending]
    is_part = request.headers.get("HX-Request") == "true"
    template = "campaigns/admin/message_checks.html" if is_part else "campaigns/admin/checks.html"
    return TemplateResponse(request, template, context)


def _checks(step: Step) -> tuple[str, list[Check]]:
    """Return the title of a step and its checks, for somebody who would get it."""
    at, title = datetime.now(UTC), texts.step_title(step)
    if problems := rendering.problem_texts(step):
        return title, [Check(message_checks.MESSAGE, problem, is_passed=False) for problem in problems]
    shown = recipients.first_preview(step.campaign, step, at)
    if shown is None:
        return title, []
    _, preview = shown
    found = message_checks.checks(step, preview)
    if preview.message is None:
        return title, found
    return preview.message.subject or title, found + message_checks.link_checks(preview.message)
