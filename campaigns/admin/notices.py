"""What staff have to know of the sending of messages, on every page of campaigns and on the first page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from campaigns.channels.registry import CHANNELS, channel_label
from campaigns.delivery import channel_health, confirmation_emails
from core.admin import audit_log
from core.admin.access import WRITE, needs, person
from core.templatetags.display import moment
from customers.admin import contact_data
from segments.admin import dashboard

from . import access


@dataclass(frozen=True)
class Notice:
    """Something that keeps messages from people; ``resumes`` names the channel that staff can let send again."""

    title: str
    text: str
    resumes: str = ""


def sending_notices(request: HttpRequest) -> list[Notice]:
    """Return what keeps messages from people now, for those who may see campaigns."""
    if not request.user.has_perm(access.SEE):
        return []
    found = [Notice(*told) for channel in CHANNELS.values() if (told := channel.notice())]
    if confirmation_emails.is_held_up():
        found.append(
            Notice(
                "Addresses wait to be asked about the newsletter",
                "Visitors asked for the newsletter, and no mail server is set that could ask their addresses to confirm"
                " it. They stay pending, for 30 days at most.",
            )
        )
    for health in channel_health.paused():
        answer = health.answer if contact_data.may_see(request) else contact_data.redact_text(health.answer)
        found.append(
            Notice(
                f"Sending by {channel_label(health.channel)} is paused since {moment(health.paused_at)}",
                f"More than a tenth of the latest {channel_health.LATEST} messages were refused. The latest answer:"
                f" “{answer}”. What is due waits, and goes out later unless it is too late by then.",
                health.channel if request.user.has_perm(access.WRITE) else "",
            )
        )
    return found


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> Mapping[str, Any]:
    """Add the notices to what the admin's first page shows."""
    return dashboard.context(request, context) | {
        "more_notices": "campaigns/admin/notices.html",
        "notices": sending_notices(request),
    }


@needs(access.SEE, access.WRITE, methods=WRITE)
def resume_sending(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Let a channel send again."""
    channel = request.POST.get("channel", "")
    if channel_health.resume(channel, person(request)):
        audit_log.note_changed(request, [person(request)], f"Let sending by {channel_label(channel)} go on.")
        messages.success(request, "Sending goes on.")
    else:
        messages.error(request, "Sending was not paused any more.")
    back = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return redirect(back if is_ours else "admin:campaigns_campaign_changelist")
