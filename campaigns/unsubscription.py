"""Unsubscribing through the link of a message. ``customers.consent.statements`` writes the result."""

from datetime import datetime
from typing import Final

from core.wakeup import notify_on_commit
from customers.consent import statements
from customers.models import Customer, Identity
from customers.signals import records_changed

SOURCE: Final = "unsubscribe link"


def unsubscribe(key: int, at: datetime) -> bool:
    """Unsubscribe a customer, and every customer with the same address; return whether the customer exists.

    Safe to repeat.
    """
    customer = _current_customer(key)
    if customer is None:
        return False
    identities = Identity.objects.filter(customer=customer).values_list("pk", flat=True)
    if statements.unsubscribe(customer.email, at, source=SOURCE, identities=identities):
        notify_on_commit(records_changed)
    return True


def is_subscribed(key: int) -> bool:
    """Return whether the customer is not unsubscribed yet."""
    customer = _current_customer(key)
    return customer is not None and customer.newsletter != Customer.Newsletter.UNSUBSCRIBED


def _current_customer(key: int) -> Customer | None:
    """Return the customer; for a merged visitor, the customer they were merged into."""
    customer = Customer.objects.filter(pk=key).first()
    return customer and (customer.merged_into or customer)
