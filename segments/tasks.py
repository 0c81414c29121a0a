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

LONGEST_RUN: Final = 10.0  # seconds: other tasks have their turn, too, while more and more is recorded


@shared_task
def refresh_segment(segment_id: int, refresh_id: int | None = None) -> None:
    """Refresh one segment now; one deleted meanwhile is nothing to do, nor is a queued refresh that has begun."""
    with suppress(lease.Taken):
        engine.refresh_segments(Segment.objects.filter(pk=segment_id), queued=refresh_id)


@shared_task
def refresh_all() -> None:
    """Refresh all active segments now."""
    engine.refresh_all()


@shared_task
def catch_up() -> None:
    """Refresh until nobody waits; give way to a refresh that runs, and after some seconds to other tasks."""
    wakeups.REFRESH.acknowledge()
    try:
        if not engine.refresh_pending(LONGEST_RUN):
            wakeups.REFRESH.request()
    except lease.Busy:
        wakeups.REFRESH.request_soon()


@shared_task
def verify_segments() -> None:
    """Verify all segments, and keep the outcome for staff to see."""
    verification.record(datetime.now(UTC))


@shared_task
def forget_refreshes() -> None:
    """Delete refreshes that did nothing and are over for long."""
    retention.forget_refreshes(datetime.now(UTC))


@shared_task
def forget_erased() -> None:
    """Take the ids of those erased long ago off the log of changes."""
    retention.forget_erased(datetime.now(UTC))


@shared_task
def forget_changes() -> None:
    """Delete changes that are older than the log is kept for."""
    retention.forget_changes(datetime.now(UTC))


@shared_task
def count_rule(ticket: str) -> None:
    """Count a rule for somebody who is writing it."""
    counting.carry_out(ticket)


@shared_task
def deliver_webhooks() -> None:
    """Tell endpoints what is due to be told."""
    delivery.run()


@shared_task
def forget_webhook_messages() -> None:
    """Delete what endpoints were told long ago."""
    retention.forget_webhook_messages(datetime.now(UTC))
