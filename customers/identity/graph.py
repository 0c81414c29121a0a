"""The ids that claims connect, and who is who among them. Reads all, and writes only whether a claim is refused.

Claims of those who are trusted come first, in the order of their times: each joins what its two ids belong to, unless
both sides have a customer id. Then come the links of browsers without a signature: each gives a customer id to what
has none, unless something trusted has named that id.
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
    """An id under which a customer is met."""

    kind: str
    value: str


class Owner(NamedTuple):
    """Whose a group of ids is: a customer id, a browser by itself, or an address that nobody else goes with."""

    id: ExternalId
    identity: int | None


class LinkGraph:
    """The identities that claims connect with some, and these claims.

    An address or a browser that takes part in more than ``most_claims`` says nothing of anybody.
    """

    def __init__(self, some: Iterable[int], most_claims: int) -> None:
        self.most_claims = most_claims
        self.ids: dict[int, ExternalId] = {}
        self.leads: dict[int, int] = {}
        self.claims: dict[int, IdentityLink] = {}
        self.crowded: set[int] = set()
        new = set(some)
        while new:
            self._read_ids(new)
            claims = self._read_claims(new & self.ids.keys())
            new = {key for claim in claims for key in (claim.one_id, claim.other_id)} - self.ids.keys()

    def _read_ids(self, keys: set[int]) -> None:
        for part in batches([*keys]):
            for one in Identity.objects.filter(pk__in=part):
                self.ids[one.pk] = ExternalId(one.kind, one.value)
                self.leads[one.pk] = one.customer_id

    def _read_claims(self, keys: set[int]) -> Collection[IdentityLink]:
        found: dict[int, IdentityLink] = {}
        for part in batches([*keys]):
            found |= {
                claim.pk: claim for claim in IdentityLink.objects.filter(Q(one__in=part) | Q(other__in=part))
            }
        degrees = Counter(key for claim in found.values() for key in (claim.one_id, claim.other_id))
        self.crowded |= {
            key for key in keys if degrees[key] > self.most_claims and self.ids[key].kind != CUSTOMER_ID
        }
        self.claims |= found
        return found.values()

    def decide(self) -> dict[int, Owner]:
        """Decide who is who: whose each identity is."""
        groups = _Groups(self.ids)
        altered = []
        for claim in sorted(self.claims.values(), key=self._order):
            is_refused = bool(self.crowded.intersection((claim.one_id, claim.other_id))) or not groups.join(
                claim.one_id, claim.other_id
            )
            if is_refused != claim.is_refused:
                claim.is_refused = is_refused
                altered.append(claim)
        IdentityLink.objects.bulk_update(altered, ["is_refused"], batch_size=500)
        self._link(groups)
        return groups.owners()

    def _order(self, claim: IdentityLink) -> tuple[Any, ...]:
        # Of records of the same time the first that came counts, as it does in a file.
        tie = f"{claim.pk:020}" if claim.way == IdentityLink.Way.RECORD else claim.message_id
        return claim.way, claim.at, tie, sorted((self.ids[claim.one_id], self.ids[claim.other_id]))

    def _link(self, groups: "_Groups") -> None:
        visitors = {one.value: key for key, one in self.ids.items() if one.kind == ANONYMOUS_ID}
        found = unsigned_links.mutual_links(visitors)
        trusted = trusted_customer_ids([link.customer_id for link in found])
        for link in found:
            if link.customer_id not in trusted:
                groups.link(visitors[link.visitor], ExternalId(CUSTOMER_ID, link.customer_id))

    def unlinked(self, owners: Mapping[int, Owner]) -> list[Identity]:
        """Return the customer ids that browsers are linked to without a signature, and should not be any more."""
        linked = {owner.id.value for owner in owners.values() if owner.identity is None}
        found = [
            one
            for part in batches(sorted({*self.leads.values()}))
            for one in Identity.objects.filter(customer__in=part, kind=CUSTOMER_ID, is_trusted=False)
        ]
        return [one for one in found if one.value not in linked]

    def read_leads(self) -> None:
        """Read again where the identities lead."""
        self._read_ids({*self.ids})


def trusted_customer_ids(customer_ids: Collection[str]) -> set[str]:
    """Return those customer ids that something trusted has named."""
    return {
        value
        for part in batches([*customer_ids])
        for value in Identity.objects.filter(kind=CUSTOMER_ID, value__in=part, is_trusted=True).values_list(
            "value", flat=True
        )
    }


class _Groups:
    """Ids that are one person, as far as claims were taken."""

    def __init__(self, ids: Mapping[int, ExternalId]) -> None:
        self.ids = ids
        self.parents = {key: key for key in ids}
        # Who stands for a group: its customer id, else its visitor whose id sorts first, else an address.
        self.heads = dict(self.parents)
        self.linked: dict[int, ExternalId] = {}

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

    def link(self, one: int, customer_id: ExternalId) -> None:
        """Give a customer id to the group of one, unless it has one."""
        root = self._root(one)
        if self.ids[self.heads[root]].kind != CUSTOMER_ID:
            self.linked.setdefault(root, customer_id)

    def owners(self) -> dict[int, Owner]:
        """Return whose each id is."""
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
