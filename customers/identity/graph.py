"""The ids that identity links connect, grouped by person. Reads everything, and writes only ``is_conflict`` of links.

Trusted links are taken in the order of their times. Each connects the groups of its two ids, unless both groups have
a customer id. Unsigned links of browsers come last. Each connects a customer id to a group without one, unless a
trusted sender has named that id.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from django.db.models import Q

from core.db.execution import batches
from customers.models import Identity, IdentityLink

from . import unsigned_links
from .lookup import ANONYMOUS_ID, CUSTOMER_ID

EMAIL: Final = Identity.Kind.EMAIL.value
PHONE: Final = Identity.Kind.PHONE.value


class ExternalId(NamedTuple):
    """An id under which a customer is known outside: its kind and value."""

    kind: str
    value: str


class Owner(NamedTuple):
    """The id that a group of ids belongs to: a customer id, a browser of its own, or an address that nothing else is
    linked to.
    """

    id: ExternalId
    identity: int | None


class LinkGraph:
    """All identities that links connect with the given ones, and these links.

    Links of an address or browser with more than ``max_links`` links are ignored: too many people share it.
    """

    def __init__(self, identities: Iterable[int], max_links: int) -> None:
        self.max_links = max_links
        self.ids: dict[int, ExternalId] = {}
        self.customers: dict[int, int] = {}
        self.links: dict[int, IdentityLink] = {}
        self.over_link_limit: set[int] = set()
        new = set(identities)
        while new:
            self._read_ids(new)
            links = self._read_links(new & self.ids.keys())
            new = {key for link in links for key in (link.one_id, link.other_id)} - self.ids.keys()

    def _read_ids(self, keys: set[int]) -> None:
        for part in batches([*keys]):
            for one in Identity.objects.filter(pk__in=part):
                self.ids[one.pk] = ExternalId(one.kind, one.value)
                self.customers[one.pk] = one.customer_id

    def _read_links(self, keys: set[int]) -> Collection[IdentityLink]:
        found: dict[int, IdentityLink] = {}
        for part in batches([*keys]):
            found |= {
                link.pk: link for link in IdentityLink.objects.filter(Q(one__in=part) | Q(other__in=part))
            }
        degrees = Counter(key for link in found.values() for key in (link.one_id, link.other_id))
        self.over_link_limit |= {
            key for key in keys if degrees[key] > self.max_links and self.ids[key].kind != CUSTOMER_ID
        }
        self.links |= found
        return found.values()

    def resolve_owners(self) -> dict[int, Owner]:
        """Return the owner of each identity, and store which links are conflicts."""
        groups = _Groups(self.ids)
        changed = []
        for link in sorted(self.links.values(), key=self._sort_key):
            is_conflict = bool(
                self.over_link_limit.intersection((link.one_id, link.other_id))
            ) or not groups.join(link.one_id, link.other_id)
            if is_conflict != link.is_conflict:
                link.is_conflict = is_conflict
                changed.append(link)
        IdentityLink.objects.bulk_update(changed, ["is_conflict"], batch_size=500)
        self._apply_unsigned_links(groups)
        return groups.owners()

    def _sort_key(self, link: IdentityLink) -> tuple[Any, ...]:
        # Of records with the same time, the first that arrived counts, as in a file.
        tie = f"{link.pk:020}" if link.origin == IdentityLink.Origin.RECORD else link.message_id
        return link.origin, link.at, tie, sorted((self.ids[link.one_id], self.ids[link.other_id]))

    def _apply_unsigned_links(self, groups: "_Groups") -> None:
        visitors = {one.value: key for key, one in self.ids.items() if one.kind == ANONYMOUS_ID}
        links = unsigned_links.mutual_links(visitors)
        trusted = trusted_customer_ids([link.customer_id for link in links])
        for link in links:
            if link.customer_id not in trusted:
                groups.link(visitors[link.visitor], ExternalId(CUSTOMER_ID, link.customer_id))

    def unlinked_customer_ids(self, owners: Mapping[int, Owner]) -> list[Identity]:
        """Return the customer ids that unsigned links no longer connect to a browser."""
        linked = {owner.id.value for owner in owners.values() if owner.identity is None}
        found = [
            one
            for part in batches(sorted({*self.customers.values()}))
            for one in Identity.objects.filter(customer__in=part, kind=CUSTOMER_ID, is_trusted=False)
        ]
        return [one for one in found if one.value not in linked]

    def reload_customers(self) -> None:
        """Read again which customers the identities lead to."""
        self._read_ids({*self.ids})


def trusted_customer_ids(customer_ids: Collection[str]) -> set[str]:
    """Return the customer ids that a trusted sender has named."""
    return {
        value
        for part in batches([*customer_ids])
        for value in Identity.objects.filter(kind=CUSTOMER_ID, value__in=part, is_trusted=True).values_list(
            "value", flat=True
        )
    }


class _Groups:
    """Groups of ids that belong to one person."""

    def __init__(self, ids: Mapping[int, ExternalId]) -> None:
        self.ids = ids
        self.parents = {key: key for key in ids}
        # The id that represents a group: its customer id, else its first visitor by id, else an address.
        self.heads = dict(self.parents)
        self.linked: dict[int, ExternalId] = {}

    def join(self, one: int, other: int) -> bool:
        """Make one group of two, unless both have a customer id. Return whether they are one group now."""
        one, other = self._root(one), self._root(other)
        if one == other:
            return True
        heads = sorted((self.heads[one], self.heads[other]), key=self._rank)
        if all(self.ids[head].kind == CUSTOMER_ID for head in heads):
            return False
        self.parents[other] = one
        self.heads[one] = heads[0]
        return True

    def link(self, one: int, customer_id: ExternalId) -> None:
        """Connect a customer id to the group of an identity, unless the group has one."""
        root = self._root(one)
        if self.ids[self.heads[root]].kind != CUSTOMER_ID:
            self.linked.setdefault(root, customer_id)

    def owners(self) -> dict[int, Owner]:
        owners = {}
        for key in self.ids:
            root = self._root(key)
            head = self.heads[root]
            linked = self.linked.get(root)
            owners[key] = Owner(linked, None) if linked else Owner(self.ids[head], head)
        return owners

    def _root(self, key: int) -> int:
        while self.parents[key] != key:
            self.parents[key] = key = self.parents[self.parents[key]]
        return key

    def _rank(self, key: int) -> tuple[int, ExternalId]:
        one = self.ids[key]
        return (CUSTOMER_ID, ANONYMOUS_ID, EMAIL, PHONE).index(one.kind), one
