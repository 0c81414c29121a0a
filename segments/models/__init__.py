"""Segments, their members and changes, refreshes, histories, and webhooks."""

from .history import HistoryDay, HistoryRun, HistorySeries
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
    "HistoryDay",
    "HistoryRun",
    "HistorySeries",
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
