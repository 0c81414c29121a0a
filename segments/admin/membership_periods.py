"""When a customer was in which segment, and what let them in and out: read off the log of changes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from customers.models import Customer
from segments.models import Change, Membership, Segment

CHANGES_READ = 500


@dataclass(frozen=True)
class Period:
    """A customer in a segment; what lies before the changes that are read is None."""

    segment: Segment
    entered_at: datetime | None
    entered_because: str = ""
    left_at: datetime | None = None
    left_because: str = ""


@dataclass(frozen=True)
class Periods:
    """Where a customer is now, by name, and was before, the latest first."""

    now: list[Period]
    before: list[Period]
    is_cut: bool


def of(customer: Customer) -> Periods:
    """Read them from the members and the latest changes."""
    changes = list(
        Change.objects.filter(customer=customer).select_related("segment").order_by("-pk")[: CHANGES_READ + 1]
    )
    opened, before = _pair(reversed(changes[:CHANGES_READ]))
    members = Membership.objects.filter(customer=customer).select_related("segment")
    now = [
        opened.get(member.segment_id) or Period(member.segment, member.entered_at)
        for member in members.order_by("segment__name", "segment_id")
    ]
    return Periods(now, before[::-1], len(changes) > CHANGES_READ)


def _pair(changes: Iterable[Change]) -> tuple[dict[int, Period], list[Period]]:
    """Give the periods that are still open, by segment, and those that ended, in the order of their ends."""
    opened: dict[int, Period] = {}
    ended: list[Period] = []
    for change in changes:
        because = change.get_cause_display()
        if change.change == Change.Kind.ENTERED:
            opened[change.segment_id] = Period(change.segment, change.at, because)
        else:
            period = opened.pop(change.segment_id, None) or Period(change.segment, None)
            ended.append(replace(period, left_at=change.at, left_because=because))
    return opened, ended
