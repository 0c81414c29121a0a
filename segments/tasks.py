"""Background work: refreshes, verifications, long counts, webhooks. Each task is an edge that may run twice."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from celery import shared_task

from . import wakeups
from .changes import retention
from .evaluation import counting
from .models import Segment
from .refresh import engine, lease, verification
from .webhooks import delivery

MAX_RUN_SECONDS: Final = 10.0  # seconds: other tasks have their turn, too, while more and more is recorded


@shared_task
def refresh_segment(segment_id: int, refresh_id: int | None = None) -> None:
    """Refresh one segment now; one deleted meanwhile is nothing to do, nor is a queued refresh that has begun."""
    with suppress(lease.AlreadyStarted):
        engine.refresh_segments(Segment.objects.filter(pk=segment_id), queued=refresh_id)


@shared_task
def refresh_all() -> None:
    """Refresh all active segments now."""
    engine.refresh_all()


@shared_task
def refresh_pending() -> None:
    """Refresh until nobody waits; give way to a refresh that runs, and after some seconds to other tasks."""
    wakeups.REFRESH.acknowledge()
    try:
        if not engine.refresh_pending(MAX_RUN_SECONDS):
            wakeups.REFRESH.request()
    except lease.RefreshRunning:
        wakeups.REFRESH.request_soon()


@shared_task
def verify_segments() -> None:
    """Verify all segments, and keep the outcome for staff to see."""
    verification.verify_all(datetime.now(UTC))


@shared_task
def delete_old_refreshes() -> None:
    """Delete refreshes that did nothing and are over for long."""
    retention.delete_old_refreshes(datetime.now(UTC))


@shared_task
def delete_erased_ids() -> None:
    """Take the ids of those erased long ago off the log of changes."""
    retention.delete_erased_ids(datetime.now(UTC))


@shared_task
def delete_old_changes() -> None:
    """Delete changes that are older than the log is kept for."""
    retention.delete_old_changes(datetime.now(UTC))


@shared_task
def count_rule(ticket: str) -> None:
    """Count a rule for somebody who is writing it."""
    counting.run_count(ticket)


@shared_task
def deliver_webhooks() -> None:
    """Tell endpoints what is due to be told."""
    delivery.run_worker()


@shared_task
def delete_old_webhook_messages() -> None:
    """Delete what endpoints were told long ago."""
    retention.delete_old_webhook_messages(datetime.now(UTC))
