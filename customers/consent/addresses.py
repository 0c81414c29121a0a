"""Unsubscribed and suppressed addresses of erased customers, stored as digests."""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from django.db.models.expressions import RawSQL

from core.db import dialect, execution
from customers.identity import tombstones
from customers.models import AddressUnsubscription, ConsentStatement, Customer, Suppression
from customers.models.consent import ConsentMethod

from .states import UNSUBSCRIPTIONS_TABLE, State

ADDRESS_ID: Final = "address"  # the kind of id of erased addresses


def insert_unsubscriptions(select: str, params: Sequence[object] = ()) -> None:
    """Store unsubscriptions that a query returns: method, address, time and source."""
    execution.execute(
        f"""INSERT INTO {UNSUBSCRIPTIONS_TABLE} (method, address, at, source)
            SELECT * FROM ({select}) AS stated WHERE true
            ON CONFLICT (address, method) DO UPDATE SET at = excluded.at, source = excluded.source
                WHERE excluded.at > {UNSUBSCRIPTIONS_TABLE}.at""",
        params,
    )


# -- Addresses of the erased


def restore_erased_addresses(addresses: Iterable[str]) -> None:
    """Restore what holds for folded addresses whose owners were erased, and which are used again."""
    keys = list(addresses)
    for model in (AddressUnsubscription, Suppression):
        if not model.objects.filter(digest__isnull=False).exists():
            continue
        digests = tombstones.ids_by_digest((ADDRESS_ID, one) for one in keys if one)
        listed = RawSQL(dialect.json_texts_sql("%s"), [json.dumps(list(digests))])
        for row in model.objects.filter(digest__in=listed):
            _, address = digests[str(row.digest)]
            same = model.objects.filter(
                address=address, **({"method": row.method} if isinstance(row, AddressUnsubscription) else {})
            )
            same.filter(at__lt=row.at).delete()
            if same.exists():
                row.delete()
            else:
                model.objects.filter(pk=row.pk).update(address=address, digest=None)


def anonymize_addresses(customers: Sequence[int]) -> None:
    """Replace the addresses of customers about to be erased by digests, where unsubscriptions and suppressions hold.

    An address that somebody else has, too, stays.
    """
    theirs = Customer.objects.filter(pk__in=customers).exclude(email_folded="")
    addresses = set(theirs.values_list("email_folded", flat=True))
    for address in addresses:
        of_address = Customer.objects.filter(email_folded=address)
        erased = of_address.filter(pk__in=customers)
        unsubscriptions = ConsentStatement.objects.filter(
            identity__customer__in=[*customers, *erased.values_list("merged_into_id", flat=True)],
            state=State.UNSUBSCRIBED,
        ).exclude(method=ConsentMethod.BROWSER)
        for one in unsubscriptions:
            insert_unsubscriptions(
                f"SELECT %s, %s, {dialect.datetime_cast_sql('%s')}, 'an erased customer'",
                [one.method, address, dialect.datetime_param(one.at)],
            )
        if of_address.existing().exclude(pk__in=customers).exists():
            continue
        digest = tombstones.compute_digest((ADDRESS_ID, address))
        for model in (AddressUnsubscription, Suppression):
            model.objects.filter(address=address).update(address=None, digest=digest)
        Suppression.objects.filter(digest=digest).update(detail="")
