"""The charts of segments: their size, who entered and left, and small lines of trends."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final
from urllib.parse import urlencode

from django.urls import reverse

from core.admin.charts import Chart, Series, Style, short_date
from segments.insights import SegmentDay
from segments.models import Change, Segment

# Neighbouring colours are easy to tell apart, and have a contrast of 3:1 on white and on black.
CAUSE_STYLES: Final[Mapping[str, tuple[str, Style]]] = {
    Change.Cause.ACTIVITY: ("recorded activity", Style("#0284c7")),
    Change.Cause.TIME: ("time passed", Style("#d97706", 1)),
    Change.Cause.DEFINITION: ("the rule was edited", Style("#9333ea", 2)),
    Change.Cause.POPULATION: ("the shop's average changed", Style("#0d9488", 3)),
    Change.Cause.MERGE: ("profiles were merged", Style("#db2777", 4)),
    Change.Cause.ERASURE: ("the customer was erased", Style("#64748b", 5)),
    Change.Cause.INITIAL: ("first refresh", Style("#16a34a", 6)),
}
MOVEMENTS_HINT: Final = "Up: entered. Down: left."
SPARK_WIDTH, SPARK_HEIGHT = 100, 24


def size_chart(days: Sequence[SegmentDay], ahead: Mapping[date, int] | None = None) -> Chart:
    """Return a line: the members at the end of each day. A dotted line continues it by the days ahead."""
    first, last = days[0], days[-1]
    label = f"Members per day: {first.size:,} on {short_date(first.day)}, {last.size:,} on {short_date(last.day)}."
    dates = [day.day for day in days]
    sizes: list[int | None] = [day.size for day in days]
    if not ahead:
        return Chart("line", label, list(map(short_date, dates)), [Series("Members", sizes)])
    until, size = list(ahead.items())[-1]
    return Chart(
        "line",
        f"{label} If nothing more is recorded, {size:,} on {short_date(until)}.",
        list(map(short_date, [*dates, *ahead])),
        [
            Series("Members", sizes + [None] * len(ahead)),
            Series(
                "If nothing more is recorded",
                [None] * (len(dates) - 1) + [last.size, *ahead.values()],
                Style(line="dotted"),
            ),
        ],
        hint="Dotted: the week ahead, if nothing more is recorded.",
    )


def movements_chart(segment: Segment, days: Sequence[SegmentDay], *, sees_who: bool) -> Chart:
    """Return columns: entered upwards, left downwards, in the styles of the causes. Each can lead to who it was."""
    series, legend = [], []
    for cause, (words, style) in CAUSE_STYLES.items():
        entered = [day.entered.get(cause, 0) for day in days]
        left = [day.left.get(cause, 0) for day in days]
        for name, kind, counts, sign in (
            ("Entered", Change.Kind.ENTERED, entered, 1),
            ("Left", Change.Kind.LEFT, left, -1),
        ):
            if any(counts):
                links = [
                    changes_url(segment, kind, day.day, day.day, cause) if count and sees_who else ""
                    for day, count in zip(days, counts, strict=True)
                ]
                values = [sign * count for count in counts]
                series.append(Series(f"{name}: {words}", values, style, links))
        if any(entered) or any(left):
            legend.append((words, style))
    total_entered = sum(sum(day.entered.values()) for day in days)
    total_left = sum(sum(day.left.values()) for day in days)
    return Chart(
        "columns",
        f"Entered and left per day, by cause: {total_entered:,} entered and {total_left:,} left in total.",
        [short_date(day.day) for day in days],
        series,
        tuple(legend),
        MOVEMENTS_HINT,
        is_stacked=True,
    )


def changes_url(
    segment: Segment, change: str, since: date, until: date, cause: str = "", *, with_initial: bool = True
) -> str:
    """Return the URL of the list of who entered or left in some days, the last one included.

    Without ``with_initial``, those who entered at the first refresh of the segment are left out.
    """
    query = {"change": change, "since": since.isoformat(), "until": until.isoformat()}
    if cause:
        query["cause"] = cause
    if not with_initial:
        query["without"] = Change.Cause.INITIAL.value
    return f"{reverse('admin:segments_segment_changes', args=[segment.pk])}?{urlencode(query)}"


def sparkline_points(values: Sequence[int]) -> str:
    """Return the points of an SVG polyline. Empty for fewer than two values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    step, span = SPARK_WIDTH / (len(values) - 1), high - low
    inner = SPARK_HEIGHT - 4
    heights = ((high - value) / span * inner if span else inner / 2 for value in values)
    return " ".join(f"{place * step:.1f},{height + 2:.1f}" for place, height in enumerate(heights))
