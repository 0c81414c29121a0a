"""Rate limits of the API, by caller and by group of endpoints, so that costly endpoints have lower limits."""

from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import AnonymousUser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from core import rate_limits
from core.http.client_ip import client_ip, rate_limit_key

from .authentication import caller_id

READING, WRITING, INGEST, COSTLY, VISITORS = "reading", "writing", "ingest", "costly", "visitors"
ANONYMOUS = "strangers"


class CallerThrottle(BaseThrottle):
    """Limits each caller's requests per group. A view sets ``rate`` if its group is not reading or writing."""

    seconds = 0

    def allow_request(self, request: Request, view: Any) -> bool:
        self.seconds = rate_limits.throttle_group(*_counter(request, view), datetime.now(UTC))
        return not self.seconds

    def wait(self) -> int:
        return self.seconds


def _counter(request: Request, view: Any) -> tuple[str, str]:
    caller = caller_id(request)
    if request.auth is None and isinstance(request.user, AnonymousUser):
        return ANONYMOUS, caller
    group = getattr(view, "rate", None) or (READING if request.method in SAFE_METHODS else WRITING)
    if group == VISITORS:
        # All web pages share one key, so each browser is counted alone.
        caller = f"{caller} {rate_limit_key(client_ip(request._request))}"
    return group, caller
