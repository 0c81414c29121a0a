"""Ranges of birthdays. A birthday is stored as month × 100 + day."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from django.db.models import F, Q

from .lookups import Range

DAY = timedelta(days=1)
ALL_DAYS, NO_DAYS = (101, 1231), (1, 0, 1, 0)


def birthday_q(ends: Callable[[int], Any]) -> Q:
    """Build the query of birthdays in one of two ranges of days; ``ends`` returns their four ends."""
    birthday = F("birthday")
    return Range(ends(0), ends(1)).q(birthday) | Range(ends(2), ends(3)).q(birthday)


def birthday_ranges(first: date, last: date) -> tuple[int, int, int, int]:
    """Return the days from ``first`` to ``last`` as two ranges; the second is for days after the end of the year."""
    if (last - first).days >= 365:
        return (*ALL_DAYS, *NO_DAYS[:2])
    start, end = first.month * 100 + first.day, last.month * 100 + last.day
    if end == 228 and (last + DAY).month == 3:
        end = 229  # in this year birthdays on the 29th are on the 28th
    return (start, end, *NO_DAYS[:2]) if start <= end else (start, 1231, 101, end)
