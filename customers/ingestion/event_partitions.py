"""Which months of events get a partition of their own on PostgreSQL (see ``core.db.partitions``).

Anybody can send events of any time with the key of a browser. So their events create partitions only for the months
around the present, and older or later ones wait for the nightly ``maintain``.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

from core.db import partitions
from customers.models import Event
from customers.rows.kinds import EVENTS
from customers.rows.parsing import Record

from .results import Origin

MAX_PAST_MONTHS: Final = 120
MAX_FUTURE_MONTHS: Final = 2
_TABLE: Final = Event._meta.db_table
_AT: Final = EVENTS.columns.index("occurred_at")


def create_for(records: Iterable[tuple[int, Record]], origin: Origin, at: datetime) -> None:
    """Create the missing partitions for staged events."""
    past = 1 if origin is Origin.BROWSER else MAX_PAST_MONTHS
    allowed = months_around(at, past, MAX_FUTURE_MONTHS)
    named = {record[_AT][:7] for _, record in records if record[_AT] is not None}
    partitions.create_months(_TABLE, [month for month in allowed if f"{month:%Y-%m}" in named])


def maintain(at: datetime) -> None:
    """Create the partitions of the next months, and move events out of the default partition."""
    partitions.forget_checks()
    partitions.create_months(_TABLE, months_around(at, 0, MAX_FUTURE_MONTHS))
    partitions.move_from_default(_TABLE, "occurred_at", months_around(at, MAX_PAST_MONTHS, MAX_FUTURE_MONTHS))


def months_around(at: datetime, past: int, future: int) -> list[date]:
    """Return the first days of the month of an instant, and of so many months before and after it."""
    count = at.year * 12 + at.month - 1
    return [date(month // 12, month % 12 + 1, 1) for month in range(count - past, count + future + 1)]
