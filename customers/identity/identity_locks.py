"""Locks of identity resolution."""

from collections.abc import Collection
from typing import Final

from core.db import execution, locks, temporary_tables, transactions
from customers.models import UnsignedLink

from .lookup import CUSTOMER_ID, IDENTITY_TABLE

IDENTITY_LOCK: Final = "identities"
"""The lock that a transaction holds while it resolves identities."""


def lock_identities_to_trust(customer_ids: Collection[str]) -> None:
    """Lock identities if records name customer ids that only browsers have named. Call it before any other lock."""
    if customer_ids and untrusted_among(customer_ids):
        lock_identities()


def lock_identities() -> None:
    """Wait until nobody else resolves identities. The lock ends with the transaction."""
    locks.acquire(IDENTITY_LOCK)


def lock_unsigned_links() -> None:
    """Wait for transactions whose records name customer ids, and block new ones until this transaction ends, because
    it may link an id to a browser.
    """
    transactions.lock_exclusive(UnsignedLink._meta.db_table)


def untrusted_among(customer_ids: Collection[str]) -> list[str]:
    untrusted = f"FROM {IDENTITY_TABLE} WHERE NOT is_trusted AND kind = '{CUSTOMER_ID}'"
    if not execution.fetch_all(f"SELECT 1 {untrusted} LIMIT 1"):
        return []
    temporary_tables.create_temporary_table("ids_named", "value text PRIMARY KEY")
    temporary_tables.load_rows("ids_named", ("value",), ((value,) for value in customer_ids))
    found = execution.fetch_all(f"SELECT value {untrusted} AND value IN (SELECT value FROM ids_named)")
    return [value for (value,) in found]
