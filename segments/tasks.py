"""Background work: refreshes. Each task is an edge around ``segments.membership`` and may run twice."""

from datetime import UTC, datetime

from celery import shared_task

from . import membership
from .models import Segment


@shared_task
def refresh_segment(segment_id: int) -> None:
    """Refresh one segment now; one deleted meanwhile is nothing to do."""
    membership.refresh(Segment.objects.filter(pk=segment_id), _now())


@shared_task
def refresh_all() -> None:
    """Refresh all active segments now."""
    membership.refresh(Segment.objects.active(), _now())


def _now() -> datetime:
    return datetime.now(UTC)
