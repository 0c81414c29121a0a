"""Which months of events get a partition of their own on PostgreSQL (see ``core.db.partitions``).

Each partition costs every query on events a little, and anybody can send events of any time with the key of a browser.
So such events create partitions only for the months around the present. A month of which only browsers have sent events
stays in the default partition.
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
MAX_BROWSERS_PAST_MONTHS: Final = 1
MAX_FUTURE_MONTHS: Final = 2
_TABLE: Final = Event._meta.db_table
_AT: Final = EVENTS.columns.index("occurred_at")


def create_for(records: Iterable[tuple[int, Record]], origin: Origin, at: datetime) -> None:
    """Create the missing partitions for records of events."""
    past = MAX_BROWSERS_PAST_MONTHS if origin is Origin.BROWSER else MAX_PAST_MONTHS
    allowed = months_around(at, past, MAX_FUTURE_MONTHS)
    named = {record[_AT][:7] for _, record in records if record[_AT] is not None}
    partitions.create_months(_TABLE, [month for month in allowed if f"{month:%Y-%m}" in named])


def maintain(at: datetime) -> None:
    """Create the partitions of the next months, and move events out of the default partition."""
    partitions.forget_checks()
    partitions.create_months(_TABLE, months_around(at, 0, MAX_FUTURE_MONTHS))
    for past, condition in ((MAX_BROWSERS_PAST_MONTHS, "true"), (MAX_PAST_MONTHS, "NOT is_from_browser")):
        months = months_around(at, past, MAX_FUTURE_MONTHS)
        partitions.move_from_default(_TABLE, "occurred_at", months, condition)


def months_around(at: datetime, past: int, future: int) -> list[date]:
    """Return the first days of the month of an instant, and of so many months before and after it."""
    count = at.year * 12 + at.month - 1
    return [date(month // 12, month % 12 + 1, 1) for month in range(count - past, count + future + 1)]
