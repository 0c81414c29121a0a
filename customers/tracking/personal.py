"""What the tracking endpoints keep of one customer beside the records: what was told, and refused messages."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet

from customers.models import Customer, Identity, OrderNote, RefusedMessage, Traits
from customers.privacy import Section


def _tell(customer: Customer) -> dict[str, Any]:
    notes = OrderNote.objects.filter(identity__customer=customer).order_by("at", "pk")
    return {
        "traits": [
            {"id": value, "told": told}
            for value, told in Traits.objects.filter(identity__customer=customer).values_list(
                "identity__value", "told"
            )
        ],
        "orders": [
            {"order_id": note.order_id, "action": note.action, "at": note.at.isoformat(), "told": note.told}
            for note in notes
        ],
        "refused": [
            {"received_at": one.received_at.isoformat(), "reason": one.reason, "message": one.message}
            for one in _refused([customer.pk]).order_by("pk")
        ],
    }


def _erase(customers: Sequence[int], at: datetime) -> None:
    _refused(customers).delete()  # all else goes with the ids


def _refused(customers: Sequence[int]) -> QuerySet[RefusedMessage]:
    """Find messages that name one of their ids: such a message could not be read, so it is searched as text."""
    ids = Identity.objects.filter(customer__in=customers).values_list("value", flat=True)
    naming = [Q(message__contains=json.dumps(value, ensure_ascii=False)) for value in ids]
    return RefusedMessage.objects.filter(reduce(or_, naming)) if naming else RefusedMessage.objects.none()


SECTION = Section(tell=_tell, erase=_erase, wait=lambda: None)
