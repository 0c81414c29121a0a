"""Which ids are one person: decided from all that was ever claimed, by the times of the claims.

The only writer of ``Claim``, and of e-mail addresses and phone numbers as identities. A claim says that two ids are
the same person. Taken in the order of their times, each joins what its two ids belong to, unless both sides have a
customer id: then they are kept apart, and the claim is a conflict for staff to see. A claim that arrives late is put
in its place, and what it alters moves. So claims end in the same customers in whatever order they arrive.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

from django.db.models import Count, F, Q, Value
from django.db.models.functions import Concat

from . import engine, identity
from .identity import ANONYMOUS_ID, CUSTOMER_ID
from .models import Claim, Customer, Identity, Traits
from .models.customer import ANONYMOUS_PREFIX

EMAIL: Final = Identity.Kind.EMAIL.value
PHONE: Final = Identity.Kind.PHONE.value
ADDRESSES: Final = {EMAIL: "email", PHONE: "phone"}  # with the customer's column that may hold them too

BEFORE_ALL: Final = datetime(1900, 1, 1, tzinfo=UTC)  # of what was known when the first claim came
MOST_CLAIMS: Final = 200  # of one address or browser: what so many share says nothing of anybody
ASKED_AT_ONCE: Final = 5_000  # SQLite takes no more than 32,766 parameters

Item = TypeVar("Item")


class Id(NamedTuple):
    """An id under which a customer is met."""

    kind: str
    value: str


class Place(NamedTuple):
    """Where an id leads: the keys of the identity and of its customer."""

    identity: int
    customer: int


@dataclass(frozen=True, slots=True)
class Said:
    """That two ids are the same person, as one message says."""

    one: Id
    other: Id
    at: datetime
    message_id: str


@dataclass(frozen=True, slots=True)
class United:
    """Where each id leads now; and of the identities that lead elsewhere than before, the customer of before."""

    places: Mapping[Id, Place]
    moved: Mapping[int, int]


def unite(ids: Iterable[Id], said: Sequence[Said], now: datetime) -> United:
    """Meet ids, and join the histories of those that are said to be the same person.

    Runs in the transaction of its caller, who lets no other run beside it.
    """
    places = _meet({*ids, *_named(said)}, said, now)
    known = _known_before(said, places)
    places |= _find(_named(known) - places.keys())
    altered = _record([*said, *known], places)
    if not altered:
        return United(places, {})
    moves = _Graph(altered).settle(now)
    if moves:
        _move(moves)
        places = _find(places)
    return United(places, {key: before for key, (before, _) in moves.items()})


def lead(ids: Iterable[Id]) -> dict[Id, Place]:
    """Tell where ids lead; those not met yet are left out."""
    return _find(ids)


# -- Meeting ids


def _named(said: Iterable[Said]) -> set[Id]:
    return {one for claim in said for one in (claim.one, claim.other)}


def _find(ids: Iterable[Id]) -> dict[Id, Place]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for kind, value in ids:
        by_kind[kind].append(value)
    return {
        Id(kind, value): Place(key, customer)
        for kind, values in by_kind.items()
        for part in in_parts(values)
        for key, value, customer in Identity.objects.filter(kind=kind, value__in=part).values_list(
            "pk", "value", "customer_id"
        )
    }


def _meet(ids: Collection[Id], said: Sequence[Said], now: datetime) -> dict[Id, Place]:
    """Find ids; those not met yet get a customer: that of an id they are claimed to be, else one of their own."""
    places = _find(ids)
    missing = [one for one in ids if one not in places]
    if not missing:
        return places
    partners: dict[Id, list[Id]] = defaultdict(list)
    for claim in said:
        partners[claim.one].append(claim.other)
        partners[claim.other].append(claim.one)

    customers = [one for one in missing if one.kind == CUSTOMER_ID]
    identity.meet(CUSTOMER_ID, (one.value for one in customers), now)
    places |= _find(customers)
    # A browser that comes with a customer id needs no row of its own, which would only be left behind.
    visitors = [one for one in missing if one.kind == ANONYMOUS_ID]
    alone = [one for one in visitors if not any(other.kind == CUSTOMER_ID for other in partners[one])]
    identity.meet(ANONYMOUS_ID, (one.value for one in alone), now)
    places |= _find(alone)
    for group in (visitors, [one for one in missing if one.kind in ADDRESSES]):
        rest = [one for one in group if one not in places]
        Identity.objects.bulk_create(
            Identity(kind=one.kind, value=one.value, customer_id=_first(partners[one], places))
            for one in rest
        )
        places |= _find(rest)
    return places


def _first(partners: Iterable[Id], places: Mapping[Id, Place]) -> int:
    known = (places[one].customer for one in sorted(partners, key=_customers_first) if one in places)
    return next(known)


def _customers_first(one: Id) -> tuple[bool, Id]:
    return one.kind != CUSTOMER_ID, one


# -- Keeping claims


def _known_before(said: Sequence[Said], places: Mapping[Id, Place]) -> list[Said]:
    """Give as claims what is known otherwise: browsers that files have joined, and addresses they have brought."""
    explicit = {pair for claim in said for pair in ((claim.one, claim.other), (claim.other, claim.one))}
    ids = {one for pair in explicit for one in pair}
    known = [*_joined_before([one for one in ids if one.kind == ANONYMOUS_ID], places)]
    for kind, column in ADDRESSES.items():
        known += _addressed_before(kind, column, [one.value for one in ids if one.kind == kind])
    return [Said(one, other, BEFORE_ALL, "") for one, other in sorted(known) if (one, other) not in explicit]


def _joined_before(visitors: Iterable[Id], places: Mapping[Id, Place]) -> Iterator[tuple[Id, Id]]:
    """Give browsers of which nothing was claimed, with the customer id they lead to nevertheless."""
    keys = {places[one].identity: one for one in visitors}
    for part in in_parts([*keys]):
        for claim in Claim.objects.filter(Q(one__in=part) | Q(other__in=part)):
            keys.pop(claim.one_id, None)
            keys.pop(claim.other_id, None)
    by_customer: dict[int, list[Id]] = defaultdict(list)
    for one in keys.values():
        by_customer[places[one].customer].append(one)
    for part in in_parts([*by_customer]):
        for owner in Identity.objects.filter(customer__in=part, kind=CUSTOMER_ID):
            yield from ((one, Id(CUSTOMER_ID, owner.value)) for one in by_customer[owner.customer_id])


def _addressed_before(kind: str, column: str, values: Sequence[str]) -> Iterator[tuple[Id, Id]]:
    """Give addresses with the customer ids that have them from elsewhere than from a message."""
    for part in in_parts(values):
        owners = list(
            Identity.objects.filter(kind=CUSTOMER_ID, **{f"customer__{column}__in": part}).values_list(
                "customer_id", "value", f"customer__{column}"
            )
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


def _record(said: Iterable[Said], places: Mapping[Id, Place]) -> set[int]:
    """Keep claims that are new, or earlier than known; give the keys of the identities they are about."""
    earliest: dict[tuple[int, int], tuple[datetime, str]] = {}
    for claim in said:
        pair = _pair(places[claim.one].identity, places[claim.other].identity)
        stamp = claim.at, claim.message_id
        earliest[pair] = min(stamp, earliest.get(pair, stamp))
    new = dict(earliest)
    for part in in_parts([*{one for one, _ in earliest}]):
        for known in Claim.objects.filter(one__in=part):
            pair = known.one_id, known.other_id
            new.pop(pair, None)
            if pair in earliest and (known.at, known.message_id) <= earliest[pair]:
                del earliest[pair]
    crowded = _crowded({key for pair in new for key in pair}, places)
    for pair in [pair for pair in new if crowded.intersection(pair)]:
        del earliest[pair]
    Claim.objects.bulk_create(
        (
            Claim(one_id=one, other_id=other, at=at, message_id=message_id)
            for (one, other), (at, message_id) in sorted(earliest.items())
        ),
        update_conflicts=True,
        unique_fields=["one", "other"],
        update_fields=["at", "message_id"],
    )
    return {key for pair in earliest for key in pair}


def _crowded(keys: set[int], places: Mapping[Id, Place]) -> set[int]:
    """Give those addresses and browsers that are claimed so often that no further claim alters anything."""
    shared = [places[one].identity for one in places if one.kind != CUSTOMER_ID]
    counts: Counter[int] = Counter()
    for part in in_parts([key for key in shared if key in keys]):
        for column in ("one_id", "other_id"):
            counted = Claim.objects.filter(**{f"{column}__in": part}).values_list(column)
            counts.update(dict(counted.annotate(count=Count("pk"))))
    return {key for key, count in counts.items() if count > MOST_CLAIMS}


def _pair(one: int, other: int) -> tuple[int, int]:
    return (one, other) if one < other else (other, one)


# -- Deciding


class _Graph:
    """The identities that claims connect with some, and these claims."""

    def __init__(self, some: Iterable[int]) -> None:
        self.ids: dict[int, Id] = {}
        self.leads: dict[int, int] = {}
        self.claims: dict[int, Claim] = {}
        self.crowded: set[int] = set()
        new = set(some)
        while new:
            self._read_ids(new)
            claims = self._read_claims(new)
            new = {key for claim in claims for key in (claim.one_id, claim.other_id)} - self.ids.keys()

    def _read_ids(self, keys: set[int]) -> None:
        for part in in_parts([*keys]):
            for one in Identity.objects.filter(pk__in=part):
                self.ids[one.pk] = Id(one.kind, one.value)
                self.leads[one.pk] = one.customer_id

    def _read_claims(self, keys: set[int]) -> Collection[Claim]:
        found: dict[int, Claim] = {}
        for part in in_parts([*keys]):
            found |= {claim.pk: claim for claim in Claim.objects.filter(Q(one__in=part) | Q(other__in=part))}
        degrees = Counter(key for claim in found.values() for key in (claim.one_id, claim.other_id))
        self.crowded |= {
            key for key in keys if degrees[key] > MOST_CLAIMS and self.ids[key].kind != CUSTOMER_ID
        }
        self.claims |= found
        return found.values()

    def settle(self, now: datetime) -> dict[int, tuple[int, int]]:
        """Decide who is who; give of the identities that lead elsewhere now the customer before and after."""
        groups = _Groups(self.ids)
        altered = []
        for claim in sorted(self.claims.values(), key=self._order):
            is_refused = bool(self.crowded.intersection((claim.one_id, claim.other_id))) or not groups.join(
                claim.one_id, claim.other_id
            )
            if is_refused != claim.is_refused:
                claim.is_refused = is_refused
                altered.append(claim)
        Claim.objects.bulk_update(altered, ["is_refused"], batch_size=500)
        return self._moves(groups, now)

    def _order(self, claim: Claim) -> tuple[datetime, str, list[Id]]:
        return claim.at, claim.message_id, sorted((self.ids[claim.one_id], self.ids[claim.other_id]))

    def _moves(self, groups: "_Groups", now: datetime) -> dict[int, tuple[int, int]]:
        owners = groups.owners()
        rows = _rows_of_visitors(
            [self.ids[owner].value for owner in owners.values() if self._is_visitor(owner)], now
        )
        moves = {}
        for key, owner in owners.items():
            one = self.ids[owner]
            if one.kind == CUSTOMER_ID:
                target = self.leads[owner]
            elif one.kind == ANONYMOUS_ID:
                target = rows[one.value]
            else:  # an address that nobody else goes with
                continue
            if self.leads[key] != target:
                moves[key] = self.leads[key], target
        return moves

    def _is_visitor(self, key: int) -> bool:
        return self.ids[key].kind == ANONYMOUS_ID


class _Groups:
    """Ids that are one person, as far as claims were taken."""

    def __init__(self, ids: Mapping[int, Id]) -> None:
        self.ids = ids
        self.parents = {key: key for key in ids}
        # Who stands for a group: its customer id, else its visitor whose id sorts first, else an address.
        self.heads = dict(self.parents)

    def join(self, one: int, other: int) -> bool:
        """Make one group of two, unless both have a customer id; tell whether they are one now."""
        one, other = self._root(one), self._root(other)
        if one == other:
            return True
        heads = sorted((self.heads[one], self.heads[other]), key=self._rank)
        if all(self.ids[head].kind == CUSTOMER_ID for head in heads):
            return False
        self.parents[other] = one
        self.heads[one] = heads[0]
        return True

    def owners(self) -> dict[int, int]:
        """Give each id's head."""
        return {key: self.heads[self._root(key)] for key in self.ids}

    def _root(self, key: int) -> int:
        while self.parents[key] != key:
            self.parents[key] = key = self.parents[self.parents[key]]
        return key

    def _rank(self, key: int) -> tuple[int, Id]:
        one = self.ids[key]
        return (CUSTOMER_ID, ANONYMOUS_ID, EMAIL, PHONE).index(one.kind), one


