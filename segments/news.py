"""That members changed: a wake-up call after the commit. What changed stands in the log, not here."""

from typing import Final

from django.db import transaction
from django.dispatch import Signal

changed: Final = Signal()
"""Sent after a transaction with changes, and without saying which: it may come too often, or get lost."""


def announce() -> None:
    """Send the signal once this transaction is committed; nobody's failure to hear it undoes the commit."""
    transaction.on_commit(_send, robust=True)


def _send() -> None:
    changed.send(sender=None)
