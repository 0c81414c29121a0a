"""How many requests a minute each caller may send: by groups of addresses, so that cheap and costly ones differ."""

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
    """Counts each caller's requests by group; a view that belongs to another group than usual names it ``rate``."""

    seconds = 0

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count the request; whoever has sent too many is told to wait."""
        self.seconds = rate_limits.throttle_group(*_counter(request, view), datetime.now(UTC))
        return not self.seconds

    def wait(self) -> int:
        """Give the seconds until the next may come."""
        return self.seconds


def _counter(request: Request, view: Any) -> tuple[str, str]:
    who = caller_id(request)
    if request.auth is None and isinstance(request.user, AnonymousUser):
        return ANONYMOUS, who
    group = getattr(view, "rate", None) or (READING if request.method in SAFE_METHODS else WRITING)
    if group == VISITORS:
        # All pages share one key: what one browser sends in excess is not held against the others.
        who = f"{who} {rate_limit_key(client_ip(request._request))}"
    return group, who
