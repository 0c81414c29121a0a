"""Refreshes that staff request."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.html import format_html

from core.admin import audit_log
from core.admin.permissions import WRITE_METHODS, require_permissions
from segments.models import Segment
from segments.refresh.queue import BrokerUnavailable, request_refresh

from .access import CHANGE_SEGMENT, VIEW_REFRESH, VIEW_SEGMENT

BROKER_UNAVAILABLE = (
    "The refresh could not be queued, because Redis is unavailable. Start Redis or check REDIS_URL, and try again."
    " The members have not changed."
)


def queue_refreshes(request: HttpRequest, segments: Iterable[Segment]) -> None:
    """Queue a refresh for each segment by rule, and show a message with the result."""
    chosen = list(segments)
    dynamic = [segment for segment in chosen if segment.is_dynamic]
    if len(dynamic) < len(chosen):
        messages.warning(request, "Fixed lists have no rule, so they were not refreshed.")
    try:
        for segment in dynamic:
            request_refresh(segment, datetime.now(UTC))
    except BrokerUnavailable:
        messages.error(request, BROKER_UNAVAILABLE)
        return
    if dynamic:
        audit_log.log_changes(request, dynamic, "Requested a refresh.")
        text = f"{_queued_text(dynamic)} queued."
        if request.user.has_perm(VIEW_REFRESH):
            link = '{} <a href="{}" class="underline">See the refreshes</a>'
            text = format_html(link, text, reverse("admin:segments_refresh_changelist"))
        messages.success(request, text)


def queue_after_saving(request: HttpRequest, segment: Segment) -> None:
    """Queue the refresh of a segment that was just saved. If it cannot be queued, the schedule refreshes it."""
    try:
        request_refresh(segment, datetime.now(UTC))
    except BrokerUnavailable:
        messages.warning(
            request, "Redis is unavailable, so the members follow at the next scheduled refresh."
        )


@require_permissions(VIEW_SEGMENT, CHANGE_SEGMENT, methods=WRITE_METHODS)
def refresh_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Queue a refresh of one segment."""
    segment = get_object_or_404(Segment, pk=pk)
    queue_refreshes(request, [segment])
    return redirect("admin:segments_segment_change", segment.pk)


def _queued_text(segments: list[Segment]) -> str:
    if len(segments) == 1:
        return f"The refresh of {segments[0].name} is"
    return f"{len(segments)} refreshes are"
