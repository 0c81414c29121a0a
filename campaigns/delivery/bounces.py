"""Addresses at which nobody is, as mail servers and providers say: they get no more messages.

What a provider tells later comes by the webhook of django-anymail, where that is installed.
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
"""What django-anymail calls the reason of a bounce that another attempt does not mend."""


def suppress_address(address: str, at: datetime, answer: str, reason: str = Reason.BOUNCED) -> None:
    """Let no more messages go to an address until staff lift it, with what was said of it."""
    source = "complaint" if reason == Reason.COMPLAINED else "bounce"
    if suppression.suppress(address, at, reason=reason, source=source, detail=answer):
        log.info("address_suppressed", reason=reason)


def handle_tracking_event(sender: Any, event: Any, esp_name: str = "", **named: Any) -> None:
    """Take what a provider tells of a message (``anymail.signals.tracking``): a hard bounce, or a complaint."""
    is_hard = event.event_type == "bounced" and event.reject_reason in HARD_BOUNCE_REASONS
    if not event.recipient or not (is_hard or event.event_type == "complained"):
        return
    answer = f"{esp_name}: {event.mta_response or event.description or event.event_type}"
    reason = Reason.BOUNCED if is_hard else Reason.COMPLAINED
    suppress_address(event.recipient, event.timestamp or timezone.now(), answer, reason)
