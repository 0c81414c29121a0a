"""Moving identities, and what was recorded under them, to other customers."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from core.db import execution, temporary_tables
from core.db.execution import batches
from core.db.sql import Sql
from customers.facts import queue
from customers.models import Customer, Identity
from customers.models.customer import ANONYMOUS_PREFIX

from . import identity_locks, merging, staged_customers
from .graph import LinkGraph, Owner, trusted_customer_ids
from .known_ids import find_untrusted
from .lookup import ANONYMOUS_ID, CUSTOMER_ID


def end_unsigned_links(customer_ids: Sequence[Identity], at: datetime) -> dict[int, int | None]:
    """Separate browsers from customer ids that no trusted sender has named, and delete these ids.

    All data of such a profile was sent by its browsers, so all of it moves with them.
    """
    if not customer_ids:
        return {}
    deleted = {one.pk for one in customer_ids}
    left: dict[int, list[Identity]] = defaultdict(list)
    for part in batches([one.customer_id for one in customer_ids]):
        for one in Identity.objects.filter(customer__in=part):
            if one.pk not in deleted:
                left[one.customer_id].append(one)
    first_visitors = {
        customer: min(one.value for one in ids if one.kind == ANONYMOUS_ID)
        for customer, ids in left.items()
        if any(one.kind == ANONYMOUS_ID for one in ids)
    }
    rows = _visitor_rows([*first_visitors.values()], at)
    merging.merge({customer: rows[visitor] for customer, visitor in first_visitors.items()})
    for part in batches([*deleted]):
        Identity.objects.filter(pk__in=part).delete()
    return {one.pk: None for customer in first_visitors for one in left[customer]}


# -- Moving


def find_moves(graph: LinkGraph, owners: Mapping[int, Owner], at: datetime) -> dict[int, tuple[int, int]]:
    """Return the identities that must lead to another customer, with the customer before and after."""
    visitors = _visitor_rows(
        [owner.id.value for owner in owners.values() if owner.id.kind == ANONYMOUS_ID], at
    )
    linked = _linked_rows({owner.id.value for owner in owners.values() if owner.identity is None}, at)
    moves = {}
    for key, (one, owner) in owners.items():
        if owner is None:
            target = linked.get(one.value)
        elif one.kind == CUSTOMER_ID:
            target = graph.customers[owner]
        else:  # no customer for an address that nothing else is linked to
            target = visitors.get(one.value) if one.kind == ANONYMOUS_ID else None
        if target is not None and graph.customers[key] != target:
            moves[key] = graph.customers[key], target
    return moves


def _linked_rows(customer_ids: Collection[str], at: datetime) -> dict[str, int]:
    """Return the customers of ids that only browsers have named, without those that records have named since."""
    if not customer_ids:
        return {}
    untrusted = {one.value: one.customer_id for one in find_untrusted(customer_ids)}
    if missing := customer_ids - untrusted.keys():
        identity_locks.lock_unsigned_links()
        missing -= trusted_customer_ids(missing)
        staged_customers.get_or_create(CUSTOMER_ID, missing, at, is_trusted=False)
        untrusted |= {one.value: one.customer_id for one in find_untrusted(missing)}
    return untrusted


def _visitor_rows(values: Sequence[str], at: datetime) -> dict[str, int]:
    """Return the visitors' own customers. A merged one is restored."""
    if not values:
        return {}
    staged_customers.get_or_create(ANONYMOUS_ID, values, at)
    values_by_public_id = {ANONYMOUS_PREFIX + value: value for value in values}
    return {
        values_by_public_id[one.customer_id]: one.pk
        for part in batches([*values_by_public_id])
        for one in Customer.objects.filter(customer_id__in=part)
    }


def apply_moves(moves: Mapping[int, tuple[int, int]]) -> None:
    """Let identities lead to other customers, and reassign what was recorded under them."""
    leaving: dict[int, dict[int, int]] = defaultdict(dict)
    for key, (before, after) in moves.items():
        leaving[before][key] = after
    staying = {
        customer
        for part in batches([*leaving])
        for key, customer in Identity.objects.filter(customer__in=part).values_list("pk", "customer_id")
        if key not in moves
    }
    # A visitor's row without any id left is merged into the customer that its own id leads to.
    left = [before for before in leaving if before not in staying]
    own = _own_identities(left)
    emptied = {before: leaving[before][own.get(before, min(leaving[before]))] for before in left}
    separated = [
        (key, before, after) for key, (before, after) in moves.items() if emptied.get(before) != after
    ]
    if separated:
        _separate(separated)
    if emptied:
        merging.merge(emptied)


def _own_identities(customers: Sequence[int]) -> dict[int, int]:
    """Return the identities of visitors whose ids are the public ids of their customers, by customer."""
    public_ids: dict[int, str] = {}
    for part in batches(customers):
        public_ids |= dict(Customer.objects.filter(pk__in=part).values_list("pk", "customer_id"))
    return {
        one.customer_id: one.pk
        for part in batches(customers)
        for one in Identity.objects.filter(customer__in=part, kind=ANONYMOUS_ID)
        if ANONYMOUS_PREFIX + one.value == public_ids.get(one.customer_id)
    }


def _separate(moves: Sequence[tuple[int, int, int]]) -> None:
    """Move identities, and the events of these browsers, away from a customer who keeps other ids."""
    temporary_tables.create_temporary_table(
        "identities_moved", "item bigint PRIMARY KEY, moved_from bigint, moved_to bigint"
    )
    temporary_tables.load_rows("identities_moved", ("item", "moved_from", "moved_to"), moves)
    merging.reassign("customers_event", "identities_moved", column="visitor_id")
    temporary_tables.create_temporary_table(
        "events_moved", "item bigint PRIMARY KEY, moved_from bigint, moved_to bigint"
    )
    execution.execute(
        """INSERT INTO events_moved SELECT e.id, m.moved_from, m.moved_to
           FROM moved_customers_event e JOIN identities_moved m ON m.item = e.visitor_id"""
    )
    merging.reassign("customers_eventproduct", "events_moved", column="event_id")
    execution.execute(
        """UPDATE customers_identity SET customer_id =
               (SELECT m.moved_to FROM identities_moved m WHERE m.item = customers_identity.id)
           WHERE id IN (SELECT item FROM identities_moved)"""
    )
    queue.mark_facts_stale(
        Sql("SELECT moved_from FROM identities_moved UNION SELECT moved_to FROM identities_moved"),
        merged=True,
    )
