"""That something was recorded: a wake-up call after the commit. What happened stands in the queues, not here."""

from typing import Final

from django.db import transaction
from django.dispatch import Signal

recorded: Final = Signal()
"""Sent after a transaction with records, and without saying which: it may come too often, or get lost."""


def announce() -> None:
    """Send the signal once this transaction is committed; nobody's failure to hear it undoes the commit."""
    transaction.on_commit(_send, robust=True)


def _send() -> None:
    recorded.send(sender=None)
