"""Taking turns: of several transactions that want the same turn, one goes on and the others wait.

A plain table, one row a turn. On SQLite a write transaction is alone in any case.
"""

from django.db import connection

from .models.turn import Turn


def try_turn(name: str) -> bool:
    """Take the turn unless somebody else has it; it ends with the transaction."""
    Turn.objects.get_or_create(name=name)
    free = Turn.objects.select_for_update(skip_locked=connection.features.has_select_for_update_skip_locked)
    return free.filter(name=name).first() is not None


def take_turn(name: str) -> None:
    """Wait for the turn; it ends with the transaction."""
    rows = Turn.objects.select_for_update().filter(name=name)
    if not list(rows):
        Turn.objects.get_or_create(name=name)
        rows.get()
