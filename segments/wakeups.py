"""Wake-ups of the workers of segments."""

from typing import Any, Final

from core.wakeup import WakeUp

from .models import Endpoint

REFRESH: Final = WakeUp("segments.tasks.refresh_pending", marker="segments:refresh-requested")
HISTORY: Final = WakeUp("segments.tasks.compute_histories", marker="segments:history-requested")
WEBHOOKS: Final = WakeUp("segments.tasks.deliver_webhooks", marker="webhooks:delivery-requested")


def request_webhooks(**_: Any) -> None:
    """Wake the worker of webhooks if there is an active endpoint."""
    if Endpoint.objects.filter(is_active=True).exists():
        WEBHOOKS.request()
