"""Segments, their members and changes, refreshes, and webhooks."""

from .label import MAX_TAG_LENGTH, Star, Tag
from .lifecycle import LifecycleStage
from .membership import Change, DailyChangeCount, Membership
from .refresh import Refresh, RefreshResult, Verification
from .segment import SLUG_IS_TAKEN, SLUG_LENGTH, Segment, SegmentQuerySet, Version
from .webhook import Attempt, Endpoint, Message

__all__ = [
    "MAX_TAG_LENGTH",
    "SLUG_IS_TAKEN",
    "SLUG_LENGTH",
    "Attempt",
    "Change",
    "DailyChangeCount",
    "Endpoint",
    "LifecycleStage",
    "Membership",
    "Message",
    "Refresh",
    "RefreshResult",
    "Segment",
    "SegmentQuerySet",
    "Star",
    "Tag",
    "Verification",
    "Version",
]
