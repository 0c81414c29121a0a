"""Background work: campaigns are carried out. Each task is an edge that may run twice."""

import time
from datetime import UTC, datetime
from typing import Final

from celery import shared_task

from . import delivering, journeys, triggers, waking

LONGEST_RUN: Final = 20  # seconds: other tasks have their turn, too, while a large mailing goes out


@shared_task
def carry_out() -> None:
    """See what happened, take the steps that are due, and send what they call for, until nothing is left."""
    begun = time.monotonic()
    waking.begin()
    triggers.read(datetime.now(UTC))
    while journeys.advance(datetime.now(UTC)) + delivering.deliver(datetime.now(UTC)):
        if time.monotonic() - begun > LONGEST_RUN:
            waking.wake()
            break
