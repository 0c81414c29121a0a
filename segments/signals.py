"""Signals of segments. They say that something happened; what happened is in the change log."""

from typing import Final

from django.dispatch import Signal

members_changed: Final = Signal()
"""Sent after a transaction that wrote changes, without naming them: it may come too often, or get lost."""
