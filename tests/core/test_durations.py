"""Durations as text, for people and in rules."""

from datetime import timedelta

import pytest

from core.durations import duration_text, parse_duration, rough_duration_text, short_duration_text


@pytest.mark.parametrize(
    ("text", "exact", "in_weeks", "rough", "short"),
    [
        ("1m", "1 minute", "1 minute", "60 seconds", "1 min"),
        ("90m", "90 minutes", "90 minutes", "90 minutes", "1 h"),
        ("26h", "26 hours", "26 hours", "26 hours", "26 h"),
        ("50h", "50 hours", "2 days and 2 hours", "2 days", "50 h"),
        ("7d", "7 days", "1 week", "7 days", "168 h"),
        ("0004w", "28 days", "4 weeks", "28 days", "672 h"),
    ],
)
def test_durations_are_written_in_the_largest_unit_that_fits(text, exact, in_weeks, rough, short) -> None:
    length = parse_duration(text)

    assert duration_text(length) == exact
    assert duration_text(length, in_weeks=True) == in_weeks
    assert rough_duration_text(length) == rough
    assert short_duration_text(length) == short


def test_less_than_a_minute_is_written_in_seconds() -> None:
    assert duration_text(timedelta(seconds=1)) == rough_duration_text(timedelta(seconds=1)) == "1 second"
    assert rough_duration_text(timedelta()) == "0 seconds"
    assert short_duration_text(timedelta(seconds=-3)) == "0 s"


@pytest.mark.parametrize(
    "text", ["", "30", "d", "-1d", "1.5h", "1 d", "1D", "30s", "１d", "1d\n", "123456789d"]
)
def test_invalid_durations_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="expected a span"):
        parse_duration(text)
