"""The periods in which a customer was in segments, with the causes, from the change log."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from customers.models import Customer
from segments.models import Change, Membership, Segment

MAX_CHANGES = 500


@dataclass(frozen=True)
class MembershipPeriod:
    """The time of a customer in a segment. ``entered_at`` is None if the change is older than those read."""

    segment: Segment
    entered_at: datetime | None
    entered_because: str = ""
    left_at: datetime | None = None
    left_because: str = ""


@dataclass(frozen=True)
class MembershipPeriods:
    """Current segments by name, and former ones, the latest first. ``is_cut`` if older changes were not read."""

    now: list[MembershipPeriod]
    before: list[MembershipPeriod]
    is_cut: bool


def periods_of_customer(customer: Customer) -> MembershipPeriods:
    """Return the periods from the stored members and the latest changes."""
    changes = list(
        Change.objects.filter(customer=customer).select_related("segment").order_by("-pk")[: MAX_CHANGES + 1]
    )
    opened, before = _pair_changes(reversed(changes[:MAX_CHANGES]))
    entered = dict(Membership.objects.filter(customer=customer).values_list("segment_id", "entered_at"))
    now = [
        opened.get(segment.pk) or MembershipPeriod(segment, entered[segment.pk])
        for segment in Segment.objects.filter(pk__in=entered).order_by("name", "pk")
    ]
    return MembershipPeriods(now, before[::-1], len(changes) > MAX_CHANGES)


def _pair_changes(changes: Iterable[Change]) -> tuple[dict[int, MembershipPeriod], list[MembershipPeriod]]:
    """Return the open periods, by segment, and the ended ones, in the order in which they ended."""
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
