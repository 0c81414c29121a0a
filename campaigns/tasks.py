"""Background work of campaigns. Each task is an edge that may run twice."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

from celery import shared_task

from . import lifecycle, wakeups
from .coupons import coupon_pool
from .delivery import confirmation_emails, sender
from .journeys import progress, triggers
from .recommendations import products

LONGEST_RUN: Final = 20  # seconds: other tasks have their turn, too, while a large mailing goes out
# Orders come in late; those that come later still are seen at night.
LATELY: Final = timedelta(days=3)


@shared_task
def carry_out() -> None:
    """See what happened, take the steps that are due, and send what they call for, until nothing is left."""
    begun = time.monotonic()
    wakeups.CAMPAIGNS.acknowledge()
    triggers.read(datetime.now(UTC))
    while (
        confirmation_emails.send(datetime.now(UTC))
        + progress.advance(datetime.now(UTC))
        + sender.deliver(datetime.now(UTC))
    ):
        if time.monotonic() - begun > LONGEST_RUN:
            wakeups.CAMPAIGNS.request()
            break
    else:
        lifecycle.finish(datetime.now(UTC))


@shared_task
def learn_products() -> None:
    """Learn what is sold, and what is bought together."""
    products.learn(datetime.now(UTC))


@shared_task
def note_redeemed_coupons() -> None:
    """Keep which coupons the latest orders have used."""
    now = datetime.now(UTC)
    coupon_pool.note_redeemed(now - LATELY, now)


@shared_task
def note_all_redeemed_coupons() -> None:
    """Keep which coupons any order has used, and which were used in cancelled ones only."""
    coupon_pool.note_redeemed(None, datetime.now(UTC))
