"""Data and options for Chart.js, which the admin's own script draws."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from segments.insights import SegmentDay
from segments.models import Change

# Neighbouring colours are easy to tell apart, and have a contrast of 3:1 on white and on black.
CAUSE_STYLES = {
    Change.Cause.ACTIVITY: ("recorded activity", "#0284c7"),
    Change.Cause.TIME: ("time passed", "#d97706"),
    Change.Cause.DEFINITION: ("the rule was edited", "#9333ea"),
    Change.Cause.POPULATION: ("the shop's average changed", "#0d9488"),
    Change.Cause.MERGE: ("profiles were merged", "#db2777"),
    Change.Cause.ERASURE: ("the customer was erased", "#64748b"),
    Change.Cause.INITIAL: ("first refresh", "#16a34a"),
}
AXIS_COLOUR = "#71717a"  # readable on white and on black
MOVEMENTS_HINT = "Up: entered. Down: left."
SPARK_WIDTH, SPARK_HEIGHT = 100, 24


@dataclass(frozen=True)
class Chart:
    """A chart for the template. ``label`` describes it for screen readers; ``data`` and ``options`` are JSON."""

    kind: str
    label: str
    data: str
    options: str
    legend: tuple[tuple[str, str], ...] = ()
    hint: str = ""


def size_chart(days: Sequence[SegmentDay]) -> Chart:
    """Return a line: the members at the end of each day."""
    line = {
        "label": "Members",
        "data": [day.size for day in days],
        "borderColor": "var(--color-primary-500)",
        "backgroundColor": "var(--color-primary-500)",
        "tension": 0.2,
        "pointRadius": 3 if len(days) < 15 else 0,
        "pointHitRadius": 12,
    }
    first, last = days[0], days[-1]
    label = f"Members per day: {first.size:,} on {short_date(first.day)}, {last.size:,} on {short_date(last.day)}."
    return Chart("line", label, _data_json(days, [line]), chart_options(stacked=False))


def movements_chart(days: Sequence[SegmentDay]) -> Chart:
    """Return bars: entered upwards, left downwards, in the colours of the causes."""
    bars, legend = [], []
    for cause, (words, colour) in CAUSE_STYLES.items():
        entered = [day.entered.get(cause, 0) for day in days]
        left = [-day.left.get(cause, 0) for day in days]
        if any(entered) or any(left):
            legend.append((words, colour))
        if any(entered):
            bars.append({"label": f"Entered: {words}", "data": entered, "backgroundColor": colour})
        if any(left):
            bars.append({"label": f"Left: {words}", "data": left, "backgroundColor": colour})
    total_entered = sum(sum(day.entered.values()) for day in days)
    total_left = sum(sum(day.left.values()) for day in days)
    label = f"Entered and left per day, by cause: {total_entered:,} entered and {total_left:,} left in total."
    return Chart(
        "bar", label, _data_json(days, bars), chart_options(stacked=True), tuple(legend), MOVEMENTS_HINT
    )


def sparkline_points(values: Sequence[int]) -> str:
    """Return the points of an SVG polyline. Empty for fewer than two values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    step, span = SPARK_WIDTH / (len(values) - 1), high - low
    inner = SPARK_HEIGHT - 4
    heights = ((high - value) / span * inner if span else inner / 2 for value in values)
    return " ".join(f"{place * step:.1f},{height + 2:.1f}" for place, height in enumerate(heights))


def short_date(day: date) -> str:
    """Return a day as “3 Nov”."""
    return f"{day.day} {day:%b}"


def chart_options(*, stacked: bool) -> str:
    """Return the options of Chart.js as JSON."""
    ticks = {"color": AXIS_COLOUR, "maxRotation": 0, "autoSkipPadding": 16}
    return json.dumps(
        {
            "animation": False,
            "responsive": True,
            "maintainAspectRatio": False,
            "maxBarThickness": 28,
            "interaction": {"mode": "index", "intersect": False},
            "plugins": {"legend": {"display": False}},  # the template has its own, which wraps
            "scales": {
                "x": {"stacked": stacked, "ticks": ticks, "grid": {"display": False}},
                "y": {
                    "stacked": stacked,
                    "ticks": ticks | {"precision": 0},
                    "grid": {"tickWidth": 0},
                    "border": {"display": False},
                    "grace": 0 if stacked else "5%",
                },
            },
        }
    )


def _data_json(days: Sequence[SegmentDay], datasets: list[dict[str, Any]]) -> str:
    return json.dumps({"labels": [short_date(day.day) for day in days], "datasets": datasets})
