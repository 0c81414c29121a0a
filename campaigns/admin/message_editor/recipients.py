"""For whom staff see a message: somebody who would get it, or a customer of their choice."""

from datetime import datetime
from typing import Any, Final

from django.http import HttpRequest

from campaigns.journeys import forecasts
from campaigns.messages import rendering
from campaigns.messages.rendering import Preview
from campaigns.models import Campaign, Step
from customers.admin import contact_data
from customers.models import Customer
from segments.admin.access import VIEW_CUSTOMER

MAX_CUSTOMERS_FOUND: Final = 10
SAMPLE_CODE: Final = "SAMPLE-CODE"
"""Replaces the coupon code in previews, which use up no code."""
SEE_MESSAGES: Final = (contact_data.VIEW_CONTACT_DATA, VIEW_CUSTOMER)


def may_see_messages(request: HttpRequest) -> bool:
    return request.user.has_perms(SEE_MESSAGES)


def search_customers(request: HttpRequest, term: str) -> list[Customer]:
    found = contact_data.find_customers(request, term, MAX_CUSTOMERS_FOUND)
    return list(Customer.objects.filter(pk__in=found.keys).select_related("facts").known_first())


def likely_recipients(campaign: Campaign, step: Step, at: datetime) -> list[Customer]:
    """Return customers who would get the message; if nobody would, one of the segment or any other."""
    if likely := forecasts.likely_recipients(campaign, step, at, MAX_CUSTOMERS_FOUND):
        return likely
    members = campaign.segment.memberships.select_related("customer").order_by("customer_id")
    first = members.filter(is_known=True).first() or members.first()
    anybody = first.customer if first else Customer.objects.existing().order_by("pk").first()
    return [anybody] if anybody else []


def first_preview(campaign: Campaign, step: Step, at: datetime) -> tuple[Customer, Preview] | None:
    """Return the message for somebody who would get it and lacks none of its values; without one, for anybody."""
    first = None
    for customer in likely_recipients(campaign, step, at):
        preview = rendering.preview(step, customer, at, coupon=SAMPLE_CODE)
        if preview.message:
            return customer, preview
        first = first or (customer, preview)
    return first


def customer_by_key(key: str) -> Customer | None:
    """Return the customer that a request names by key."""
    return Customer.objects.existing().filter(pk=key_from(key)).first()


def key_from(given: str) -> int:
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0


def as_json(customer: Customer) -> dict[str, Any]:
    return {"key": customer.pk, "name": customer.name, "id": customer.customer_id}
