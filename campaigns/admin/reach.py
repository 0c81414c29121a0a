"""The reach of a segment, as a panel of its overview: people, known, may be written to, under the weekly cap."""

from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.template.response import TemplateResponse

from campaigns.delivery import reach
from core.admin.permissions import READ_METHODS, require_permissions
from core.db import time_limits
from segments.admin.access import VIEW_SEGMENT
from segments.insights import QUERY_SECONDS
from segments.models import Segment

TEMPLATE: Final = "campaigns/admin/reach.html"


def reach_panel(request: HttpRequest, segment: Segment) -> str:
    """Return the panel with what is stored; htmx loads the rest."""
    return render_to_string(TEMPLATE, {"segment": segment, "is_first": True}, request=request)


@require_permissions(VIEW_SEGMENT, methods=READ_METHODS)
def reach_view(model_admin: Any, request: HttpRequest, pk: int) -> HttpResponse:
    """Return the counted panel, for htmx."""
    segment = get_object_or_404(Segment, pk=pk)
    context: dict[str, Any] = {"segment": segment, "cap": settings.CAMPAIGN_MESSAGES_A_WEEK}
    try:
        context["reach"] = reach.segment_reach(segment, datetime.now(UTC), seconds=QUERY_SECONDS)
    except time_limits.StatementTimeout:
        context["patience"] = QUERY_SECONDS
    return TemplateResponse(request, TEMPLATE, context)
