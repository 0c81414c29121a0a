"""The workers of segments that are woken after a commit."""

from typing import Any, Final

from core.wakeup import WakeUp

from .models import Endpoint

REFRESH: Final = WakeUp("segments.tasks.refresh_pending", marker="segments:a-pass-waits")
WEBHOOKS: Final = WakeUp("segments.tasks.deliver_webhooks", marker="webhooks:a-run-waits")


def request_webhooks(**_: Any) -> None:
    """Wake the worker of webhooks unless there is no active endpoint."""
    if Endpoint.objects.filter(is_active=True).exists():
        WEBHOOKS.request()
