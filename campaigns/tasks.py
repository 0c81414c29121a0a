"""Background work of campaigns. Each task is an edge that may run twice."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

from celery import shared_task

from . import lifecycle, wakeups
from .coupons import redemption
from .delivery import confirmation_emails, sender
from .journeys import progress, triggers
from .recommendations import products

MAX_RUN_SECONDS: Final = 20  # seconds: other tasks have their turn, too, while a large mailing goes out
# Orders come in late; those that come later still are seen at night.
RECENT_ORDERS: Final = timedelta(days=3)


@shared_task
def run_campaigns() -> None:
    """See what happened, take the steps that are due, and send what they call for, until nothing is left."""
    begun = time.monotonic()
    wakeups.CAMPAIGNS.acknowledge()
    triggers.process_triggers(datetime.now(UTC))
    while (
        confirmation_emails.send_confirmation_emails(datetime.now(UTC))
        + progress.advance_journeys(datetime.now(UTC))
        + sender.send_due_deliveries(datetime.now(UTC))
    ):
        if time.monotonic() - begun > MAX_RUN_SECONDS:
            wakeups.CAMPAIGNS.request()
            break
    else:
        lifecycle.finish_dated_campaigns(datetime.now(UTC))


@shared_task
def learn_products() -> None:
    """Learn what is sold, and what is bought together."""
    products.learn_products(datetime.now(UTC))


@shared_task
def mark_redeemed_coupons() -> None:
    """Keep which coupons the latest orders have used."""
    now = datetime.now(UTC)
    redemption.mark_redeemed(now - RECENT_ORDERS, now)


@shared_task
def mark_all_redeemed_coupons() -> None:
    """Keep which coupons any order has used, and which were used in cancelled ones only."""
    redemption.mark_redeemed(None, datetime.now(UTC))
