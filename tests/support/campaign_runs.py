"""Campaigns in tests: made of a few words, carried out by a clock that the test moves, read from the outbox."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import time_machine
from django.core import mail

from campaigns import lifecycle, tasks
from campaigns.models import Campaign, Delivery, Step
from segments.models import Segment
from segments.refresh.engine import refresh_all

from . import shop
from .shop import NOON

Move = Callable[..., None]
BUYERS = {"order_count": {"at_least": 1}}
WAITING = {"open_cart": {"within_last": "7d"}}


def campaign(
    segment: Segment, *waits: timedelta, name: str = "", channel: str = "email", **policy: Any
) -> Campaign:
    """A campaign that runs, with a message for each wait: its subject is the campaign's name and the step."""
    name = name or segment.slug
    steps = [
        step(f"{name} {number}", wait, channel)
        for number, wait in enumerate(waits or (timedelta(),), start=1)
    ]
    made = lifecycle.save_campaign(Campaign(segment=segment, name=name, **policy), steps)
    lifecycle.start(made, datetime.now(NOON.tzinfo))
    return made


def step(subject: str, wait: timedelta = timedelta(), channel: str = "email") -> Step:
    """A message that says its subject."""
    return Step(
        wait=wait, channel=channel, subject=subject, text=f"Hello! {subject}", html=f"<p>{subject}</p>"
    )


def subscribers(*ids: str, **columns: str) -> None:
    """Customers who want the newsletter, with these other columns."""
    header = ",".join(("customer_id", "email", "newsletter", "first_seen", *columns))
    rows = (
        ",".join((one, f"{one}@example.org", "subscribed", "2026-01-01", *columns.values())) for one in ids
    )
    shop.customers(*rows, header=header)


def fill_cart(who: str, at: datetime, visitor: str = "") -> None:
    shop.events(f"cart-{who}{visitor}-{at:%d%H%M},{who},{visitor},Product Added,{at.isoformat()}")


def order(who: str, at: datetime, status: str = "paid") -> None:
    shop.orders(
        f"order-{who}-{at:%d%H%M},{who},{at.isoformat()},10,{status}",
        header="order_id,customer_id,placed_at,total,status",
    )


@contextmanager
def clock() -> Iterator[Move]:
    """Noon; then whenever the test says, by when all that is due by then has been done."""
    with time_machine.travel(NOON, tick=False) as traveller:

        def move(at: datetime, *, refresh: bool = True, carry_out: bool = True) -> None:
            traveller.move_to(at)
            if refresh:
                refresh_all(at)
            if carry_out:
                tasks.run_campaigns()

        yield move


def sent_messages() -> list[tuple[str, str]]:
    """What arrived since the last time one asked: who got which message."""
    messages = [(one.to[0].partition("@")[0], str(one.subject)) for one in mail.outbox]
    mail.outbox.clear()
    return sorted(messages)


def held_back_messages() -> list[tuple[str, str]]:
    """Which messages were held back, and why."""
    held = Delivery.objects.filter(state="held_back").order_by("pk")
    return [(one.customer.customer_id, one.reason) for one in held.select_related("customer")]
