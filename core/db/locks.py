"""Named locks: of several transactions that want the same lock, one continues and the others wait.

A lock is a row of ``NamedLock``. On SQLite, there is only one write transaction at a time anyway.
"""

from core.models.named_lock import NamedLock

from . import execution


def try_acquire_one_of(name: str, count: int) -> bool:
    """Acquire one of several locks of a name until the transaction ends. Return False if all of them are taken.

    PostgreSQL only. These are advisory locks: a row that does not exist yet would have to be committed first.
    """
    return bool(
        execution.fetch_all(
            """SELECT 1 FROM generate_series(1, %s) AS number
               WHERE pg_try_advisory_xact_lock(hashtext(%s), number) LIMIT 1""",
            [count, name],
        )
    )


def acquire(name: str) -> None:
    """Wait for the lock, and hold it until the transaction ends."""
    rows = NamedLock.objects.select_for_update().filter(name=name)
    if not list(rows):
        NamedLock.objects.get_or_create(name=name)
        rows.get()
