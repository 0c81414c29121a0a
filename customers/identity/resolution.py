"""Which ids are one person: decided from all that was ever claimed, by the times of the claims.

The only writer of ``IdentityLink``, and of e-mail addresses and phone numbers as identities. A claim says that two
ids are the same person. Taken in the order of their times, each joins what its two ids belong to, unless both sides
have a customer id: then they are kept apart, and the claim is a conflict for staff to see. A claim that arrives
late is put in its place, and what it alters moves. So claims end in the same customers in whatever order they
arrive.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from django.db.models import Count, F, Q, Value
from django.db.models.functions import Concat

from core.db import backends, dialect, execution, temporary_tables
from core.db.execution import batches
from core.db.sql import Sql
from customers.models import Customer, Identity, IdentityLink, Traits
from customers.models.customer import ANONYMOUS_PREFIX

from . import lookup, unsigned_links
from .graph import EMAIL, PHONE, ClaimGraph, Id, Owner, trusted_among
from .lookup import ANONYMOUS_ID, CUSTOMER_ID
from .unsigned_links import Unsigned

ADDRESSES: Final = {EMAIL: "email", PHONE: "phone"}  # with the customer's column that may hold them too

BEFORE_ALL: Final = datetime(1900, 1, 1, tzinfo=UTC)  # of what was known when the first claim came
MOST_CLAIMS: Final = 200  # of one address or browser: what so many share says nothing of anybody


class Place(NamedTuple):
    """Where an id leads: the keys of the identity and of its customer."""

    identity: int
    customer: int


@dataclass(frozen=True, slots=True)
class Assertion:
    """That two ids are the same person, as one message says, or an event of a file."""

    one: Id
    other: Id
    at: datetime
    message_id: str
    way: int = IdentityLink.Way.MESSAGE


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where each id leads now; and of the identities that lead elsewhere than before, the customer of before.

    That customer is None where all of it went along: a browser that is linked to an id no more has left nothing there.
    """

    places: Mapping[Id, Place]
    moved: Mapping[int, int | None]


def resolve(
    ids: Iterable[Id],
    said: Sequence[Assertion],
    now: datetime,
    *,
    claimed: Sequence[Unsigned] = (),
    named: Collection[str] = (),
) -> Resolution:
    """Meet ids, and join the histories of those that are said to be the same person.

    ``claimed`` is what browsers say without a signature. ``named`` are customer ids that something trusted names,
    beside those of ``ids`` and ``said``. Runs in the transaction of its caller, who lets no other run beside it.
    """
    met = {*ids, *asserted_ids(said), *(Id(ANONYMOUS_ID, one.visitor) for one in claimed)}
    trusted = {*named, *(one.value for one in met if one.kind == CUSTOMER_ID)}
    moved = {}
    if ended := find_untrusted(trusted):
        moved = end_unsigned_links(ended, now)
        lookup.get_or_create(CUSTOMER_ID, (one.value for one in ended), now)
    # Whose id is claimed must be told now; the others, records meet.
    met |= {Id(CUSTOMER_ID, one.customer_id) for one in claimed if one.customer_id in trusted}
    places = _get_or_create_ids(met, said, now)
    known = known_before(said, places)
    places |= find_known_ids(asserted_ids(known) - places.keys())
    altered = store_assertions([*said, *known], places) | moved.keys() | _store_unsigned(claimed)
    if altered:
        moved |= {key: before for key, before in _regroup(altered, now).items() if key not in moved}
    return Resolution(find_known_ids(places) if moved else places, moved)


def _store_unsigned(claimed: Sequence[Unsigned]) -> set[int]:
    """Keep what browsers say without a signature; return the identities whose link may be another one now."""
    if not claimed:
        return set()
    visitors = unsigned_links.keep(claimed, trusted_among({one.customer_id for one in claimed}))
    return {place.identity for place in find_known_ids(Id(ANONYMOUS_ID, one) for one in visitors).values()}


def _regroup(altered: Iterable[int], now: datetime) -> dict[int, int | None]:
    """Decide who is who; return of the identities that lead elsewhere now the customer of before."""
    graph = ClaimGraph(altered, MOST_CLAIMS)
    owners = graph.decide()
    moved = end_unsigned_links(graph.unlinked(owners), now)
    if moved:
        graph.read_leads()
    moves = find_moves(graph, owners, now)
    if moves:
        apply_moves(moves)
    return {key: before for key, (before, _) in moves.items()} | moved


# -- Meeting ids


def asserted_ids(said: Iterable[Assertion]) -> set[Id]:
    return {one for claim in said for one in (claim.one, claim.other)}


