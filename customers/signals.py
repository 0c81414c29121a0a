"""Signals of customers. They carry no data: what happened is in the rows."""

from typing import Final

from django.dispatch import Signal

records_changed: Final = Signal()
"""Sent after a transaction that wrote records. It may be sent too often, or get lost."""
