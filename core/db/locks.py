"""Named locks: of several transactions that want the same lock, one continues and the others wait.

Each lock is a row of ``NamedLock``. On SQLite, there is only one write transaction at a time anyway.
"""

from collections.abc import Sequence

from django.db import connection

from core.models.named_lock import NamedLock


def try_acquire(name: str) -> bool:
    """Acquire the lock until the transaction ends. Return False if another transaction has it."""
    rows = NamedLock.objects.select_for_update(
        skip_locked=connection.features.has_select_for_update_skip_locked
    ).filter(name=name)
    if rows.first() is not None:
        return True
    _, is_new = NamedLock.objects.get_or_create(name=name)
    return is_new and rows.first() is not None


def try_acquire_any(names: Sequence[str]) -> bool:
    """Acquire one of the locks until the transaction ends. Return False if other transactions have all of them."""
    rows = NamedLock.objects.filter(name__in=names)
    free = rows.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)
    if free.first() is not None:
        return True
    known = set(rows.values_list("name", flat=True))
    missing = [NamedLock(name=name) for name in sorted(set(names) - known)]
    NamedLock.objects.bulk_create(missing, ignore_conflicts=True)
    return bool(missing) and free.first() is not None


def acquire(name: str) -> None:
    """Wait for the lock, and hold it until the transaction ends."""
    rows = NamedLock.objects.select_for_update().filter(name=name)
    if not list(rows):
        NamedLock.objects.get_or_create(name=name)
        rows.get()
