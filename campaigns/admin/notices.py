"""Notices about problems with sending, on every page of campaigns and on the home page."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.http import url_has_allowed_host_and_scheme

from campaigns.channels.registry import CHANNELS, channel_label
from campaigns.delivery import channel_health, confirmation_emails
from core.admin import audit_log
from core.admin.permissions import WRITE_METHODS, require_permissions, staff_user
from core.templatetags.display import moment
from customers.admin import contact_data

from . import access


@dataclass(frozen=True)
class Notice:
    """A problem that prevents messages from being sent. ``resumes`` is the channel that staff can resume."""

    title: str
    text: str
    resumes: str = ""


def sending_notices(request: HttpRequest, *, is_set_up: bool = True) -> list[Notice]:
    """Return the present problems with sending, for staff who may see campaigns.

    While the shop is set up, the steps of the first day say which channels are missing.
    """
    if not request.user.has_perm(access.VIEW_CAMPAIGN):
        return []
    channels = CHANNELS.values() if is_set_up else ()
    shown = [Notice(*notice) for channel in channels if (notice := channel.notice())]
    if confirmation_emails.waits_for_mail_server():
        shown.append(
            Notice(
                "Confirmation e-mails cannot be sent",
                "Visitors signed up for the newsletter, but no mail server is set to ask them to confirm their address."
                " Their sign-ups wait for 30 days at most.",
            )
        )
    for health in channel_health.paused_channels():
        error = health.last_error
        if not contact_data.may_see(request):
            error = contact_data.redact_text(error)
        may_resume = request.user.has_perm(access.CHANGE_CAMPAIGN)
        advice = (
            "Solve the problem, then press “Resume sending”."
            if may_resume
            else "Ask a colleague with the permission to resume it."
        )
        shown.append(
            Notice(
                format_html(
                    "Sending by {} has been paused since {}",
                    channel_label(health.channel),
                    moment(health.paused_at),
                ),
                f"More than a tenth of the latest {channel_health.RECENT_COUNT} messages were rejected. The latest"
                f" response: “{error}”. Messages that are due wait. {advice}",
                health.channel if may_resume else "",
            )
        )
    return shown


@require_permissions(access.VIEW_CAMPAIGN, access.CHANGE_CAMPAIGN, methods=WRITE_METHODS)
def resume_sending(model_admin: Any, request: HttpRequest) -> HttpResponse:
    channel = request.POST.get("channel", "")
    if channel_health.resume_channel(channel, staff_user(request)):
        audit_log.log_changes(request, [staff_user(request)], f"Resumed sending by {channel_label(channel)}.")
        messages.success(request, "Messages are sent again.")
    else:
        messages.error(request, "Sending is no longer paused.")
    back = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return redirect(back if is_ours else "admin:campaigns_campaign_changelist")
