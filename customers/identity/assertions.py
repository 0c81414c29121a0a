"""Assertions that two ids belong to one person, stored as identity links.

The only writer of ``IdentityLink``, except for ``is_conflict``.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.db.models import Count, Q

from core.db import backends, dialect, execution, temporary_tables
from core.db.execution import batches
from customers.models import Customer, Identity, IdentityLink, Traits

from .graph import ExternalId
from .known_ids import ADDRESSES, KnownId
from .lookup import ANONYMOUS_ID, CUSTOMER_ID

BEFORE_ALL: Final = datetime(1900, 1, 1, tzinfo=UTC)  # the time of what was known before the first assertion
MAX_LINKS: Final = 200  # of one address or browser: more of them say nothing about a person


@dataclass(frozen=True, slots=True)
class Assertion:
    """That two ids belong to one person, as a message, or an event of a file or the API, says."""

    one: ExternalId
    other: ExternalId
    at: datetime
    message_id: str
    origin: int = IdentityLink.Origin.MESSAGE


def asserted_ids(asserted: Iterable[Assertion]) -> set[ExternalId]:
    return {one for assertion in asserted for one in (assertion.one, assertion.other)}


# -- Storing assertions


def known_before(asserted: Sequence[Assertion], known_ids: Mapping[ExternalId, KnownId]) -> list[Assertion]:
    """Return what is known from elsewhere as assertions: browsers that files have linked, and addresses from files."""
    explicit = {
        pair
        for assertion in asserted
        for pair in ((assertion.one, assertion.other), (assertion.other, assertion.one))
    }
    ids = {one for pair in explicit for one in pair}
    known = [*_linked_before([one for one in ids if one.kind == ANONYMOUS_ID], known_ids)]
    for kind, column in ADDRESSES.items():
        known += _addresses_before(kind, column, [one.value for one in ids if one.kind == kind])
    return [
        Assertion(one, other, BEFORE_ALL, "", IdentityLink.Origin.RECORD)
        for one, other in sorted(known)
        if (one, other) not in explicit
    ]


def _linked_before(
    visitors: Iterable[ExternalId], known_ids: Mapping[ExternalId, KnownId]
) -> Iterator[tuple[ExternalId, ExternalId]]:
    """Return browsers without a link that lead to a customer id nevertheless."""
    keys = {known_ids[one].identity: one for one in visitors}
    for part in batches([*keys]):
        for link in IdentityLink.objects.filter(Q(one__in=part) | Q(other__in=part)):
            keys.pop(link.one_id, None)
            keys.pop(link.other_id, None)
    by_customer: dict[int, list[ExternalId]] = defaultdict(list)
    for one in keys.values():
        by_customer[known_ids[one].customer].append(one)
    for part in batches([*by_customer]):
        for owner in Identity.objects.filter(customer__in=part, kind=CUSTOMER_ID, is_trusted=True):
            yield from ((one, ExternalId(CUSTOMER_ID, owner.value)) for one in by_customer[owner.customer_id])


def _addresses_before(
    kind: str, column: str, values: Sequence[str]
) -> Iterator[tuple[ExternalId, ExternalId]]:
    """Return addresses with the customer ids that have them from anywhere but a message."""
    for part in batches(values):
        addresses = dict(Customer.objects.filter(**{f"{column}__in": part}).values_list("pk", column))
        if not addresses:
            continue
        named = Identity.objects.filter(kind=CUSTOMER_ID, is_trusted=True, customer__in=addresses)
        owners = [
            (customer, value, addresses[customer])
            for customer, value in named.values_list("customer_id", "value")
        ]
        # An address sent by a browser links nobody, and one sent by a server is an assertion of its own.
        sent_by_messages = {
            (customer, fields[column][0])
            for customer, fields in Traits.objects.filter(
                identity__customer__in={customer for customer, *_ in owners}
            ).values_list("identity__customer_id", "values")
            if column in fields
        }
        for customer, value, address in owners:
            if (customer, address) not in sent_by_messages:
                yield ExternalId(kind, address), ExternalId(CUSTOMER_ID, value)


def store_assertions(asserted: Iterable[Assertion], known_ids: Mapping[ExternalId, KnownId]) -> set[int]:
    """Store assertions that are new, or earlier than the stored link. Return the keys of their identities."""
    earliest: dict[tuple[int, int], tuple[int, datetime, str]] = {}
    for assertion in asserted:
        pair = _pair(known_ids[assertion.one].identity, known_ids[assertion.other].identity)
        stamp = assertion.origin, assertion.at, assertion.message_id
        earliest[pair] = min(stamp, earliest.get(pair, stamp))
    new = dict(earliest)
    for part in batches([*{one for one, _ in earliest}]):
        for known in IdentityLink.objects.filter(one__in=part):
            pair = known.one_id, known.other_id
            new.pop(pair, None)
            if pair in earliest and (known.origin, known.at, known.message_id) <= earliest[pair]:
                del earliest[pair]
    over_link_limit = _over_link_limit({key for pair in new for key in pair}, known_ids)
    for pair in [pair for pair in new if over_link_limit.intersection(pair)]:
        del earliest[pair]
    IdentityLink.objects.bulk_create(
        (
            IdentityLink(one_id=one, other_id=other, at=at, message_id=message_id, origin=origin)
            for (one, other), (origin, at, message_id) in earliest.items()
        ),
        update_conflicts=True,
        unique_fields=["one", "other"],
        update_fields=["at", "message_id", "origin"],
    )
    return {key for pair in earliest for key in pair}


def _over_link_limit(keys: set[int], known_ids: Mapping[ExternalId, KnownId]) -> set[int]:
    """Return the addresses and browsers with so many links that another one changes nothing."""
    shared = [known_ids[one].identity for one in known_ids if one.kind != CUSTOMER_ID]
    counts: Counter[int] = Counter()
    for part in batches([key for key in shared if key in keys]):
        for column in ("one_id", "other_id"):
            counted = IdentityLink.objects.filter(**{f"{column}__in": part}).values_list(column)
            counts.update(dict(counted.annotate(count=Count("pk"))))
    return {key for key, count in counts.items() if count > MAX_LINKS}


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


# -- Pairs of ids in events


def assertions_from_staged(staged: str) -> list[Assertion]:
    """Store the pairs of ids in staged events, if that affects nothing else; return the other pairs.

    An event without a time has the time of the stored one, in ``stored_keys`` of ``customers.ingestion.record_keys``.
    A browser that is new, and appears with one customer only, belongs to that customer.
    """
    temporary_tables.create_temporary_table(
        "pairs_named",
        f"line bigint, anonymous_id text, customer_id text, customer bigint, at {dialect.datetime_type_sql()},"
        " message_id text, visitor bigint, owner bigint, is_new boolean",
    )
    execution.execute(
        f"""INSERT INTO pairs_named (line, anonymous_id, customer_id, customer, at, message_id, is_new)
            SELECT line, anonymous_id, customer_id, customer, at, message_id, count(*) OVER (
                PARTITION BY anonymous_id) = 1
            FROM (SELECT *, row_number() OVER (
                    PARTITION BY anonymous_id, customer_id ORDER BY at, line) AS nth
                FROM (SELECT line, anonymous_id, customer_id, customer, message_id, COALESCE(occurred_at,
                        (SELECT k.at FROM stored_keys k WHERE k.value = message_id)) AS at
                    FROM {staged} WHERE anonymous_id IS NOT NULL AND customer_id IS NOT NULL) AS dated) AS numbered
            WHERE nth = 1"""
    )
    identity = "SELECT {} FROM customers_identity i WHERE i.kind = '{}' AND i.value = pairs_named.{}"
    visitor = identity.format("{}", ANONYMOUS_ID, "anonymous_id")
    customer = identity.format("i.id", CUSTOMER_ID, "customer_id")
    execution.execute(f"UPDATE pairs_named SET is_new = false WHERE is_new AND EXISTS ({visitor.format(1)})")
    execution.execute(
        f"""INSERT INTO customers_identity (kind, value, is_trusted, customer_id)
            SELECT '{ANONYMOUS_ID}', anonymous_id, true, customer FROM pairs_named WHERE is_new
            ON CONFLICT (kind, value) DO NOTHING"""
    )
    execution.execute(f"UPDATE pairs_named SET visitor = ({visitor.format('i.id')}), owner = ({customer})")
    ids = "LEAST(visitor, owner), GREATEST(visitor, owner)"
    if not backends.is_postgresql():
        ids = "min(visitor, owner), max(visitor, owner)"
    execution.execute(
        f"""INSERT INTO customers_identitylink (one_id, other_id, at, message_id, origin, is_conflict)
            SELECT {ids}, at, message_id, {IdentityLink.Origin.RECORD.value}, false FROM pairs_named
            WHERE is_new AND customer = ({visitor.format("i.customer_id")}) ORDER BY line
            ON CONFLICT (one_id, other_id) DO NOTHING"""
    )
    known = execution.fetch_all(
        f"""SELECT customer_id, anonymous_id, at, message_id FROM pairs_named WHERE NOT EXISTS (
                SELECT 1 FROM customers_identitylink c WHERE (c.one_id, c.other_id) = ({ids})
                AND c.origin = {IdentityLink.Origin.RECORD.value} AND c.at <= pairs_named.at) ORDER BY line"""
    )
    return [
        Assertion(
            ExternalId(ANONYMOUS_ID, anonymous_id),
            ExternalId(CUSTOMER_ID, customer_id),
            dialect.datetime_from_row(at),
            message_id,
            IdentityLink.Origin.RECORD,
        )
        for customer_id, anonymous_id, at, message_id in known
    ]
