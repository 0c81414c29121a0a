"""Ids that are known already, and the customers they lead to."""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from django.db.models.expressions import RawSQL

from core.db import dialect, execution
from customers.models import Identity

from .graph import EMAIL, PHONE, ExternalId
from .lookup import CUSTOMER_ID, IDENTITY_TABLE

ADDRESSES: Final = {EMAIL: "email", PHONE: "phone"}  # with the customer's column that may hold them too


class KnownId(NamedTuple):
    """Where an id leads: the primary keys of the identity and of its customer."""

    identity: int
    customer: int
    is_trusted: bool = True


def find_known_ids(ids: Iterable[ExternalId]) -> dict[ExternalId, KnownId]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for kind, value in ids:
        by_kind[kind].append(value)
    if not by_kind:
        return {}
    asked = " UNION ALL ".join(
        f"""SELECT kind, value, id, customer_id, is_trusted FROM {IDENTITY_TABLE}
            WHERE kind = '{kind}' AND value IN ({dialect.json_texts_sql("%s")})"""
        for kind in by_kind
    )
    # Each list as one parameter: there may be ten thousand ids.
    found = execution.fetch_all(asked, [json.dumps(sorted(set(values))) for values in by_kind.values()])
    return {
        ExternalId(kind, value): KnownId(identity, customer, bool(is_trusted))
        for kind, value, identity, customer, is_trusted in found
    }


# -- Links without a signature


def find_untrusted(customer_ids: Iterable[str]) -> list[Identity]:
    """Return the identities of customer ids that only browsers have named."""
    listed = RawSQL(dialect.json_texts_sql("%s"), [json.dumps(sorted(set(customer_ids)))])
    return list(Identity.objects.filter(kind=CUSTOMER_ID, is_trusted=False, value__in=listed))