def find_known_ids(ids: Iterable[Id]) -> dict[Id, Place]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for kind, value in ids:
        by_kind[kind].append(value)
    return {
        Id(kind, value): Place(key, customer)
        for kind, values in by_kind.items()
        for part in batches(values)
        for key, value, customer in Identity.objects.filter(kind=kind, value__in=part).values_list(
            "pk", "value", "customer_id"
        )
    }


def _get_or_create_ids(ids: Collection[Id], said: Sequence[Assertion], now: datetime) -> dict[Id, Place]:
    """Find ids; those not met yet get a customer: that of an id they are claimed to be, else one of their own."""
    places = find_known_ids(ids)
    missing = [one for one in ids if one not in places]
    if not missing:
        return places
    partners: dict[Id, list[Id]] = defaultdict(list)
    for claim in said:
        partners[claim.one].append(claim.other)
        partners[claim.other].append(claim.one)

    customers = [one for one in missing if one.kind == CUSTOMER_ID]
    lookup.get_or_create(CUSTOMER_ID, (one.value for one in customers), now)
    places |= find_known_ids(customers)
    # A browser that comes with a customer id needs no row of its own, which would only be left behind.
    visitors = [one for one in missing if one.kind == ANONYMOUS_ID]
    alone = [one for one in visitors if not any(other.kind == CUSTOMER_ID for other in partners[one])]
    lookup.get_or_create(ANONYMOUS_ID, (one.value for one in alone), now)
    places |= find_known_ids(alone)
    for group in (visitors, [one for one in missing if one.kind in ADDRESSES]):
        rest = [one for one in group if one not in places]
        Identity.objects.bulk_create(
            Identity(kind=one.kind, value=one.value, customer_id=_first(partners[one], places))
            for one in rest
        )
        places |= find_known_ids(rest)
    return places


def _first(partners: Iterable[Id], places: Mapping[Id, Place]) -> int:
    known = (places[one].customer for one in sorted(partners, key=_customers_first) if one in places)
    return next(known)


def _customers_first(one: Id) -> tuple[bool, Id]:
    return one.kind != CUSTOMER_ID, one


# -- Keeping claims


def known_before(said: Sequence[Assertion], places: Mapping[Id, Place]) -> list[Assertion]:
    """Give as claims what is known otherwise: browsers that files have joined, and addresses they have brought."""
    explicit = {pair for claim in said for pair in ((claim.one, claim.other), (claim.other, claim.one))}
    ids = {one for pair in explicit for one in pair}
    known = [*_joined_before([one for one in ids if one.kind == ANONYMOUS_ID], places)]
    for kind, column in ADDRESSES.items():
        known += _addressed_before(kind, column, [one.value for one in ids if one.kind == kind])
    return [
        Assertion(one, other, BEFORE_ALL, "", IdentityLink.Way.RECORD)
        for one, other in sorted(known)
        if (one, other) not in explicit
    ]


def _joined_before(visitors: Iterable[Id], places: Mapping[Id, Place]) -> Iterator[tuple[Id, Id]]:
    """Give browsers of which nothing was claimed, with the customer id they lead to nevertheless."""
    keys = {places[one].identity: one for one in visitors}
    for part in batches([*keys]):
        for claim in IdentityLink.objects.filter(Q(one__in=part) | Q(other__in=part)):
            keys.pop(claim.one_id, None)
            keys.pop(claim.other_id, None)
    by_customer: dict[int, list[Id]] = defaultdict(list)
    for one in keys.values():
        by_customer[places[one].customer].append(one)
    for part in batches([*by_customer]):
        for owner in Identity.objects.filter(customer__in=part, kind=CUSTOMER_ID, is_trusted=True):
            yield from ((one, Id(CUSTOMER_ID, owner.value)) for one in by_customer[owner.customer_id])


def _addressed_before(kind: str, column: str, values: Sequence[str]) -> Iterator[tuple[Id, Id]]:
    """Give addresses with the customer ids that have them from elsewhere than from a message."""
    for part in batches(values):
        owners = list(
            Identity.objects.filter(
                kind=CUSTOMER_ID, is_trusted=True, **{f"customer__{column}__in": part}
            ).values_list("customer_id", "value", f"customer__{column}")
        )
        # A browser may have told it, which joins nobody; and what a server has told is a claim of its own.
        told = {
            (customer, fields[column][0])
            for customer, fields in Traits.objects.filter(
                identity__customer__in={customer for customer, *_ in owners}
            ).values_list("identity__customer_id", "told")
            if column in fields
        }
        for customer, value, address in owners:
            if (customer, address) not in told:
                yield Id(kind, address), Id(CUSTOMER_ID, value)


