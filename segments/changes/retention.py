"""What is kept for how long: every pass is a row, and most did nothing that anybody will ask for."""

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


def delete_old_refreshes(now: datetime) -> int:
    """Delete refreshes without results older than a day, failed ones after a month; give how many.

    Of those still queued after a day the message to the worker was lost.

    Those that members come from stay, and those with results: the history of the segments is made of them.
    """
    old = Refresh.objects.filter(
        ~Exists(RefreshResult.objects.filter(refresh=OuterRef("pk"))),
        ~Exists(Segment.objects.filter(refresh=OuterRef("pk"))),
    ).order_by()
    done = old.filter(state=Refresh.State.DONE, started_at__lt=now - EMPTY_REFRESH_RETENTION)
    queued = old.filter(state=Refresh.State.QUEUED, started_at__lt=now - EMPTY_REFRESH_RETENTION)
    failed = old.filter(state=Refresh.State.FAILED, started_at__lt=now - FAILED_REFRESH_RETENTION)
    return sum(rows.delete()[0] for rows in (done, queued, failed))


def delete_erased_ids(now: datetime) -> int:
    """Take the ids of those erased a month ago off the log: whoever follows it has let go of them by then."""
    return deletion.delete_erased_ids(now - ERASED_ID_RETENTION)


def delete_old_changes(now: datetime) -> int:
    """Delete changes older than CHANGES_KEPT_FOR, some thousands a transaction; give how many.

    The tallies by day stay: they tell the history of the segments.
    """
    before = now - timedelta(days=settings.CHANGES_KEPT_FOR)
    gone = 0
    for segment in Segment.objects.values_list("pk", flat=True):
        while some := deletion.delete_oldest_changes(segment, before, DELETION_BATCH_SIZE):
            gone += some
    return gone


def delete_old_webhook_messages(now: datetime) -> int:
    """Delete messages that were delivered or given up, with their answers, as long ago as the settings say."""
    return outbox.forget_old_messages(now - timedelta(days=settings.WEBHOOK_LOG_KEPT_FOR))
