"""Delays between attempts."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self


@dataclass(frozen=True)
class Backoff:
    """The delays after the first attempt, the second and so on; the last one is repeated."""

    delays: tuple[timedelta, ...]

    @classmethod
    def exponential(cls, first: timedelta, *, factor: int, longest: timedelta) -> Self:
        """Multiply each delay by the factor until the longest is reached."""
        delays = [first]
        while delays[-1] < longest:
            delays.append(min(delays[-1] * factor, longest))
        return cls(tuple(delays))

    def delay(self, attempt: int) -> timedelta:
        """Return how long to wait after an attempt that failed; the first attempt is number 1."""
        return self.delays[min(max(attempt, 1), len(self.delays)) - 1]
