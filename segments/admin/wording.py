"""Segments in the words of staff."""

from segments import explanation
from segments.models import Segment
from segments.rules import RuleError

STATUS_LABELS = {
    "up to date": "success",
    "failing": "danger",
    "edited, waits for a refresh": "warning",
    "not refreshed yet": "warning",
    "paused": "info",
    "fixed list": "primary",
}
_STATUSES = {
    "fresh": "up to date",
    "failing": "failing",
    "edited": "edited, waits for a refresh",
    "new": "not refreshed yet",
    "paused": "paused",
    "static": "fixed list",
}


def sentence(segment: Segment) -> str:
    """Say in English who is in a segment, or what keeps its rule from being read."""
    try:
        return explanation.sentence(segment)
    except RuleError as error:
        return f"The rule cannot be read: {error}"


def status(segment: Segment) -> str:
    """Say how a segment stands."""
    return _STATUSES[segment.status]


def label_of(segment: Segment) -> str:
    """Give the kind of label its status is shown as."""
    return STATUS_LABELS[status(segment)]
