"""Signals of customers. They say that something happened; what happened is in the rows."""

from typing import Final

from django.dispatch import Signal

records_changed: Final = Signal()
"""Sent after a transaction that wrote records, without naming them: it may come too often, or get lost."""
