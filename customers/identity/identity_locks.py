"""Locks of identity resolution."""

from collections.abc import Collection
from typing import Final

from core.db import backends, execution, temporary_tables, transactions
from customers.models import IdentityLock, UnsignedLinkLock

from .lookup import CUSTOMER_ID, IDENTITY_TABLE

LOCK_TABLE: Final = IdentityLock._meta.db_table
"""The table that a transaction locks while it resolves identities: drains share it, others lock it alone."""


def lock_identities_to_trust(customer_ids: Collection[str]) -> None:
    """Lock identities if records name customer ids that only browsers have named. Call it before any other lock."""
    if customer_ids and untrusted_among(customer_ids):
        lock_identities()


def lock_identities() -> None:
    """Wait until nobody else resolves identities. The lock ends with the transaction."""
    transactions.lock_exclusive(LOCK_TABLE)


def lock_unsigned_links() -> None:
    """Wait for transactions whose records name customer ids, and block new ones until this transaction ends, because
    it may link an id to a browser.
    """
    transactions.lock_for_messages(UnsignedLinkLock._meta.db_table)


def lock_named_customer_ids() -> None:
    """Let no message link a browser to a customer id that records name until this transaction ends."""
    transactions.lock_for_records(UnsignedLinkLock._meta.db_table)


def lock_customers(customers: str) -> None:
    """Lock customers, whose primary keys a query selects, so that nobody else changes what this transaction reads.

    Their ids are locked instead of their rows, which may be on several machines. On SQLite, do nothing.
    """
    if backends.is_postgresql():
        execution.fetch_all(
            f"""SELECT count(*) FROM (SELECT 1 FROM {IDENTITY_TABLE} WHERE customer_id IN ({customers})
                ORDER BY id FOR NO KEY UPDATE) AS locked"""
        )


def untrusted_among(customer_ids: Collection[str]) -> list[str]:
    untrusted = f"FROM {IDENTITY_TABLE} WHERE NOT is_trusted AND kind = '{CUSTOMER_ID}'"
    if not execution.fetch_all(f"SELECT 1 {untrusted} LIMIT 1"):
        return []
    temporary_tables.create_temporary_table("ids_named", "value text PRIMARY KEY")
    temporary_tables.load_rows("ids_named", ("value",), ((value,) for value in customer_ids))
    found = execution.fetch_all(f"SELECT value {untrusted} AND value IN (SELECT value FROM ids_named)")
    return [value for (value,) in found]
