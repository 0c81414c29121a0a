"""Locks of drains, so that several of them process messages side by side. The only writer of ``DrainKey``.

Drains share the lock of identities, which excludes all other writers of identities. Against each other, each locks

1. the identities that its messages name. If messages link or describe them, also all identities that links or a
   customer connect with them: a drain regroups and recomputes whole persons.
2. the addresses and orders that these persons have, because consent holds for an address, whoever has it, and an order
   may be of several browsers. An address need not have a row, so drains lock hashes.

Each step locks in one order, so drains do not lock each other for ever. A drain that finds that a person has grown
while it waited for the lock begins again. On SQLite, there is only one write transaction at a time, and nothing is
locked.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

from django.conf import settings

from core.db import backends, dialect, execution, locks, transactions
from core.db.sql import compose
from core.values import email_addresses
from customers.models import DrainKey, IdentityLink, OrderMessage, Tombstone, Traits, UnsignedLink

from .identity_locks import LOCK_TABLE
from .lookup import ANONYMOUS_ID, CUSTOMER_ID, CUSTOMERS_TABLE, IDENTITY_TABLE

IdKey = tuple[str, str]
"""The kind of an id and its value."""

_KEYS: Final = DrainKey._meta.db_table
_LINKS: Final = IdentityLink._meta.db_table
_UNSIGNED: Final = UnsignedLink._meta.db_table
_TRAITS: Final = Traits._meta.db_table
_ORDER_MESSAGES: Final = OrderMessage._meta.db_table
_REACHED: Final = f"""
    WITH RECURSIVE asked AS (
        SELECT one->>0 AS kind, one->>1 AS value, CAST(one->>2 AS boolean) AS whole
        FROM jsonb_array_elements(CAST(%s AS jsonb)) AS one),
    named AS (
        SELECT i.id, i.customer_id, a.whole OR NOT i.is_trusted AS whole
        FROM asked a JOIN {IDENTITY_TABLE} i ON i.kind = a.kind AND i.value = a.value
        UNION ALL
        SELECT i.id, i.customer_id, true FROM asked a
        JOIN {_UNSIGNED} u ON u.kind = a.kind AND u.value = a.value
        JOIN {IDENTITY_TABLE} i ON i.value = u.other
            AND i.kind = CASE a.kind WHEN '{CUSTOMER_ID}' THEN '{ANONYMOUS_ID}' ELSE '{CUSTOMER_ID}' END
        WHERE a.whole),
    reached AS (
        SELECT id, customer_id FROM named WHERE whole
        UNION
        SELECT neighbour.id, neighbour.customer_id FROM reached r CROSS JOIN LATERAL (
            SELECT i.id, i.customer_id FROM {IDENTITY_TABLE} i WHERE i.customer_id = r.customer_id
            UNION ALL
            SELECT i.id, i.customer_id FROM {_LINKS} l JOIN {IDENTITY_TABLE} i ON i.id = l.other_id
                WHERE l.one_id = r.id
            UNION ALL
            SELECT i.id, i.customer_id FROM {_LINKS} l JOIN {IDENTITY_TABLE} i ON i.id = l.one_id
                WHERE l.other_id = r.id
        ) AS neighbour),
    keys AS (
        SELECT id, bool_or(whole) AS whole FROM (
            SELECT id, whole FROM named UNION ALL SELECT id, true FROM reached) AS every_id
        GROUP BY id ORDER BY id)
"""
# Each identity is found by its key in a sub-select of its own: a join planned for few ids would read the whole table.
_LOCK: Final = f"""{_REACHED}
    SELECT mine.id, k.whole FROM keys k CROSS JOIN LATERAL (
        SELECT i.id FROM {IDENTITY_TABLE} i WHERE i.id = k.id FOR NO KEY UPDATE) AS mine
"""
_READ: Final = f"""{_REACHED}
    SELECT mine.id, mine.customer_id, mine.is_trusted,
        (SELECT t."values" -> 'email' ->> 0 FROM {_TRAITS} t WHERE t.identity_id = mine.id),
        (SELECT array_agg(m.order_id) FROM {_ORDER_MESSAGES} m WHERE m.identity_id = mine.id)
    FROM keys k CROSS JOIN LATERAL (SELECT i.* FROM {IDENTITY_TABLE} i WHERE i.id = k.id OFFSET 0) AS mine
