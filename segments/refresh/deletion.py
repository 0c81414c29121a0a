"""Deleting members and changes: of erased customers, and of a log that is too old."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

from django.db import transaction
from django.db.models import Max

from core.wakeup import notify_on_commit
from segments.models import Change, Membership, Refresh, RefreshResult, Segment
from segments.signals import members_changed

from .write import count_by_day, lock_members


def erase_members(customers: Sequence[int], at: datetime) -> None:
    """Remove customers from all segments, in the transaction that erases them.

    The changes by which they leave keep their public id for a month, so that readers of the log can delete them, too.
    All other changes are anonymized. Sizes are updated at once.
    """
    lock_members()
    members = list(
        Membership.objects.filter(customer__in=customers)
        .order_by("segment_id", "customer_id")
        .values_list("segment_id", "customer_id", "customer__customer_id", "is_known")
    )
    _anonymize_changes(customers)
    if not members:
        return
    at = max(at, Segment.objects.aggregate(latest=Max("refreshed_at"))["latest"] or at)
    run = Refresh.objects.create(at=at, started_at=at, finished_at=at, state=Refresh.State.DONE)
    latest_id = Change.objects.latest_id()
    Change.objects.bulk_create(
        Change(
            segment_id=segment,
            customer_id=customer,
            public_id=public_id,
            names_erased=True,
            change=Change.Kind.LEFT,
            at=at,
            cause=Change.Cause.ERASURE,
            refresh=run,
        )
        for segment, customer, public_id, _ in members
    )
    count_by_day(at, after=latest_id)
    Membership.objects.filter(customer__in=customers).delete()
    left = Counter(segment for segment, *_ in members)
    known = Counter(segment for segment, *_, is_known in members if is_known)
    for segment in Segment.objects.filter(pk__in=left):
        size, known_size = segment.size - left[segment.pk], segment.known_size - known[segment.pk]
        Segment.objects.filter(pk=segment.pk).update(size=size, known_size=known_size)
        RefreshResult.objects.create(
            refresh=run,
            segment=segment,
            version=segment.refreshed_version,
            size=size,
            known_size=known_size,
            left=left[segment.pk],
        )
    notify_on_commit(members_changed)


def _anonymize_changes(customers: Sequence[int]) -> None:
    """Remove ids from the log, except from the last exit of each segment, for ``delete_erased_ids``."""
    changes = Change.objects.filter(customer__in=customers)
    latest = (
        changes.order_by()
        .values("segment", "customer")
        .annotate(latest=Max("pk"))
        .values_list("latest", flat=True)
    )
    exits = Change.objects.filter(pk__in=list(latest), change=Change.Kind.LEFT)
    exits.update(names_erased=True)
    changes.filter(names_erased=False).update(public_id="")


def delete_erased_ids(before: datetime) -> int:
    """Remove the ids of customers erased before an instant from the log; return from how many changes.

    A reader that has not read these changes yet must start again from the members.
    """
    named = Change.objects.filter(names_erased=True, at__lt=before)
    with transaction.atomic():
        lock_members()
        for segment, newest in named.order_by().values_list("segment").annotate(newest=Max("pk")):
            _advance_log_start(segment, newest)
        return named.update(public_id="", names_erased=False)


def delete_oldest_changes(segment: int, before: datetime, limit: int) -> int:
    """Delete the oldest changes of a segment from before an instant, at most ``limit``. Return how many."""
    with transaction.atomic():
        lock_members()  # an erasure, which takes this lock too, writes to the same rows
        oldest = Change.objects.filter(segment=segment).order_by("pk").values_list("pk", "at")[:limit]
        old = [change for change, _ in takewhile(lambda row: row[1] < before, oldest)]
        if old:
            Change.objects.filter(segment=segment, pk__lte=old[-1]).delete()
            _advance_log_start(segment, old[-1])
    return len(old)


def _advance_log_start(segment: int, change: int) -> None:
    Segment.objects.filter(pk=segment, log_starts_at__lt=change).update(log_starts_at=change)
