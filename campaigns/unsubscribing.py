"""Ending the newsletter by the link of a message: what is kept of it is written by ``customers.ingestion``."""

from datetime import datetime
from typing import Final

from customers import ingestion
from customers.models import Customer
from customers.records import CUSTOMERS, read_customer, the_shop

SOURCE: Final = "unsubscribe link"


def unsubscribe(key: int, at: datetime) -> bool:
    """End the newsletter for a customer, named by key, and for whoever else has the same address.

    Tells whether there is such a customer. It may be asked for again and again.
    """
    customer = _find(key)
    if customer is None:
        return False
    concerned = Customer.objects.existing().filter(pk=customer.pk)
    if customer.email:
        concerned |= Customer.objects.existing().filter(email=customer.email)
    row = read_customer(
        {"customer_id": "-", "newsletter": Customer.Newsletter.UNSUBSCRIBED.value}, the_shop()
    )
    printed = concerned.exclude(newsletter=Customer.Newsletter.UNSUBSCRIBED).values_list(
        "customer_id", flat=True
    )
    records = [(line, (one, *row[1:])) for line, one in enumerate(printed)]
    if records:
        ingestion.ingest(CUSTOMERS, records, at, source=SOURCE)
    return True


def is_subscribed(key: int) -> bool:
    """Tell whether there is still something to end."""
    customer = _find(key)
    return customer is not None and customer.newsletter != Customer.Newsletter.UNSUBSCRIBED


def _find(key: int) -> Customer | None:
    """Find a customer; of a visitor who was joined, the customer they turned out to be."""
    customer = Customer.objects.select_related("joined_into").filter(pk=key).first()
    return customer and (customer.joined_into or customer)