def store_assertions(said: Iterable[Assertion], places: Mapping[Id, Place]) -> set[int]:
    """Keep claims that are new, or earlier than known; give the keys of the identities they are about."""
    earliest: dict[tuple[int, int], tuple[int, datetime, str]] = {}
    for claim in said:
        pair = _pair(places[claim.one].identity, places[claim.other].identity)
        stamp = claim.way, claim.at, claim.message_id
        earliest[pair] = min(stamp, earliest.get(pair, stamp))
    new = dict(earliest)
    for part in batches([*{one for one, _ in earliest}]):
        for known in IdentityLink.objects.filter(one__in=part):
            pair = known.one_id, known.other_id
            new.pop(pair, None)
            if pair in earliest and (known.way, known.at, known.message_id) <= earliest[pair]:
                del earliest[pair]
    crowded = _crowded({key for pair in new for key in pair}, places)
    for pair in [pair for pair in new if crowded.intersection(pair)]:
        del earliest[pair]
    IdentityLink.objects.bulk_create(
        (
            IdentityLink(one_id=one, other_id=other, at=at, message_id=message_id, way=way)
            for (one, other), (way, at, message_id) in earliest.items()
        ),
        update_conflicts=True,
        unique_fields=["one", "other"],
        update_fields=["at", "message_id", "way"],
    )
    return {key for pair in earliest for key in pair}


def _crowded(keys: set[int], places: Mapping[Id, Place]) -> set[int]:
    """Give those addresses and browsers that are claimed so often that no further claim alters anything."""
    shared = [places[one].identity for one in places if one.kind != CUSTOMER_ID]
    counts: Counter[int] = Counter()
    for part in batches([key for key in shared if key in keys]):
        for column in ("one_id", "other_id"):
            counted = IdentityLink.objects.filter(**{f"{column}__in": part}).values_list(column)
            counts.update(dict(counted.annotate(count=Count("pk"))))
    return {key for key, count in counts.items() if count > MOST_CLAIMS}


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


# -- Pairs of ids in events


def of_staged(staged: str) -> list[Assertion]:
    """Keep the pairs of ids that staged events name, as far as that alters nothing else; return the other ones.

    A browser that is met for the first time, and by one customer, is theirs.
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
                        (SELECT e.occurred_at FROM customers_event e WHERE e.id = record)) AS at
                    FROM {staged} WHERE anonymous_id IS NOT NULL AND customer_id IS NOT NULL) AS dated) AS numbered
            WHERE nth = 1"""
    )
    met = "SELECT {} FROM customers_identity i WHERE i.kind = '{}' AND i.value = pairs_named.{}"
    visitor = met.format("{}", ANONYMOUS_ID, "anonymous_id")
    customer = met.format("i.id", CUSTOMER_ID, "customer_id")
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
        f"""INSERT INTO customers_identitylink (one_id, other_id, at, message_id, way, is_refused)
            SELECT {ids}, at, message_id, {IdentityLink.Way.RECORD.value}, false FROM pairs_named
            WHERE is_new AND customer = ({visitor.format("i.customer_id")}) ORDER BY line
            ON CONFLICT (one_id, other_id) DO NOTHING"""
    )
    known = execution.fetch_all(
        f"""SELECT customer_id, anonymous_id, at, message_id FROM pairs_named WHERE NOT EXISTS (
                SELECT 1 FROM customers_identitylink c WHERE (c.one_id, c.other_id) = ({ids})
                AND c.way = {IdentityLink.Way.RECORD.value} AND c.at <= pairs_named.at) ORDER BY line"""
    )
    return [
        Assertion(
            Id(ANONYMOUS_ID, anonymous_id),
            Id(CUSTOMER_ID, customer_id),
            dialect.datetime_from_row(at),
            message_id,
            IdentityLink.Way.RECORD,
        )
        for customer_id, anonymous_id, at, message_id in known
    ]


# -- Links without a signature


def find_untrusted(customer_ids: Iterable[str]) -> list[Identity]:
    """Find those customer ids that nobody but browsers has named until now."""
    return [
        one
        for part in batches([*customer_ids])
        for one in Identity.objects.filter(kind=CUSTOMER_ID, is_trusted=False, value__in=part)
    ]


def end_unsigned_links(customer_ids: Sequence[Identity], now: datetime) -> dict[int, int | None]:
    """Let the browsers behind customer ids that nothing trusted has named be by themselves, and forget these ids.

    All that is there was told by way of the browsers, so all of it goes along.
    """
    if not customer_ids:
        return {}
    forgotten = {one.pk for one in customer_ids}
    left: dict[int, list[Identity]] = defaultdict(list)
    for part in batches([one.customer_id for one in customer_ids]):
        for one in Identity.objects.filter(customer__in=part):
            if one.pk not in forgotten:
                left[one.customer_id].append(one)
    heads = {
        customer: min(one.value for one in ids if one.kind == ANONYMOUS_ID)
        for customer, ids in left.items()
        if any(one.kind == ANONYMOUS_ID for one in ids)
    }
    rows = _visitor_rows([*heads.values()], now)
    lookup.merge({customer: rows[head] for customer, head in heads.items()})
    for part in batches([*forgotten]):
        Identity.objects.filter(pk__in=part).delete()
    return {one.pk: None for customer in heads for one in left[customer]}


