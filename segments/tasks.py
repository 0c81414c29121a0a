"""Celery tasks of segments. Each task may run twice."""

from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Final

from celery import shared_task

from . import wakeups
from .changes import retention
from .evaluation import counting
from .history import runs
from .lifecycle import kept_flows
from .models import Segment
from .refresh import engine, lease, verification
from .webhooks import delivery

MAX_RUN_SECONDS: Final = 10.0  # then other tasks have their turn


@shared_task
def refresh_segment(segment_id: int, refresh_id: int | None = None) -> None:
    """Refresh one segment now. Do nothing if it was deleted, or if the requested refresh has started already."""
    with suppress(lease.AlreadyStarted):
        engine.refresh_segments(Segment.objects.filter(pk=segment_id), queued=refresh_id)


@shared_task
def refresh_all() -> None:
    """Refresh all active segments."""
    engine.refresh_all()


@shared_task
def refresh_pending() -> None:
    """Refresh until nothing is pending. If another refresh is running, or time is over, try again soon."""
    wakeups.REFRESH.acknowledge()
    try:
        if not engine.refresh_pending(MAX_RUN_SECONDS):
            wakeups.REFRESH.request()
    except lease.RefreshRunning:
        wakeups.REFRESH.request_soon()


@shared_task
def compute_histories() -> None:
    """Compute the next history that waits. Another task computes the one after it."""
    wakeups.HISTORY.acknowledge()
    if runs.run_next():
        wakeups.HISTORY.request()


@shared_task
def verify_segments() -> None:
    """Verify all segments, and store the results for staff."""
    verification.verify_all(datetime.now(UTC))


@shared_task
def delete_old_refreshes() -> None:
    """Delete old refreshes that changed nothing."""
    retention.delete_old_refreshes(datetime.now(UTC))


@shared_task
def delete_erased_ids() -> None:
    """Remove the ids of customers erased a month ago from the change log."""
    retention.delete_erased_ids(datetime.now(UTC))


@shared_task
def delete_old_changes() -> None:
    """Delete changes older than CHANGES_KEPT_FOR."""
    retention.delete_old_changes(datetime.now(UTC))


@shared_task
def count_rule(ticket: str) -> None:
    """Count a rule for staff who edit it."""
    counting.run_count(ticket)


@shared_task
def compute_flow(since: str, until: str) -> None:
    """Compute the flow between the ends of two days, for staff who wait for it."""
    kept_flows.compute_kept_flow(date.fromisoformat(since), date.fromisoformat(until))


@shared_task
def deliver_webhooks() -> None:
    """Send the webhook messages that are due."""
    delivery.run_worker()


@shared_task
def delete_old_webhook_messages() -> None:
    """Delete old webhook messages."""
    retention.delete_old_webhook_messages(datetime.now(UTC))
