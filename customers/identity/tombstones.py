"""Of the erased: which ids are not to bring their past back. The only writer of ``Tombstone`` and ``Salt``.

The ids themselves are gone. What is kept are salted digests: enough to know an id when it is sent again.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final
from unicodedata import normalize

from django.db.models.expressions import RawSQL

from core.db import dialect, transactions
from core.values.text_cleaning import to_nfc
from customers.models import Identity, Salt, Tombstone
from customers.rows.kinds import CUSTOMERS, EVENTS, ORDER_LINES, ORDERS, Kind
from customers.rows.parsing import Record

IdKey = tuple[str, str]
"""What an id is of, and its value."""

ORDER_ID: Final = "order_id"
MESSAGE_ID: Final = "message_id"
BROWSER_MESSAGE_ID: Final = "browser_message_id"
"""An id that a browser gave its message: anybody can, so it keeps no message of anybody else away."""

_CUSTOMER_ID, _ANONYMOUS_ID = Identity.Kind.CUSTOMER_ID.value, Identity.Kind.ANONYMOUS_ID.value

# By kind of record: the id of the record itself, the ids that say whose it is, and the moments in it.
_OWN: Final[Mapping[str, str]] = {ORDERS.name: ORDER_ID, ORDER_LINES.name: ORDER_ID, EVENTS.name: MESSAGE_ID}
_WHOSE: Final[Mapping[str, tuple[str, ...]]] = {
    CUSTOMERS.name: (_CUSTOMER_ID,),
    ORDERS.name: (_CUSTOMER_ID, _ANONYMOUS_ID),
    ORDER_LINES.name: (),
    EVENTS.name: (_CUSTOMER_ID, _ANONYMOUS_ID),
}
_HAPPENED: Final[Mapping[str, str]] = {ORDERS.name: "placed_at", EVENTS.name: "occurred_at"}


def lock_shared() -> None:
    """Let no erasure begin before this transaction ends: records on their way belong to somebody, or to nobody."""
    transactions.lock_shared(Tombstone._meta.db_table)


def lock_exclusive() -> None:
    """Wait until no records are on their way, and keep them waiting until this transaction ends."""
    transactions.lock_exclusive(Tombstone._meta.db_table)


def create_tombstones(ids: Iterable[IdKey], at: datetime) -> None:
    """Keep the digests of ids whose owner is erased; one erased again counts from now."""
    salt = _salt() or Salt.objects.create(value=secrets.token_hex(32)).value
    Tombstone.objects.bulk_create(
        (Tombstone(digest=_digest(salt, one), erased_at=at) for one in set(ids)),
        batch_size=5_000,
        update_conflicts=True,
        unique_fields=["digest"],
        update_fields=["erased_at"],
    )


def compute_digest(one: IdKey) -> str:
    """Return the digest of an id whose owner is erased; draws the salt where nobody ever was."""
    return _digest(_salt() or Salt.objects.create(value=secrets.token_hex(32)).value, one)


def ids_by_digest(ids: Iterable[IdKey]) -> dict[str, IdKey]:
    """Return ids by their digests; nothing where nobody was ever erased."""
    salt = _salt()
    return {} if salt is None else {_digest(salt, one): one for one in ids}


def find_erased(ids: Iterable[IdKey]) -> dict[IdKey, str]:
    """Give those ids that are erased, each with the instant, written as records write theirs."""
    salt = _salt()
    if salt is None:
        return {}  # nobody ever was
    by_digest = {_digest(salt, spelled): one for one in ids for spelled in _spellings(one)}
    # As one parameter: there may be thirty thousand of them.
    listed = RawSQL(dialect.json_texts_sql("%s"), [json.dumps(list(by_digest))])
    found = Tombstone.objects.filter(digest__in=listed).values_list("digest", "erased_at")
    return {by_digest[digest]: _written(at) for digest, at in found}


def belongs_to_erased(ids: Iterable[IdKey], at: datetime, known: Mapping[IdKey, str]) -> bool:
    """Tell whether something of an instant belongs to the past of the erased, who are ``known`` by its ids."""
    moment = _written(at)
    return any(
        one[0] in (MESSAGE_ID, BROWSER_MESSAGE_ID) or moment <= known[one] for one in ids if one in known
    )


def skip_erased(
    kind: Kind, numbered: Iterable[tuple[int, Record]], *, from_browser: bool = False
) -> tuple[list[tuple[int, Record]], list[int]]:
    """Leave out the past of the erased; give the records that stay, and the lines of those that do not.

    A record stays out that was erased itself, or that belongs to an erased id and happened before the erasure. Whoever
    comes back under such an id begins afresh: the dates of a customer from before it are left out, too.
    """
    records = list(numbered)
    own = BROWSER_MESSAGE_ID if from_browser and kind is EVENTS else _OWN.get(kind.name, "")
    erased = find_erased(one for _, record in records for one in _ids(kind, record, own))
    if not erased:
        return records, []
    staying, left_out = [], []
    for line, record in records:
        kept = _without_past(kind, record, own, erased)
        if kept is None:
            left_out.append(line)
        else:
            staying.append((line, kept))
    return staying, left_out


def _without_past(kind: Kind, record: Record, own: str, erased: Mapping[IdKey, str]) -> Record | None:
    ids = [*_ids(kind, record, own)]
    if any(one in erased for one in ids if one[0] == own):
        return None
    ends = [erased[one] for one in ids if one in erased]
    if not ends:
        return record
    if kind is CUSTOMERS:
        return _afresh(record, max(ends))
    happened = _value(kind, record, _HAPPENED[kind.name])
    return None if happened is not None and happened <= max(ends) else record


def _afresh(customer: Record, since: str) -> Record:
    """Leave out when a customer was first seen, and a consent, where they are from before an erasure."""
    given = dict(zip(CUSTOMERS.columns, customer, strict=True))
    if given["first_seen"] and given["first_seen"] <= since:
        given["first_seen"] = None
    if given["subscribed_at"] and given["subscribed_at"] <= since:
        given["subscribed_at"] = given["newsletter"] = None
    return tuple(given.values())


def _ids(kind: Kind, record: Record, own: str) -> Iterator[IdKey]:
    """Give the ids in a record; that of the record itself is known as ``own``."""
    for name in _WHOSE[kind.name]:
        if (value := _value(kind, record, name)) is not None:
            yield name, value
    if own:
        yield own, record[kind.columns.index(_OWN[kind.name])]


def _value(kind: Kind, record: Record, column: str) -> str | None:
    value: str | None = record[kind.columns.index(column)]
    return value


def _written(at: datetime) -> str:
    return str(at.astimezone(UTC).replace(tzinfo=None))


def _salt() -> str | None:
    return Salt.objects.values_list("value", flat=True).first()


def _spellings(one: IdKey) -> set[IdKey]:
    """Return an id as it is written, and as it may have been written when it was remembered."""
    kind, value = one
    return {one} if value.isascii() else {one, (kind, to_nfc(value)), (kind, normalize("NFD", value))}


def _digest(salt: str, one: IdKey) -> str:
    kind, value = one
    return blake2b(f"{kind}:{value}".encode(), key=bytes.fromhex(salt), digest_size=20).hexdigest()