"""


class _LockedIdentity(NamedTuple):
    """A locked identity, with the e-mail address in its traits and the orders that it has mentioned."""

    identity: int
    customer: int
    is_trusted: bool
    email: str | None
    orders: Sequence[str] | None


@dataclass(frozen=True)
class NamedThings:
    """What messages name. ``ids`` maps each id to whether its whole person is concerned, not only this id.

    ``moves`` says that ids may move between customers, ``consent`` that the consent of customers may change.
    """

    ids: Mapping[IdKey, bool]
    addresses: Iterable[str]
    orders: Iterable[str]
    moves: bool
    consent: bool


def max_drains() -> int:
    """Return how many drains may run side by side."""
    return settings.INBOX_DRAINS if backends.is_postgresql() else 1


def begin() -> bool:
    """Lock what every drain locks. Return False if as many drains as are allowed are running.

    Call it before any row is locked: an erasure waits for us, or we for it. Raises LockNotAvailable if another
    transaction resolves identities, or erases a customer.
    """
    if not backends.is_postgresql():
        return True
    if max_drains() == 1:
        transactions.try_lock_exclusive(LOCK_TABLE)
        transactions.try_lock_shared(Tombstone._meta.db_table)
        return True
    if not locks.try_acquire_one_of("drain", max_drains()):
        return False
    transactions.try_lock_shared(LOCK_TABLE, Tombstone._meta.db_table)
    return True


def lock_named(named: NamedThings) -> list[int]:
    """Lock what messages name until the transaction ends. Return the keys, which the caller deletes in the end.

    Raises ConcurrentWrite if that has changed meanwhile.
    """
    if max_drains() == 1:
        return []
    persons = _lock_identities(json.dumps([[*one, whole] for one, whole in sorted(named.ids.items())]))
    addresses, orders = {*named.addresses}, {*named.orders}
    if named.moves or any(not person.is_trusted for person in persons):
        addresses.update(email_addresses.fold_email(person.email) for person in persons if person.email)
        orders.update(order_id for person in persons for order_id in person.orders or ())
    if persons and (named.moves or named.consent):
        addresses |= _addresses_of_customers({person.customer for person in persons})
    keys = sorted({*(_key("address", one) for one in addresses), *(_key("order", one) for one in orders)})
    if keys:
        execution.execute(
            f"""INSERT INTO {_KEYS} (key) SELECT CAST(one AS bigint)
                FROM jsonb_array_elements_text(CAST(%s AS jsonb)) AS one ORDER BY 1
                ON CONFLICT (key) DO UPDATE SET key = excluded.key""",
            [json.dumps(keys)],
        )
    return keys


def delete_keys(keys: Sequence[int]) -> None:
    """Delete the keys that ``lock_named`` returned. They stay locked until the transaction ends."""
    if keys:
        execution.execute(compose(f"DELETE FROM {_KEYS} WHERE {{mine}}", mine=dialect.is_one_of("key", keys)))


def _lock_identities(asked: str) -> list[_LockedIdentity]:
    """Lock identities, and return them as they are then.

    Raises ConcurrentWrite if another transaction has connected further ones with them meanwhile: locking these now,
    out of order, would lead to deadlocks.
    """
    found = execution.fetch_all(_LOCK, [asked])
    if not any(is_whole for _, is_whole in found):
        return []
    persons = [_LockedIdentity(*row) for row in execution.fetch_all(_READ, [asked])]
    if not {key for key, _ in found}.issuperset(person.identity for person in persons):
        raise transactions.ConcurrentWrite(
            "other drains have connected further ids with those that were named"
        )
    return persons


def _addresses_of_customers(customers: Collection[int]) -> set[str]:
    found = execution.fetch_all(
        compose(
            f"SELECT email_folded FROM {CUSTOMERS_TABLE} WHERE {{theirs}} AND email_folded <> ''",
            theirs=dialect.is_one_of("id", customers),
        )
    )
    return {address for (address,) in found}


def _key(kind: str, value: str) -> int:
    digest = blake2b(f"{kind}:{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
