"""Signals of segments. They only say that something changed. The change log says what."""

from typing import Final

from django.dispatch import Signal

members_changed: Final = Signal()
"""Sent after a transaction that wrote changes. It may be sent too often, or get lost."""
