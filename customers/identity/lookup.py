"""Finding customers by their ids."""

from collections.abc import Iterable

from core.db import dialect, execution
from core.db.sql import compose
from core.values.text_cleaning import to_nfc
from customers.models.customer import ANONYMOUS_PREFIX, Customer, Identity

CUSTOMER_ID, ANONYMOUS_ID = Identity.Kind.CUSTOMER_ID.value, Identity.Kind.ANONYMOUS_ID.value
CUSTOMERS_TABLE, IDENTITY_TABLE = Customer._meta.db_table, Identity._meta.db_table


def find_customer(public_id: str) -> Customer | None:
    """Find a customer by a public id or an id of any kind. Ids of a merged visitor lead to the customer."""
    # Ids in a form other than NFC were stored before ids were normalized.
    for spelling in dict.fromkeys((public_id, to_nfc(public_id))):
        for kind, value in (
            (CUSTOMER_ID, spelling),
            (ANONYMOUS_ID, spelling.removeprefix(ANONYMOUS_PREFIX)),
        ):
            identity = Identity.objects.filter(kind=kind, value=value)
            if found := Customer.objects.filter(pk__in=identity.values("customer")).first():
                return found
    return None


def find_customer_keys(public_ids: Iterable[str]) -> dict[str, int]:
    """Return the primary keys of customers by their ids, each found as by ``find_customer``, in one query."""
    written = {one: to_nfc(one) for one in public_ids}
    named = {one: one.removeprefix(ANONYMOUS_PREFIX) for one in written.values()}
    identities = execution.fetch_all(
        compose(
            f"""SELECT kind, value, customer_id FROM {IDENTITY_TABLE}
                WHERE (kind = {{customer_id}} AND {{is_named}}) OR (kind = {{anonymous_id}} AND {{is_browser}})""",
            customer_id=CUSTOMER_ID,
            is_named=dialect.is_one_of("value", named),
            anonymous_id=ANONYMOUS_ID,
            is_browser=dialect.is_one_of("value", set(named.values())),
        )
    )
    keys = {(kind, value): key for kind, value, key in identities}
    found = {one: keys.get((CUSTOMER_ID, one), keys.get((ANONYMOUS_ID, id))) for one, id in named.items()}
    return {one: key for one, id in written.items() if (key := found[id]) is not None}
