"""Segments of the customers who would enter or leave another segment within a time, if nothing more is recorded.

They are ordinary segments, which campaigns use that start before such a change. Their rule says whose change it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.contrib.auth.models import User

from core.durations import duration_text, parse_duration, span_text

from . import references, segment_store
from .models import SLUG_LENGTH, Change, Segment

MIN_SPAN: Final = timedelta(days=1)
MAX_SPAN: Final = timedelta(days=90)
USUAL_SPAN: Final = timedelta(days=7)

ENTERED, LEFT = Change.Kind.ENTERED.value, Change.Kind.LEFT.value


@dataclass(frozen=True)
class ComingChange:
    """The change of a segment that would happen within a span. ``kind`` is that of the change log."""

    slug: str
    kind: str
    span: timedelta

    def rule(self) -> dict[str, Any]:
        """Return the rule of the customers for whom it would happen."""
        now = {"in_segment": {"is": self.slug}}
        then = {"in_segment": {"is": self.slug, "in": span_text(self.span)}}
        return {"all": [now, {"none": [then]}] if self.kind == LEFT else [{"none": [now]}, then]}

    def name(self, of: str) -> str:
        """Return the name of its segment, from the name of the segment that changes."""
        return f"{'Leaves' if self.kind == LEFT else 'Becomes'} {of} within {duration_text(self.span)}"


def coming_change(segment: Segment) -> ComingChange | None:
    """Return whose change a segment is about; None if its rule is another one."""
    match segment.rule:
        case {"all": [{"in_segment": {"is": slug}}, {"none": [{"in_segment": {"in": span}}]}]}:
            kind = LEFT
        case {"all": [{"none": [{"in_segment": {"is": slug}}]}, {"in_segment": {"in": span}}]}:
            kind = ENTERED
        case _:
            return None
    try:
        found = ComingChange(slug, kind, parse_duration(span))
    except (TypeError, ValueError):
        return None
    return found if found.rule() == segment.rule else None


def segments_about(subject: Segment) -> list[Segment]:
    """Return the segments of coming changes of a segment."""
    return [
        segment
        for segment in references.referring_segments(subject.slug)
        if (change := coming_change(segment)) and change.slug == subject.slug
    ]


def find_segment(change: ComingChange) -> Segment | None:
    """Return the segment of a coming change, if it exists and is not paused."""
    for slug in _candidate_slugs(change):
        found = Segment.objects.filter(slug=slug).first()
        if found is None or _is_segment_of(found, change):
            return found
    raise AssertionError("unreachable: slugs do not end")


def get_or_create_segment(change: ComingChange, by: User | None = None) -> Segment:
    """Return the segment of a coming change; create it if it is missing. Raises RuleError if its rule is too long."""
    subject = Segment.objects.get(slug=change.slug)
    for slug in _candidate_slugs(change):
        found = Segment.objects.filter(slug=slug).first()
        if found is None:
            made = Segment(
                slug=slug,
                name=change.name(subject.name)[:200],
                description="For campaigns that start before the change.",
                rule=change.rule(),
            )
            return segment_store.save_segment(made, by=by)
        if _is_segment_of(found, change):
            return found
    raise AssertionError("unreachable: slugs do not end")


def _is_segment_of(segment: Segment, change: ComingChange) -> bool:
    return segment.is_active and segment.rule == change.rule()


def _candidate_slugs(change: ComingChange) -> Iterator[str]:
    verb = "leaving" if change.kind == LEFT else "becoming"
    number = 1
    while True:
        end = f"-{verb}-within-{span_text(change.span)}" + (f"-{number}" if number > 1 else "")
        yield change.slug[: SLUG_LENGTH - len(end)] + end
        number += 1
