"""Ids that are known already, and the customers they lead to."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from core.db.execution import batches
from customers.models import Identity

from .graph import EMAIL, PHONE, ExternalId
from .lookup import CUSTOMER_ID

ADDRESSES: Final = {EMAIL: "email", PHONE: "phone"}  # with the customer's column that may hold them too


class KnownId(NamedTuple):
    """Where an id leads: the primary keys of the identity and of its customer."""

    identity: int
    customer: int


def find_known_ids(ids: Iterable[ExternalId]) -> dict[ExternalId, KnownId]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for kind, value in ids:
        by_kind[kind].append(value)
    return {
        ExternalId(kind, value): KnownId(key, customer)
        for kind, values in by_kind.items()
        for part in batches(values)
        for key, value, customer in Identity.objects.filter(kind=kind, value__in=part).values_list(
            "pk", "value", "customer_id"
        )
    }


# -- Links without a signature


def find_untrusted(customer_ids: Iterable[str]) -> list[Identity]:
    """Return the identities of customer ids that only browsers have named."""
    return [
        one
        for part in batches([*customer_ids])
        for one in Identity.objects.filter(kind=CUSTOMER_ID, is_trusted=False, value__in=part)
    ]
