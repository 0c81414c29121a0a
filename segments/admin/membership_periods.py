"""When a customer was in which segment, and what let them in and out: read off the log of changes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from customers.models import Customer
from segments.models import Change, Membership, Segment

MAX_CHANGES = 500


@dataclass(frozen=True)
class MembershipPeriod:
    """A customer in a segment; what lies before the changes that are read is None."""

    segment: Segment
    entered_at: datetime | None
    entered_because: str = ""
    left_at: datetime | None = None
    left_because: str = ""


@dataclass(frozen=True)
class MembershipPeriods:
    """Where a customer is now, by name, and was before, the latest first."""

    now: list[MembershipPeriod]
    before: list[MembershipPeriod]
    is_cut: bool


def periods_of_customer(customer: Customer) -> MembershipPeriods:
    """Read them from the members and the latest changes."""
    changes = list(
        Change.objects.filter(customer=customer).select_related("segment").order_by("-pk")[: MAX_CHANGES + 1]
    )
    opened, before = _pair_changes(reversed(changes[:MAX_CHANGES]))
    members = Membership.objects.filter(customer=customer).select_related("segment")
    now = [
        opened.get(member.segment_id) or MembershipPeriod(member.segment, member.entered_at)
        for member in members.order_by("segment__name", "segment_id")
    ]
    return MembershipPeriods(now, before[::-1], len(changes) > MAX_CHANGES)


def _pair_changes(changes: Iterable[Change]) -> tuple[dict[int, MembershipPeriod], list[MembershipPeriod]]:
    """Give the periods that are still open, by segment, and those that ended, in the order of their ends."""
    opened: dict[int, MembershipPeriod] = {}
    ended: list[MembershipPeriod] = []
    for change in changes:
        because = change.get_cause_display()
        if change.change == Change.Kind.ENTERED:
            opened[change.segment_id] = MembershipPeriod(change.segment, change.at, because)
        else:
            period = opened.pop(change.segment_id, None) or MembershipPeriod(change.segment, None)
            ended.append(replace(period, left_at=change.at, left_because=because))
    return opened, ended
