"""Durations as text: "90 minutes" for people, "90m", "12h", "30d" or "4w" in rules."""

import re
from datetime import timedelta
from typing import Final

UNITS: Final = {
    "week": timedelta(weeks=1),
    "day": timedelta(days=1),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
    "second": timedelta(seconds=1),
}
UNITS_BY_LETTER: Final = {name[0]: unit for name, unit in UNITS.items() if name != "second"}
_SYMBOLS: Final = {"hour": "h", "minute": "min", "second": "s"}
_DURATION: Final = re.compile(r"0*(\d{1,8})([mhdw])", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Read "90m", "12h", "30d" or "4w"; raises ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError('expected a span such as "90m", "12h", "30d" or "4w"')
    return int(match[1]) * UNITS_BY_LETTER[match[2]]


def span_text(length: timedelta) -> str:
    """Write a duration of whole minutes as rules do, in days, hours or minutes: "30d", "12h", "90m"."""
    letter = next(name[0] for name in ("day", "hour", "minute") if not length % UNITS[name])
    return f"{length // UNITS_BY_LETTER[letter]}{letter}"


def duration_text(length: timedelta, *, in_weeks: bool = False) -> str:
    """Write a duration exactly, in the largest unit that fits: 30 days, 12 hours, 90 minutes.

    ``in_weeks`` also allows weeks, and days together with hours: 2 weeks, 3 days and 2 hours.
    """
    days, hours = divmod(length, UNITS["day"])
    if in_weeks and days > 1 and hours and not hours % UNITS["hour"]:
        return f"{duration_text(days * UNITS['day'], in_weeks=True)} and {duration_text(hours)}"
    for name, unit in UNITS.items():
        if length and not length % unit and (in_weeks or name != "week"):
            return _counted(length // unit, name)
    return _counted(length // UNITS["second"], "second")


def rough_duration_text(length: timedelta) -> str:
    """Write a duration in the largest unit that it contains twice, rounded down: 12 seconds, 3 minutes, 2 hours."""
    for name, unit in UNITS.items():
        if name != "week" and length >= 2 * unit:
            return _counted(length // unit, name)
    return _counted(length // UNITS["second"], "second")


def short_duration_text(length: timedelta) -> str:
    """Write a duration in its largest unit, rounded down: 40 s, 5 min, 2 h."""
    for name, symbol in _SYMBOLS.items():
        if length >= UNITS[name]:
            return f"{length // UNITS[name]} {symbol}"
    return "0 s"


def run_time_text(length: timedelta) -> str:
    """Write how long something ran: 0.4 s, 3 min 12 s."""
    seconds = length.total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
