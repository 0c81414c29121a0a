"""Ids of erased customers, which must not bring their past back. The only writer of ``Tombstone`` and ``Salt``.

The ids themselves are deleted. Salted digests remain, to recognize an id when it is sent again.
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
"""The kind of an id and its value."""

ORDER_ID: Final = "order_id"
MESSAGE_ID: Final = "message_id"
BROWSER_MESSAGE_ID: Final = "browser_message_id"
"""The message id of a browser. Anybody can send it, so it does not skip messages of servers."""

_CUSTOMER_ID, _ANONYMOUS_ID = Identity.Kind.CUSTOMER_ID.value, Identity.Kind.ANONYMOUS_ID.value

# By kind of record: its own id, the ids of its owner, and the column with its time.
_OWN_ID: Final[Mapping[str, str]] = {
    ORDERS.name: ORDER_ID,
    ORDER_LINES.name: ORDER_ID,
    EVENTS.name: MESSAGE_ID,
}
_OWNER_IDS: Final[Mapping[str, tuple[str, ...]]] = {
    CUSTOMERS.name: (_CUSTOMER_ID,),
    ORDERS.name: (_CUSTOMER_ID, _ANONYMOUS_ID),
    ORDER_LINES.name: (),
    EVENTS.name: (_CUSTOMER_ID, _ANONYMOUS_ID),
}
_TIME: Final[Mapping[str, str]] = {ORDERS.name: "placed_at", EVENTS.name: "occurred_at"}


def lock_shared() -> None:
    """Let no erasure start before this transaction ends."""
    transactions.lock_shared(Tombstone._meta.db_table)


def lock_exclusive() -> None:
    """Wait for transactions that write records, and block new ones until this transaction ends."""
    transactions.lock_exclusive(Tombstone._meta.db_table)


def create_tombstones(ids: Iterable[IdKey], at: datetime) -> None:
    """Store digests of the ids of an erased customer. An id that is erased again counts from now."""
    salt = _salt() or Salt.objects.create(value=secrets.token_hex(32)).value
    Tombstone.objects.bulk_create(
        (Tombstone(digest=_digest(salt, one), erased_at=at) for one in set(ids)),
        batch_size=5_000,
        update_conflicts=True,
        unique_fields=["digest"],
        update_fields=["erased_at"],
    )


def compute_digest(one: IdKey) -> str:
    """Return the digest of an id. Creates the salt if nobody was erased before."""
    return _digest(_salt() or Salt.objects.create(value=secrets.token_hex(32)).value, one)


def ids_by_digest(ids: Iterable[IdKey]) -> dict[str, IdKey]:
    """Return ids by their digests; nothing if nobody was ever erased."""
    salt = _salt()
    return {} if salt is None else {_digest(salt, one): one for one in ids}


def find_erased(ids: Iterable[IdKey]) -> dict[IdKey, str]:
    """Return the ids that were erased, each with the instant in the format of records."""
    salt = _salt()
    if salt is None:
        return {}  # nobody was ever erased
    by_digest = {_digest(salt, spelled): one for one in ids for spelled in _spellings(one)}
    # As one parameter: there may be thirty thousand of them.
    listed = RawSQL(dialect.json_texts_sql("%s"), [json.dumps(list(by_digest))])
    found = Tombstone.objects.filter(digest__in=listed).values_list("digest", "erased_at")
    return {by_digest[digest]: _record_time(at) for digest, at in found}


def belongs_to_erased(ids: Iterable[IdKey], at: datetime, known: Mapping[IdKey, str]) -> bool:
    """Return whether something at an instant belongs to an erased customer, found by its ids in ``known``."""
    moment = _record_time(at)
    return any(
        one[0] in (MESSAGE_ID, BROWSER_MESSAGE_ID) or moment <= known[one] for one in ids if one in known
    )


def skip_erased(
    kind: Kind, numbered: Iterable[tuple[int, Record]], *, from_browser: bool = False
) -> tuple[list[tuple[int, Record]], list[int]]:
    """Skip records from before an erasure. Return the remaining records, and the lines of the skipped ones.

    A record is skipped if it was erased itself, or if it names an erased id and happened before the erasure. A
    customer who returns under such an id starts anew: dates from before the erasure are removed, too.
    """
    records = list(numbered)
    own = BROWSER_MESSAGE_ID if from_browser and kind is EVENTS else _OWN_ID.get(kind.name, "")
    erased = find_erased(one for _, record in records for one in _ids(kind, record, own))
    if not erased:
        return records, []
    remaining, skipped = [], []
    for line, record in records:
        kept = _without_past(kind, record, own, erased)
        if kept is None:
            skipped.append(line)
        else:
            remaining.append((line, kept))
    return remaining, skipped


def _without_past(kind: Kind, record: Record, own: str, erased: Mapping[IdKey, str]) -> Record | None:
    ids = [*_ids(kind, record, own)]
    if any(one in erased for one in ids if one[0] == own):
        return None
    ends = [erased[one] for one in ids if one in erased]
    if not ends:
        return record
    if kind is CUSTOMERS:
        return _without_earlier_dates(record, max(ends))
    happened = _value(kind, record, _TIME[kind.name])
    return None if happened is not None and happened <= max(ends) else record


def _without_earlier_dates(customer: Record, since: str) -> Record:
    """Remove the first-seen date and the consent of a customer if they are from before an erasure."""
    given = dict(zip(CUSTOMERS.columns, customer, strict=True))
    if given["first_seen"] and given["first_seen"] <= since:
        given["first_seen"] = None
    if given["subscribed_at"] and given["subscribed_at"] <= since:
        given["subscribed_at"] = given["newsletter"] = None
    return tuple(given.values())


def _ids(kind: Kind, record: Record, own: str) -> Iterator[IdKey]:
    """Return the ids in a record. The kind of the record's own id is ``own``."""
    for name in _OWNER_IDS[kind.name]:
        if (value := _value(kind, record, name)) is not None:
            yield name, value
    if own:
        yield own, record[kind.columns.index(_OWN_ID[kind.name])]


def _value(kind: Kind, record: Record, column: str) -> str | None:
    value: str | None = record[kind.columns.index(column)]
    return value


def _record_time(at: datetime) -> str:
    return str(at.astimezone(UTC).replace(tzinfo=None))


def _salt() -> str | None:
    return Salt.objects.values_list("value", flat=True).first()


def _spellings(one: IdKey) -> set[IdKey]:
    """Return the forms in which an id may have been stored when it was erased."""
    kind, value = one
    return {one} if value.isascii() else {one, (kind, to_nfc(value)), (kind, normalize("NFD", value))}


def _digest(salt: str, one: IdKey) -> str:
    kind, value = one
    return blake2b(f"{kind}:{value}".encode(), key=bytes.fromhex(salt), digest_size=20).hexdigest()
