"""Reading the change log in the order of ids, from a cursor on.

The changes of a segment commit in the order of their ids, so a reader that continues after its cursor misses nothing.
"""

from collections.abc import Iterator

from segments.models import Change, Segment

CHANGES_BATCH_SIZE = 5_000
MAX_CHANGE_ID = 2**63 - 1


class ChangesGone(LookupError):
    """Some changes after the cursor have been deleted or anonymized."""


def read_changes(segment: Segment, after: int | None, count: int) -> list[Change]:
    """Return the next changes after an id, or without an id the oldest changes. Raises ChangesGone."""
    changes = Change.objects.filter(segment=segment, pk__gt=after or 0).order_by("pk")
    batch = list(changes.only("segment", "public_id", "change", "at", "cause")[:count])
    # Checked after the changes are read, so that a deletion in between is noticed.
    if after is not None and after < log_starts_at(segment):
        raise ChangesGone
    return batch


def change_batches(segment: Segment, after: int | None) -> Iterator[list[Change]]:
    """Yield all changes after an id in batches, each by its own query. Raises ChangesGone."""
    has_more = True
    while has_more:
        batch = read_changes(segment, after, CHANGES_BATCH_SIZE)
        has_more = len(batch) == CHANGES_BATCH_SIZE
        if batch:
            after = batch[-1].pk
            yield batch


def end_of_log(segment: Segment) -> int:
    """Return the cursor of a reader that has read all changes, also if the latest ones have been deleted."""
    return max(Change.objects.filter(segment=segment).latest_id(), log_starts_at(segment))


def log_starts_at(segment: Segment) -> int:
    """Return the smallest id after which the log is complete."""
    return Segment.objects.filter(pk=segment.pk).values_list("log_starts_at", flat=True).first() or 0
