"""The totals of buyers and the instant of the stored facts, in one row for each part of the customers.

A customer's part follows from the key. On PostgreSQL, transactions that update facts of different parts run side by
side, because each writes only rows of its own parts.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

from core.db import dialect, execution, transactions
from customers.models import PartialTotals

PARTS: Final = range(1, 33)
_TABLE: Final = PartialTotals._meta.db_table
_SUMS: Final = ("customers", "buyers", "total_spent", "average_order_value", "buyers_version")


@dataclass(frozen=True)
class Totals:
    """The instant of all stored facts, and the totals of buyers: see ``PartialTotals``."""

    updated_until: datetime
    customers: int
    buyers: int
    total_spent: int
    average_order_value: int
    buyers_version: int


TOTALS_COLUMNS: Final = tuple(field.name for field in fields(Totals))
TOTALS_SQL: Final = (
    "SELECT max(updated_until) AS updated_until, "
    + ", ".join(f"CAST(sum({name}) AS bigint) AS {name}" for name in _SUMS)
    + f" FROM {_TABLE}"
)
"""A query of one row with ``TOTALS_COLUMNS``, which are NULL before the first update of facts."""


def read_totals() -> Totals | None:
    """Return the totals; None before the first update of facts."""
    [row] = execution.fetch_all(TOTALS_SQL)
    return totals_from_row(row)


def totals_from_row(row: Sequence[Any]) -> Totals | None:
    """Return the totals of a row of ``TOTALS_SQL``."""
    updated_until, *sums = row
    return None if updated_until is None else Totals(dialect.datetime_from_row(updated_until), *sums)


def part_sql(customer: str) -> str:
    """Return the part of a customer, by the primary key."""
    return f"{customer} %% {len(PARTS)} + {PARTS.start}"


def lock_all_parts() -> AbstractContextManager[None]:
    """Return a transaction with a snapshot, in which nobody else has locked any part."""
    return transactions.locked_table(_TABLE, excludes_rows=True)


def lock_free_parts(parts: Collection[int], limit: int) -> AbstractContextManager[list[int]]:
    """Return a transaction with a snapshot that locks at most ``limit`` parts which nobody has locked.

    It must call ``add_to_totals`` with these parts. Raises ConcurrentWrite.
    """
    return transactions.locked_rows(_TABLE, parts, limit)


def wait_for_part(parts: Collection[int]) -> None:
    """Wait while another transaction has locked the first of some parts."""
    transactions.wait_for_row(_TABLE, min(parts))


def create_parts(at: datetime) -> None:
    """Create the rows of all parts, before the first update of facts, which is at an instant."""
    PartialTotals.objects.bulk_create(PartialTotals(pk=part, updated_until=at) for part in PARTS)


def reset_totals() -> None:
    """Set the sums to zero. Call it inside ``lock_all_parts``."""
    PartialTotals.objects.update(customers=0, buyers=0, total_spent=0, average_order_value=0)


def add_to_totals(gained: Sequence[int], parts: Sequence[int], updated_until: datetime | None = None) -> None:
    """Add to the sums, and store the instant of the facts if it is given, in rows of parts that are locked."""
    first, *others = parts
    # All rows are written: the next transaction that locks one must notice if its snapshot is older.
    where = f"id IN ({', '.join(map(str, parts))})"
    sums = (
        ", ".join(f"{name} = {name} + CASE id WHEN {first} THEN %s ELSE 0 END" for name in _SUMS)
        if others
        else ", ".join(f"{name} = {name} + %s" for name in _SUMS)
    )
    instant = "" if updated_until is None else f"updated_until = {dialect.datetime_cast_sql('%s')}, "
    execution.execute(
        f"UPDATE {_TABLE} SET {instant}{sums} WHERE {where}",
        [*([dialect.datetime_param(updated_until)] if updated_until else []), *gained],
    )
