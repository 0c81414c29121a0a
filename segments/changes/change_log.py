"""The log of changes as others follow it: in the order of their ids, from a place that they have kept.

The ids of a segment commit in their order, so that whoever goes on behind the last one they have read misses nothing.
"""

from collections.abc import Iterator

from segments.models import Change, Segment

CHANGES_BATCH_SIZE = 5_000
MAX_CHANGE_ID = 2**63 - 1


class ChangesGone(LookupError):
    """Of the changes behind that place some are not kept any more, or do not name their customer."""


def read_changes(segment: Segment, after: int | None, count: int) -> list[Change]:
    """Give the next changes behind an id, or, without one, the oldest that are kept. Raises Gone."""
    changes = Change.objects.filter(segment=segment, pk__gt=after or 0).order_by("pk")
    found = list(changes.only("segment", "public_id", "change", "at", "cause")[:count])
    # Asked behind the changes: what was deleted before they were read shows by now.
    if after is not None and after < log_starts_at(segment):
        raise ChangesGone
    return found


def change_batches(segment: Segment, after: int | None) -> Iterator[list[Change]]:
    """Give all changes behind an id, each share by a query of its own. Raises Gone."""
    is_more = True
    while is_more:
        share = read_changes(segment, after, CHANGES_BATCH_SIZE)
        is_more = len(share) == CHANGES_BATCH_SIZE
        if share:
            after = share[-1].pk
            yield share


def latest_change_id(segment: Segment) -> int:
    """Give the id behind which the changes to come will be."""
    newest = Change.objects.filter(segment=segment).order_by("-pk").values_list("pk", flat=True).first()
    return max(newest or 0, log_starts_at(segment))


def log_starts_at(segment: Segment) -> int:
    """Give the least id from which on the log can be followed."""
    return Segment.objects.filter(pk=segment.pk).values_list("log_starts_at", flat=True).first() or 0