# -- Moving


def find_moves(graph: ClaimGraph, owners: Mapping[int, Owner], now: datetime) -> dict[int, tuple[int, int]]:
    """Return of the identities that are to lead elsewhere the customer before and after."""
    visitors = _visitor_rows(
        [owner.id.value for owner in owners.values() if owner.id.kind == ANONYMOUS_ID], now
    )
    linked = _linked_rows({owner.id.value for owner in owners.values() if owner.identity is None}, now)
    moves = {}
    for key, (one, owner) in owners.items():
        if owner is None:
            target = linked.get(one.value)
        elif one.kind == CUSTOMER_ID:
            target = graph.leads[owner]
        else:  # nothing for an address that nobody else goes with
            target = visitors.get(one.value) if one.kind == ANONYMOUS_ID else None
        if target is not None and graph.leads[key] != target:
            moves[key] = graph.leads[key], target
    return moves


def _linked_rows(customer_ids: Collection[str], now: datetime) -> dict[str, int]:
    """Return the customers of ids that only browsers have named; those that records have named since are left out."""
    if not customer_ids:
        return {}
    met = {one.value: one.customer_id for one in find_untrusted(customer_ids)}
    if missing := customer_ids - met.keys():
        lookup.hold_back_records()
        missing -= trusted_among(missing)
        lookup.get_or_create(CUSTOMER_ID, missing, now, is_trusted=False)
        met |= {one.value: one.customer_id for one in find_untrusted(missing)}
    return met


def _visitor_rows(values: Sequence[str], now: datetime) -> dict[str, int]:
    """Return the customers that browsers are by themselves; one that was joined comes back."""
    if not values:
        return {}
    lookup.get_or_create(ANONYMOUS_ID, values, now)
    printed = {ANONYMOUS_PREFIX + value: value for value in values}
    return {
        printed[one.customer_id]: one.pk
        for part in batches([*printed])
        for one in Customer.objects.filter(customer_id__in=part)
    }


def apply_moves(moves: Mapping[int, tuple[int, int]]) -> None:
    """Let identities lead to other customers, and what was recorded under them follow."""
    leaving: dict[int, dict[int, int]] = defaultdict(dict)
    for key, (before, after) in moves.items():
        leaving[before][key] = after
    staying = {
        customer
        for part in batches([*leaving])
        for key, customer in Identity.objects.filter(customer__in=part).values_list("pk", "customer_id")
        if key not in moves
    }
    # A visitor's row that keeps no id is joined into where its own id went, with whatever it has left.
    emptied = {}
    for before, went in leaving.items():
        if before not in staying:
            own = Identity.objects.filter(
                pk__in=went, kind=ANONYMOUS_ID, customer__customer_id=_public_id()
            ).first()
            emptied[before] = went[own.pk if own else min(went)]
    apart = [(key, before, after) for key, (before, after) in moves.items() if emptied.get(before) != after]
    if apart:
        _move_apart(apart)
    if emptied:
        lookup.merge(emptied)


def _public_id() -> Concat:
    return Concat(Value(ANONYMOUS_PREFIX), F("value"))


def _move_apart(moves: Sequence[tuple[int, int, int]]) -> None:
    """Move identities, and the events of these browsers, away from a customer who keeps others."""
    temporary_tables.create_temporary_table(
        "identities_moved", "identity bigint PRIMARY KEY, customer bigint, moved_to bigint"
    )
    temporary_tables.load_rows("identities_moved", ("identity", "customer", "moved_to"), moves)
    theirs = "customers_event e JOIN identities_moved m ON m.customer = e.customer_id AND m.identity = e.visitor_id"
    lookup.reassign(
        "customers_eventproduct",
        Sql(f"SELECT p.id, m.moved_to FROM {theirs} JOIN customers_eventproduct p ON p.event_id = e.id"),
    )
    lookup.reassign("customers_event", Sql(f"SELECT e.id, m.moved_to FROM {theirs}"))
    execution.execute(
        """UPDATE customers_identity SET customer_id =
               (SELECT m.moved_to FROM identities_moved m WHERE m.identity = customers_identity.id)
           WHERE id IN (SELECT identity FROM identities_moved)"""
    )
    lookup.queue_stale(
        Sql("SELECT customer FROM identities_moved UNION SELECT moved_to FROM identities_moved"), merged=True
    )
