"""Segments with their members and changes, and the webhooks that tell of these."""

from .segment import (
    SLUG_IS_TAKEN,
    SLUG_LENGTH,
    Change,
    Membership,
    Refresh,
    RefreshResult,
    Segment,
    SegmentQuerySet,
    Tally,
    Verification,
    Version,
)
from .webhook import Attempt, Endpoint, Message

__all__ = [
    "SLUG_IS_TAKEN",
    "SLUG_LENGTH",
    "Attempt",
    "Change",
    "Endpoint",
    "Membership",
    "Message",
    "Refresh",
    "RefreshResult",
    "Segment",
    "SegmentQuerySet",
    "Tally",
    "Verification",
    "Version",
]
