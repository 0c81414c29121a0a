"""The home page: what its template shows at once. Panels that read many rows are loaded later."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest

from campaigns.admin import notices
from segments.admin import dashboard


def home_context(request: HttpRequest, context: dict[str, Any]) -> Mapping[str, Any]:
    """Return the context of the home page; ``DASHBOARD_CALLBACK`` of the admin's theme."""
    return dashboard.dashboard_context(request, context) | {"notices": notices.sending_notices(request)}
