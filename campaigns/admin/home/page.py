"""The home page: what its template shows at once. Panels that read many rows are loaded later."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from campaigns.admin import notices
from segments.admin import dashboard

from . import first_day


def home_context(request: HttpRequest, context: dict[str, Any]) -> Mapping[str, Any]:
    """Return the context of the home page; ``DASHBOARD_CALLBACK`` of the admin's theme."""
    steps = first_day.first_day(request)
    return dashboard.dashboard_context(request, context) | {
        "first_day": steps,
        # On the first day, one of the steps says what is missing.
        "notices": [] if steps and steps.is_open else notices.sending_notices(request),
    }