# -- Moving


def _rows_of_visitors(values: Sequence[str], now: datetime) -> dict[str, int]:
    """Give the customers that browsers are by themselves; one that was joined comes back."""
    if not values:
        return {}
    identity.meet(ANONYMOUS_ID, values, now)
    printed = {ANONYMOUS_PREFIX + value: value for value in values}
    found: dict[str, int] = {}
    for part in in_parts([*printed]):
        rows = Customer.objects.filter(customer_id__in=part)
        found |= {printed[one.customer_id]: one.pk for one in rows}
        rows.exclude(joined_into=None).update(joined_into=None)
    return found


def _move(moves: Mapping[int, tuple[int, int]]) -> None:
    """Let identities lead to other customers, and what was recorded under them follow."""
    leaving: dict[int, dict[int, int]] = defaultdict(dict)
    for key, (before, after) in moves.items():
        leaving[before][key] = after
    staying = {
        customer
        for part in in_parts([*leaving])
        for key, customer in Identity.objects.filter(customer__in=part).values_list("pk", "customer_id")
        if key not in moves
    }
    # A visitor's row that keeps no id is joined into where its own id went, with whatever it has left.
    emptied = {}
    for before, went in leaving.items():
        if before not in staying:
            own = Identity.objects.filter(
                pk__in=went, kind=ANONYMOUS_ID, customer__customer_id=_printed()
            ).first()
            emptied[before] = went[own.pk if own else min(went)]
    apart = [(key, before, after) for key, (before, after) in moves.items() if emptied.get(before) != after]
    if apart:
        _move_apart(apart)
    if emptied:
        identity.join(emptied)


