"""Ending the newsletter by the link of a message: what is kept of it is written by ``customers.consent.statements``."""

from datetime import datetime
from typing import Final

from core.wakeup import notify_on_commit
from customers.consent import statements
from customers.models import Customer, Identity
from customers.signals import records_changed

SOURCE: Final = "unsubscribe link"


def unsubscribe(key: int, at: datetime) -> bool:
    """End the newsletter for a customer, named by key, and for the address, whoever has it.

    Tells whether there is such a customer. It may be asked for again and again.
    """
    customer = _find(key)
    if customer is None:
        return False
    identities = Identity.objects.filter(customer=customer).values_list("pk", flat=True)
    if statements.unsubscribe(customer.email, at, source=SOURCE, identities=identities):
        notify_on_commit(records_changed)
    return True


def is_subscribed(key: int) -> bool:
    """Tell whether there is still something to end."""
    customer = _find(key)
    return customer is not None and customer.newsletter != Customer.Newsletter.UNSUBSCRIBED


def _find(key: int) -> Customer | None:
    """Find a customer; of a visitor who was joined, the customer they turned out to be."""
    customer = Customer.objects.select_related("merged_into").filter(pk=key).first()
    return customer and (customer.merged_into or customer)
