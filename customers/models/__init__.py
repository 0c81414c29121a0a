"""What the shop keeps: customers, orders, events, and the facts that sum them up."""

from .claim import Claim, OrderNote, Traits
from .customer import Customer, CustomerQuerySet, DatedAttribute, Identity
from .event import Event, EventProduct
from .facts import AppendedEvent, AppendedOrder, Facts, FactsAsOf, StaleFacts, Totals, Touched, Upcoming
from .key import ApiKey
from .order import COUNTING_STATUSES, Order, OrderLine
from .tracking import Batch, RefusedMessage, Source
from .turn import Turn

__all__ = [
    "COUNTING_STATUSES",
    "ApiKey",
    "AppendedEvent",
    "AppendedOrder",
    "Batch",
    "Claim",
    "Customer",
    "CustomerQuerySet",
    "DatedAttribute",
    "Event",
    "EventProduct",
    "Facts",
    "FactsAsOf",
    "Identity",
    "Order",
    "OrderLine",
    "OrderNote",
    "RefusedMessage",
    "Source",
    "StaleFacts",
    "Totals",
    "Touched",
    "Traits",
    "Turn",
    "Upcoming",
]
