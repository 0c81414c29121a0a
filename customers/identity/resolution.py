"""Which ids are one person: decided from all that was ever claimed, by the times of the claims.

The only writer of ``IdentityLink``, and of e-mail addresses and phone numbers as identities. A claim says that two
ids are the same person. Taken in the order of their times, each joins what its two ids belong to, unless both sides
have a customer id: then they are kept apart, and the claim is a conflict for staff to see. A claim that arrives
late is put in its place, and what it alters moves. So claims end in the same customers in whatever order they
arrive.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from customers.models import Identity

from . import assertions, staged_customers, unsigned_links
from .assertions import Assertion, asserted_ids, known_before, store_assertions
from .graph import ExternalId, LinkGraph, trusted_customer_ids
from .known_ids import ADDRESSES, KnownId, find_known_ids, find_untrusted
from .lookup import ANONYMOUS_ID, CUSTOMER_ID
from .moves import apply_moves, end_unsigned_links, find_moves
from .unsigned_links import UnsignedAssertion


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where each id leads now; and of the identities that lead elsewhere than before, the customer of before.

    That customer is None where all of it went along: a browser that is linked to an id no more has left nothing there.
    """

    places: Mapping[ExternalId, KnownId]
    moved: Mapping[int, int | None]


def resolve(
    ids: Iterable[ExternalId],
    said: Sequence[Assertion],
    now: datetime,
    *,
    claimed: Sequence[UnsignedAssertion] = (),
    named: Collection[str] = (),
) -> Resolution:
    """Meet ids, and join the histories of those that are said to be the same person.

    ``claimed`` is what browsers say without a signature. ``named`` are customer ids that something trusted names,
    beside those of ``ids`` and ``said``. Runs in the transaction of its caller, who lets no other run beside it.
    """
    met = {*ids, *asserted_ids(said), *(ExternalId(ANONYMOUS_ID, one.visitor) for one in claimed)}
    trusted = {*named, *(one.value for one in met if one.kind == CUSTOMER_ID)}
    moved = {}
    if ended := find_untrusted(trusted):
        moved = end_unsigned_links(ended, now)
        staged_customers.get_or_create(CUSTOMER_ID, (one.value for one in ended), now)
    # Whose id is claimed must be told now; the others, records meet.
    met |= {ExternalId(CUSTOMER_ID, one.customer_id) for one in claimed if one.customer_id in trusted}
    places = _get_or_create_ids(met, said, now)
    known = known_before(said, places)
    places |= find_known_ids(asserted_ids(known) - places.keys())
    altered = store_assertions([*said, *known], places) | moved.keys() | _store_unsigned(claimed)
    if altered:
        moved |= {key: before for key, before in _regroup(altered, now).items() if key not in moved}
    return Resolution(find_known_ids(places) if moved else places, moved)


def _store_unsigned(claimed: Sequence[UnsignedAssertion]) -> set[int]:
    """Keep what browsers say without a signature; return the identities whose link may be another one now."""
    if not claimed:
        return set()
    visitors = unsigned_links.store_earliest(
        claimed, trusted_customer_ids({one.customer_id for one in claimed})
    )
    return {
        place.identity for place in find_known_ids(ExternalId(ANONYMOUS_ID, one) for one in visitors).values()
    }


def _regroup(altered: Iterable[int], now: datetime) -> dict[int, int | None]:
    """Decide who is who; return of the identities that lead elsewhere now the customer of before."""
    graph = LinkGraph(altered, assertions.MAX_LINKS)
    owners = graph.decide()
    moved = end_unsigned_links(graph.unlinked(owners), now)
    if moved:
        graph.read_leads()
    moves = find_moves(graph, owners, now)
    if moves:
        apply_moves(moves)
    return {key: before for key, (before, _) in moves.items()} | moved


def _get_or_create_ids(
    ids: Collection[ExternalId], said: Sequence[Assertion], now: datetime
) -> dict[ExternalId, KnownId]:
    """Find ids; those not met yet get a customer: that of an id they are claimed to be, else one of their own."""
    places = find_known_ids(ids)
    missing = [one for one in ids if one not in places]
    if not missing:
        return places
    partners: dict[ExternalId, list[ExternalId]] = defaultdict(list)
    for claim in said:
        partners[claim.one].append(claim.other)
        partners[claim.other].append(claim.one)

    customers = [one for one in missing if one.kind == CUSTOMER_ID]
    staged_customers.get_or_create(CUSTOMER_ID, (one.value for one in customers), now)
    places |= find_known_ids(customers)
    # A browser that comes with a customer id needs no row of its own, which would only be left behind.
    visitors = [one for one in missing if one.kind == ANONYMOUS_ID]
    alone = [one for one in visitors if not any(other.kind == CUSTOMER_ID for other in partners[one])]
    staged_customers.get_or_create(ANONYMOUS_ID, (one.value for one in alone), now)
    places |= find_known_ids(alone)
    for group in (visitors, [one for one in missing if one.kind in ADDRESSES]):
        rest = [one for one in group if one not in places]
        Identity.objects.bulk_create(
            Identity(kind=one.kind, value=one.value, customer_id=_first(partners[one], places))
            for one in rest
        )
        places |= find_known_ids(rest)
    return places


def _first(partners: Iterable[ExternalId], places: Mapping[ExternalId, KnownId]) -> int:
    known = (places[one].customer for one in sorted(partners, key=_customers_first) if one in places)
    return next(known)


def _customers_first(one: ExternalId) -> tuple[bool, ExternalId]:
    return one.kind != CUSTOMER_ID, one
