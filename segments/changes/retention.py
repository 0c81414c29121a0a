"""How long refreshes, changes and webhook messages are kept."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef

from segments.models import Refresh, RefreshResult, Segment
from segments.refresh import deletion
from segments.webhooks import outbox

EMPTY_REFRESH_RETENTION = timedelta(days=1)
FAILED_REFRESH_RETENTION = timedelta(days=30)
ERASED_ID_RETENTION = timedelta(days=30)
DELETION_BATCH_SIZE = 10_000


def delete_old_refreshes(at: datetime) -> int:
    """Delete refreshes without results after a day, failed ones after a month. Return how many.

    A refresh that is still queued after a day is deleted, since its task was lost. Refreshes with results are kept as
    the history of segments, and so is the latest refresh of each segment.
    """
    old = Refresh.objects.filter(
        ~Exists(RefreshResult.objects.filter(refresh=OuterRef("pk"))),
        ~Exists(Segment.objects.filter(refresh=OuterRef("pk"))),
    ).order_by()
    done = old.filter(state=Refresh.State.DONE, started_at__lt=at - EMPTY_REFRESH_RETENTION)
    queued = old.filter(state=Refresh.State.QUEUED, started_at__lt=at - EMPTY_REFRESH_RETENTION)
    failed = old.filter(state=Refresh.State.FAILED, started_at__lt=at - FAILED_REFRESH_RETENTION)
    return sum(rows.delete()[0] for rows in (done, queued, failed))


def delete_erased_ids(at: datetime) -> int:
    """Remove the ids of customers erased a month ago from the log; return from how many changes."""
    return deletion.delete_erased_ids(at - ERASED_ID_RETENTION)


def delete_old_changes(at: datetime) -> int:
    """Delete changes older than CHANGES_KEPT_FOR, in batches. Return how many. The daily counts are kept."""
    before = at - timedelta(days=settings.CHANGES_KEPT_FOR)
    deleted = 0
    for segment in Segment.objects.values_list("pk", flat=True):
        while count := deletion.delete_oldest_changes(segment, before, DELETION_BATCH_SIZE):
            deleted += count
    return deleted


def delete_old_webhook_messages(at: datetime) -> int:
    """Delete finished messages and their attempts after WEBHOOK_LOG_KEPT_FOR days. Return how many."""
    return outbox.delete_old_messages(at - timedelta(days=settings.WEBHOOK_LOG_KEPT_FOR))
