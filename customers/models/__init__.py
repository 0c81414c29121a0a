"""The tables of this app: customers, orders, events, and the facts that sum them up."""

from .attribute_dates import AttributeDates
from .consent import AddressUnsubscription, ConfirmationRequest, ConsentStatement, Suppression
from .customer import Customer, CustomerQuerySet, DatedAttribute, Identity
from .event import Event, EventProduct
from .facts import (
    AppendedEvent,
    AppendedOrder,
    FactColumns,
    Facts,
    FactsAsOf,
    PartialTotals,
    StaleFacts,
    Touched,
    Upcoming,
)
from .identity_link import IdentityLink, OrderMessage, Traits, UnsignedLink
from .locks import DraftLock, DrainKey, IdentityLock, UnsignedLinkLock
from .order import COUNTING_STATUSES, Order, OrderLine, lines_of
from .privacy import ConsentChange, Erasure, Salt, Tombstone
from .record_key import RecordKey
from .tracking import Batch, RefusedMessage, Source
from .upload import ColumnMapping, Import

__all__ = [
    "COUNTING_STATUSES",
    "AddressUnsubscription",
    "AppendedEvent",
    "AppendedOrder",
    "AttributeDates",
    "Batch",
    "ColumnMapping",
    "ConfirmationRequest",
    "ConsentChange",
    "ConsentStatement",
    "Customer",
    "CustomerQuerySet",
    "DatedAttribute",
    "DraftLock",
    "DrainKey",
    "Erasure",
    "Event",
    "EventProduct",
    "FactColumns",
    "Facts",
    "FactsAsOf",
    "Identity",
    "IdentityLink",
    "IdentityLock",
    "Import",
    "Order",
    "OrderLine",
    "OrderMessage",
    "PartialTotals",
    "RecordKey",
    "RefusedMessage",
    "Salt",
    "Source",
    "StaleFacts",
    "Suppression",
    "Tombstone",
    "Touched",
    "Traits",
    "UnsignedLink",
    "UnsignedLinkLock",
    "Upcoming",
    "lines_of",
]
