"""Background work: refreshes. Each task is an edge around ``segments.membership`` and may run twice."""

from celery import shared_task

from . import membership
from .models import Segment


@shared_task
def refresh_segment(segment_id: int) -> None:
    """Refresh one segment now; one deleted meanwhile is nothing to do."""
    membership.refresh(Segment.objects.filter(pk=segment_id))


@shared_task
def refresh_all() -> None:
    """Refresh all active segments now."""
    membership.refresh(Segment.objects.active())
