"""Messages to test with: campaigns, steps and deliveries as they are once they were sent."""

from datetime import datetime
from typing import Any

from campaigns.channels.email import Email
from campaigns.models import Campaign, Delivery, Step
from customers.identity import lookup
from segments.models import Segment

from . import shop


def campaign(name: str = "Welcome", channel: str = Email.key, steps: int = 1, **fields: Any) -> Campaign:
    """A running campaign for everybody, of steps of one channel."""
    segment = Segment.objects.filter(slug="everybody").first()
    segment = segment or shop.segment("everybody", {"first_seen": {"ever": True}})
    made = Campaign.objects.create(name=name, segment=segment, state=Campaign.State.RUNNING, **fields)
    for number in range(1, steps + 1):
        Step.objects.create(campaign=made, number=number, channel=channel)
    return made


def sent(campaign: Campaign, customer: str, at: datetime, step: int = 1, **fields: Any) -> Delivery:
    """A message that a customer, named by any id, got."""
    to = lookup.find_customer(customer)
    assert to
    given = {"state": Delivery.State.SENT, "sent_at": at} | fields
    return Delivery.objects.create(
        campaign=campaign,
        step=campaign.steps.get(number=step),
        customer=to,
        occasion=f"date:{at.isoformat()}",
        planned_for=at,
        not_before=at,
        **given,
    )
