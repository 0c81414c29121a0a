"""Which ids belong to one person: decided from all assertions, by their times.

An assertion says that two ids belong to one person. Assertions are applied in the order of their times. Each connects
the groups of its two ids, unless both groups have a customer id; then they stay apart, and the link is an identity
conflict that staff see. A late assertion is applied at its time, and what it changes is moved. So the result does not
depend on the order in which assertions arrive.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.db.transactions import ConcurrentWrite
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
    """Where each id leads now, and the former customer of each identity that has moved.

    The former customer is None if all of its data moved with the identity.
    """

    known_ids: Mapping[ExternalId, KnownId]
    moved: Mapping[int, int | None]


def resolve(
    ids: Iterable[ExternalId],
    asserted: Sequence[Assertion],
    at: datetime,
    *,
    unsigned: Sequence[UnsignedAssertion] = (),
    named: Collection[str] = (),
) -> Resolution:
    """Get or create the customers of ids, and merge the profiles that assertions connect.

    ``unsigned`` are unsigned assertions of browsers. ``named`` are customer ids that a trusted sender names, besides
    those of ``ids`` and ``asserted``. Call it in a transaction that holds the lock of identities, or shares it and has
    locked what it names (``drain_locks``).
    """
    all_ids = {*ids, *asserted_ids(asserted), *(ExternalId(ANONYMOUS_ID, one.visitor) for one in unsigned)}
    trusted = {*named, *(one.value for one in all_ids if one.kind == CUSTOMER_ID)}
    moved = {}
    if ended := find_untrusted(trusted):
        moved = end_unsigned_links(ended, at)
        staged_customers.get_or_create(CUSTOMER_ID, (one.value for one in ended), at)
    # The customer id of an unsigned assertion must exist now; records create the others.
    all_ids |= {ExternalId(CUSTOMER_ID, one.customer_id) for one in unsigned if one.customer_id in trusted}
    known_ids = _get_or_create_ids(all_ids, asserted, at)
    implied = known_before(asserted, known_ids)
    known_ids |= find_known_ids(asserted_ids(implied) - known_ids.keys())
    changed = store_assertions([*asserted, *implied], known_ids) | moved.keys() | _store_unsigned(unsigned)
    if changed:
        moved |= {key: before for key, before in _regroup(changed, at).items() if key not in moved}
    return Resolution(find_known_ids(known_ids) if moved else known_ids, moved)


def _store_unsigned(unsigned: Sequence[UnsignedAssertion]) -> set[int]:
    """Store unsigned assertions. Return the identities whose link may have changed."""
    if not unsigned:
        return set()
    visitors = unsigned_links.store_earliest(
        unsigned, trusted_customer_ids({one.customer_id for one in unsigned})
    )
    return {
        known.identity for known in find_known_ids(ExternalId(ANONYMOUS_ID, one) for one in visitors).values()
    }


def _regroup(changed: Iterable[int], at: datetime) -> dict[int, int | None]:
    """Regroup identities. Return the former customer of each identity that has moved."""
    graph = LinkGraph(changed, assertions.MAX_LINKS)
    owners = graph.resolve_owners()
    moved = end_unsigned_links(graph.unlinked_customer_ids(owners), at)
    if moved:
        graph.reload_customers()
    moves = find_moves(graph, owners, at)
    if moves:
        apply_moves(moves)
    return {key: before for key, (before, _) in moves.items()} | moved


def _get_or_create_ids(
    ids: Collection[ExternalId], asserted: Sequence[Assertion], at: datetime
) -> dict[ExternalId, KnownId]:
    """Find ids. A new one gets the customer of an id it is linked to, or one of its own."""
    known_ids = find_known_ids(ids)
    missing = [one for one in ids if one not in known_ids]
    if not missing:
        return known_ids
    partners: dict[ExternalId, list[ExternalId]] = defaultdict(list)
    for assertion in asserted:
        partners[assertion.one].append(assertion.other)
        partners[assertion.other].append(assertion.one)

    customers = [one for one in missing if one.kind == CUSTOMER_ID]
    staged_customers.get_or_create(CUSTOMER_ID, (one.value for one in customers), at)
    known_ids |= find_known_ids(customers)
    if any(not known_ids[one].is_trusted for one in customers):
        raise ConcurrentWrite("another drain has just linked a browser to an id that a trusted sender names")
    # A browser that is linked to a customer id needs no profile of its own.
    visitors = [one for one in missing if one.kind == ANONYMOUS_ID]
    alone = [one for one in visitors if not any(other.kind == CUSTOMER_ID for other in partners[one])]
    staged_customers.get_or_create(ANONYMOUS_ID, (one.value for one in alone), at)
    known_ids |= find_known_ids(alone)
    for group in (visitors, [one for one in missing if one.kind in ADDRESSES]):
        rest = [one for one in group if one not in known_ids]
        Identity.objects.bulk_create(
            Identity(
                kind=one.kind, value=one.value, customer_id=_customer_of_partners(partners[one], known_ids)
            )
            for one in rest
        )
        known_ids |= find_known_ids(rest)
    return known_ids


def _customer_of_partners(partners: Iterable[ExternalId], known_ids: Mapping[ExternalId, KnownId]) -> int:
    return next(known_ids[one].customer for one in sorted(partners, key=_customers_first) if one in known_ids)


def _customers_first(one: ExternalId) -> tuple[bool, ExternalId]:
    return one.kind != CUSTOMER_ID, one
