"""Editing the members of fixed lists."""

from collections.abc import Callable, Iterable
from datetime import datetime

from django.db import transaction

from .models import Segment
from .models.membership import Change, Membership
from .refresh.write import Outcome, lock_members, set_list_members


def add_customers(segment: Segment, customers: Iterable[int], at: datetime) -> Outcome:
    """Add customers to a list."""
    return _fill(segment, at, lambda members: members | set(customers))


def remove_customers(segment: Segment, customers: Iterable[int], at: datetime) -> Outcome:
    return _fill(segment, at, lambda members: members - set(customers))


def _fill(segment: Segment, at: datetime, change: Callable[[set[int]], set[int]]) -> Outcome:
    with transaction.atomic():
        # Concurrent edits are applied one after another.
        lock_members()
        locked = Segment.objects.get(pk=segment.pk)
        members = set(Membership.objects.filter(segment=locked).values_list("customer_id", flat=True))
        wanted = change(members)
        if wanted == members:
            return Outcome(locked, locked.size, locked.known_size)
        return set_list_members(locked, wanted, at, Change.Cause.ACTIVITY)
