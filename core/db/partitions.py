"""Monthly partitions of a table on PostgreSQL. On SQLite, which has none, these functions do nothing.

A row whose month has no partition is stored in the default partition, and found like any other. So partitions are only
a matter of speed: if a lock is not free, the month waits for ``move_from_default``.
"""

import time
from collections.abc import Collection, Iterable
from datetime import date
from typing import Final

import structlog
from django.db import DatabaseError, transaction

from .backends import is_postgresql
from .execution import execute, fetch_all

log = structlog.get_logger(__name__)

CHECK_SECONDS: Final = 600.0  # a created partition can be gone again, if its transaction was rolled back
RETRY_SECONDS: Final = 60.0
LOCK_TIMEOUT_MS: Final = 100
NIGHTLY_LOCK_TIMEOUT_MS: Final = 5_000

_next_check: dict[tuple[str, date], float] = {}


def next_month(month: date) -> date:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def create_months(table: str, months: Iterable[date]) -> None:
    """Create the missing partitions of months, each given by its first day, as far as locks are free.

    Call it before the transaction locks anything else.
    """
    if not is_postgresql():
        return
    now = time.monotonic()
    unchecked = [month for month in sorted(set(months)) if _next_check.get((table, month), 0.0) <= now]
    existing = partitions_of(table) if unchecked else set()
    for month in unchecked:
        is_there = partition_name(table, month) in existing or _create_month(table, month)
        _next_check[table, month] = now + (CHECK_SECONDS if is_there else RETRY_SECONDS)


def move_from_default(table: str, column: str, months: Collection[date], condition: str = "true") -> int:
    """Move rows of the default partition into partitions of their own.

    Months without rows there that meet the condition stay. Each month is a transaction. Return how many months were
    moved.
    """
    if not is_postgresql():
        return 0
    month = f"CAST(date_trunc('month', {column} AT TIME ZONE 'UTC') AS date)"
    rows = fetch_all(f"SELECT DISTINCT {month} FROM {default_name(table)} WHERE {condition}")
    waiting = [found for (found,) in rows]
    return sum(_create_month(table, found, column) for found in sorted(waiting) if found in months)


_EXPECTED: Final = frozenset(
    {
        "55P03",  # a lock is not free: the next records try it again
        "23514",  # the default partition has rows of the month: they move at night
    }
)


def forget_checks() -> None:
    """Let the next calls look for partitions again."""
    _next_check.clear()


def partitions_of(table: str) -> set[str]:
    return {
        name
        for (name,) in fetch_all(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [table]
        )
    }


def partition_name(table: str, month: date) -> str:
    return f"{table}_{month:%Y_%m}"


def default_name(table: str) -> str:
    return f"{table}_default"


def _create_month(table: str, month: date, moved_by: str = "") -> bool:
    """Create a partition, with the rows of the default partition if ``moved_by`` is the column with their time.

    Return False if a lock was not free, or if rows of the month are in the default partition.
    """
    name, since, until = partition_name(table, month), f"{month} 00:00+00", f"{next_month(month)} 00:00+00"
    timeout = NIGHTLY_LOCK_TIMEOUT_MS if moved_by else LOCK_TIMEOUT_MS
    try:
        with transaction.atomic():
            [(before,)] = fetch_all("SHOW lock_timeout")
            execute(f"SET LOCAL lock_timeout = {timeout}")
            execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS)")
            if moved_by:
                execute(
                    f"""WITH moved AS (DELETE FROM {default_name(table)}
                            WHERE {moved_by} >= '{since}' AND {moved_by} < '{until}' RETURNING *)
                        INSERT INTO {name} SELECT * FROM moved"""
                )
            # CREATE TABLE … PARTITION OF would block all statements on the table.
            execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{since}') TO ('{until}')")
            execute("SELECT set_config('lock_timeout', %s, true)", [before])
    except DatabaseError as error:
        if name in partitions_of(table):
            return True  # another process was faster
        if not moved_by and getattr(error.__cause__, "sqlstate", "") in _EXPECTED:
            return False
        log.warning("partition_not_created", table=name, error=f"{type(error).__name__}: {error}".strip())
        return False
    return True
