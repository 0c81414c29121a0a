"""The personal data of tracking besides the records: traits, links, messages about orders, confirmations, refusals."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from core.db.execution import batches
from customers.identity import unsigned_links
from customers.models import ConfirmationRequest, Customer, Identity, OrderMessage, RefusedMessage, Traits
from customers.privacy.mentions import Mentions
from customers.privacy.personal_data import Section

from . import inbox


def _export(customer: Customer) -> dict[str, Any]:
    order_messages = OrderMessage.objects.filter(identity__customer=customer).order_by("at", "pk")
    return {
        "traits": [
            {"id": value, "values": values}
            for value, values in Traits.objects.filter(identity__customer=customer).values_list(
                "identity__value", "values"
            )
        ],
        "orders": [
            {"order_id": one.order_id, "action": one.action, "at": one.at.isoformat(), "values": one.values}
            for one in order_messages
        ],
        "confirmations": [
            {
                "email": one.email,
                "asked_at": one.asked_at.isoformat(),
                "state": one.state,
                "sent_at": one.sent_at and one.sent_at.isoformat(),
                "confirmed_at": one.confirmed_at and one.confirmed_at.isoformat(),
            }
            for one in ConfirmationRequest.objects.filter(identity__customer=customer).order_by("pk")
        ],
        "unsigned_links": [
            {"id": one.value, "linked_to": one.other, "at": one.at.isoformat()}
            for one in unsigned_links.links_naming_queryset(_identity_keys([customer.pk])).order_by("pk")
        ],
        "refused": [
            {"received_at": one.received_at.isoformat(), "reason": one.reason, "message": one.message}
            for one in _refused_messages([customer.pk])
        ],
    }


def _erase(customers: Sequence[int], at: datetime) -> None:
    """Delete messages that mention the customers, refused or in the inbox. The rest is deleted with the identities."""
    inbox.remove_mentions(Mentions.collect(customers))
    unsigned_links.delete_links_naming(_identity_keys(customers))
    named = [one.pk for one in _refused_messages(customers)]
    for part in batches(named):
        RefusedMessage.objects.filter(pk__in=part).delete()


def _identity_keys(customers: Sequence[int]) -> list[unsigned_links.IdKey]:
    return list(Identity.objects.filter(customer__in=customers).values_list("kind", "value"))


def _refused_messages(customers: Sequence[int]) -> list[RefusedMessage]:
    """Return the refused messages that mention the customers. They may be invalid JSON, so their text is searched."""
    mentions = Mentions.collect(customers)
    return [
        one
        for one in RefusedMessage.objects.order_by("pk").iterator()
        if mentions.in_json(one.message) or mentions.in_text(one.reason) or one.message_id in mentions.ids
    ]


SECTION = Section(export=_export, erase=_erase, lock=lambda: None)
