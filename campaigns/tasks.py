"""Celery tasks of campaigns. Each is safe to run twice."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

from celery import shared_task

from . import lifecycle, wakeups
from .coupons import redemption
from .delivery import confirmation_emails, sender
from .journeys import progress, triggers
from .recommendations import products

MAX_RUN_SECONDS: Final = 20  # other tasks run in between while a large mailing is sent
# Orders can arrive late. The nightly task finds those that arrive even later.
RECENT_ORDERS: Final = timedelta(days=3)


@shared_task
def run_campaigns() -> None:
    """Process triggers, advance journeys and send due messages, until nothing is left."""
    started = time.monotonic()
    wakeups.CAMPAIGNS.acknowledge()
    triggers.process_triggers(datetime.now(UTC))
    while (
        confirmation_emails.send_confirmation_emails(datetime.now(UTC))
        + progress.advance_journeys(datetime.now(UTC))
        + sender.send_due_deliveries(datetime.now(UTC))
    ):
        if time.monotonic() - started > MAX_RUN_SECONDS:
            wakeups.CAMPAIGNS.request()
            break
    else:
        lifecycle.finish_dated_campaigns(datetime.now(UTC))


@shared_task
def learn_products() -> None:
    """Learn products, and which are bought together, from orders."""
    products.learn_products(datetime.now(UTC))


@shared_task
def mark_redeemed_coupons() -> None:
    """Record the coupons that recent orders have used."""
    now = datetime.now(UTC)
    redemption.mark_redeemed(now - RECENT_ORDERS, now)


@shared_task
def mark_all_redeemed_coupons() -> None:
    """Record the coupons that any order has used, and reopen those of cancelled orders."""
    redemption.mark_redeemed(None, datetime.now(UTC))