def _printed() -> Concat:
    return Concat(Value(ANONYMOUS_PREFIX), F("value"))


def _move_apart(moves: Sequence[tuple[int, int, int]]) -> None:
    """Move identities, and the events of these browsers, away from a customer who keeps others."""
    engine.temporary_table(
        "identities_moved", "identity bigint PRIMARY KEY, customer bigint, moved_to bigint"
    )
    engine.load("identities_moved", ("identity", "customer", "moved_to"), moves)
    theirs = "customers_event e JOIN identities_moved m ON m.customer = e.customer_id AND m.identity = e.visitor_id"
    identity.rehome(
        "customers_eventproduct",
        f"SELECT p.id, m.moved_to FROM {theirs} JOIN customers_eventproduct p ON p.event_id = e.id",
    )
    identity.rehome("customers_event", f"SELECT e.id, m.moved_to FROM {theirs}")
    engine.execute(
        """UPDATE customers_identity SET customer_id =
               (SELECT m.moved_to FROM identities_moved m WHERE m.identity = customers_identity.id)
           WHERE id IN (SELECT identity FROM identities_moved)"""
    )
    identity.queue_stale(
        "SELECT customer FROM identities_moved UNION SELECT moved_to FROM identities_moved", joined=True
    )


def in_parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Cut what a statement names into what one can take."""
    for start in range(0, len(items), ASKED_AT_ONCE):
        yield items[start : start + ASKED_AT_ONCE]
