"""What is kept for how long: every pass is a row, and most did nothing that anybody will ask for."""

from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef

from . import membership
from .models import Refresh, RefreshResult, Segment

EMPTY_FOR = timedelta(days=1)
FAILED_FOR = timedelta(days=30)
ERASED_ARE_NAMED_FOR = timedelta(days=30)


def forget_refreshes(now: datetime) -> int:
    """Delete refreshes without results older than a day, failed ones after a month; give how many.

    Those that members come from stay, and those with results: the history of the segments is made of them.
    """
    old = Refresh.objects.filter(
        ~Exists(RefreshResult.objects.filter(refresh=OuterRef("pk"))),
        ~Exists(Segment.objects.filter(refresh=OuterRef("pk"))),
    ).order_by()
    done = old.filter(state=Refresh.State.DONE, started_at__lt=now - EMPTY_FOR)
    failed = old.filter(state=Refresh.State.FAILED, started_at__lt=now - FAILED_FOR)
    return sum(rows.delete()[0] for rows in (done, failed))


def forget_erased(now: datetime) -> int:
    """Take the ids of those erased a month ago off the log: whoever follows it has let go of them by then."""
    return membership.forget_names(now - ERASED_ARE_NAMED_FOR)
