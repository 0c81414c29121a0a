"""Fixed lists by hand: who is put on one, who is taken off. ``membership.fill`` writes the members."""

from collections.abc import Callable, Iterable
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction

from . import membership, references
from .membership import Outcome
from .models import Change, Membership, Segment


def add(segment: Segment, customers: Iterable[int], at: datetime) -> Outcome:
    """Put customers, named by their keys, on a list beside those who are there."""
    return _fill(segment, at, lambda members: members | set(customers))


def remove(segment: Segment, customers: Iterable[int], at: datetime) -> Outcome:
    """Take customers off a list."""
    return _fill(segment, at, lambda members: members - set(customers))


def describe(segment: Segment) -> Segment:
    """Save a list's slug, name and description; raises ValidationError where one will not do."""
    with transaction.atomic():
        segment.full_clean(exclude=["rule"])
        before = Segment.objects.select_for_update().get(pk=segment.pk)
        if before.slug != segment.slug and (users := references.referrers(before.slug)):
            names = ", ".join(user.slug for user in users)
            raise ValidationError(
                {"slug": f"The rules of {names} refer to {before.slug}; change them first."}
            )
        segment.save(update_fields=["slug", "name", "description", "updated_at"])
    return segment


def _fill(segment: Segment, at: datetime, change: Callable[[set[int]], set[int]]) -> Outcome:
    with transaction.atomic():
        # Two who add at once: the second adds to what the first has left.
        locked = Segment.objects.select_for_update().get(pk=segment.pk)
        members = set(Membership.objects.filter(segment=locked).values_list("customer_id", flat=True))
        wanted = change(members)
        if wanted == members:
            return Outcome(locked, locked.size, locked.known_size)
        return membership.fill(locked, wanted, at, Change.Cause.ACTIVITY)
