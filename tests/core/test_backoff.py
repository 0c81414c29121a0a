"""Delays between attempts."""

from datetime import timedelta

from core.backoff import Backoff


def test_a_delay_grows_with_each_attempt_until_the_longest() -> None:
    backoff = Backoff.exponential(timedelta(minutes=1), factor=2, longest=timedelta(minutes=5))

    assert [backoff.delay(attempt) / timedelta(minutes=1) for attempt in (1, 2, 3, 4, 5, 10**6)] == [
        1,
        2,
        4,
        5,
        5,
        5,
    ]


def test_a_schedule_of_explicit_delays_is_possible() -> None:
    backoff = Backoff((timedelta(seconds=5), timedelta(hours=1)))

    assert [backoff.delay(attempt) for attempt in (1, 2, 3)] == [
        timedelta(seconds=5),
        timedelta(hours=1),
        timedelta(hours=1),
    ]
