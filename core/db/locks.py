"""Taking turns: of several transactions that want the same turn, one goes on and the others wait.

A plain table, one row a turn. On SQLite a write transaction is alone in any case.
"""

from django.db import connection

from core.models.named_lock import NamedLock


def try_acquire(name: str) -> bool:
    """Take the turn unless somebody else has it; it ends with the transaction."""
    NamedLock.objects.get_or_create(name=name)
    free = NamedLock.objects.select_for_update(
        skip_locked=connection.features.has_select_for_update_skip_locked
    )
    return free.filter(name=name).first() is not None


def acquire(name: str) -> None:
    """Wait for the turn; it ends with the transaction."""
    rows = NamedLock.objects.select_for_update().filter(name=name)
    if not list(rows):
        NamedLock.objects.get_or_create(name=name)
        rows.get()
