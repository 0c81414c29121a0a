"""Suppresses addresses after hard bounces and complaints.

Providers report later ones through the webhooks of django-anymail, if it is installed.
"""

from datetime import datetime
from typing import Any, Final

import structlog
from django.utils import timezone

from customers.consent import suppression
from customers.models import Suppression

log = structlog.get_logger(__name__)

Reason = Suppression.Reason

HARD_BOUNCE_REASONS: Final = {"bounced", "invalid"}
"""The reject reasons of django-anymail that are permanent."""


def suppress_address(address: str, at: datetime, detail: str, reason: str = Reason.BOUNCED) -> None:
    """Suppress an address until staff lift it; ``detail`` is the server's response."""
    source = "complaint" if reason == Reason.COMPLAINED else "bounce"
    if suppression.suppress(address, at, reason=reason, source=source, detail=detail):
        log.info("address_suppressed", reason=reason)


def handle_tracking_event(sender: Any, event: Any, esp_name: str = "", **named: Any) -> None:
    """Receive ``anymail.signals.tracking`` and suppress the address after a hard bounce or a complaint."""
    is_hard = event.event_type == "bounced" and event.reject_reason in HARD_BOUNCE_REASONS
    if not event.recipient or not (is_hard or event.event_type == "complained"):
        return
    detail = f"{esp_name}: {event.mta_response or event.description or event.event_type}"
    reason = Reason.BOUNCED if is_hard else Reason.COMPLAINED
    suppress_address(event.recipient, event.timestamp or timezone.now(), detail, reason)
