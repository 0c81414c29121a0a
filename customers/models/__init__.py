"""What the shop keeps: customers, orders, events, and the facts that sum them up."""

from .answer import KeptAnswer
from .claim import Claim, OrderNote, Traits, UnsignedClaim
from .consent import AddressUnsubscription, ConfirmationRequest, ConsentStatement, Suppression
from .customer import Customer, CustomerQuerySet, DatedAttribute, Identity
from .event import Event, EventProduct
from .facts import (
    AppendedEvent,
    AppendedOrder,
    FactColumns,
    Facts,
    FactsAsOf,
    StaleFacts,
    Totals,
    Touched,
    Upcoming,
)
from .key import ApiKey
from .order import COUNTING_STATUSES, Order, OrderLine
from .privacy import ConsentChange, ErasedId, Erasure, Salt
from .tracking import Batch, RefusedMessage, Source
from .turn import Turn
from .upload import Import

__all__ = [
    "COUNTING_STATUSES",
    "AddressUnsubscription",
    "ApiKey",
    "AppendedEvent",
    "AppendedOrder",
    "Batch",
    "Claim",
    "ConfirmationRequest",
    "ConsentChange",
    "ConsentStatement",
    "Customer",
    "CustomerQuerySet",
    "DatedAttribute",
    "ErasedId",
    "Erasure",
    "Event",
    "EventProduct",
    "FactColumns",
    "Facts",
    "FactsAsOf",
    "Identity",
    "Import",
    "KeptAnswer",
    "Order",
    "OrderLine",
    "OrderNote",
    "RefusedMessage",
    "Salt",
    "Source",
    "StaleFacts",
    "Suppression",
    "Totals",
    "Touched",
    "Traits",
    "Turn",
    "UnsignedClaim",
    "Upcoming",
]
