"""What the shop keeps: customers, orders, events, and the facts that sum them up."""

from .customer import Customer, CustomerQuerySet, Identity
from .event import Event, EventProduct
from .facts import Facts, FactsAsOf, StaleFacts
from .key import ApiKey
from .order import COUNTING_STATUSES, Order, OrderLine
from .turn import Turn

__all__ = [
    "COUNTING_STATUSES",
    "ApiKey",
    "Customer",
    "CustomerQuerySet",
    "Event",
    "EventProduct",
    "Facts",
    "FactsAsOf",
    "Identity",
    "Order",
    "OrderLine",
    "StaleFacts",
    "Turn",
]
