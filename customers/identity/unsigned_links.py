"""Unsigned assertions of browsers about customer ids. The only writer of ``UnsignedLink``.

The earliest assertion about each id counts: a browser and a customer id are linked if each is the first that the
other names. So links do not depend on the order of arrival, an id has at most one browser, and the table does not
grow with what is sent.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.expressions import RawSQL

from core.db import dialect
from customers.models import Identity, UnsignedLink

_CUSTOMER_ID, _ANONYMOUS_ID = Identity.Kind.CUSTOMER_ID.value, Identity.Kind.ANONYMOUS_ID.value

IdKey = tuple[str, str]
"""The kind of an id and its value."""


@dataclass(frozen=True, slots=True)
class UnsignedAssertion:
    """That a browser belongs to a customer, as one of its messages says without a signature."""

    visitor: str
    customer_id: str
    at: datetime
    message_id: str
    source: int


@dataclass(frozen=True, slots=True)
class MutualLink:
    """That a browser and a customer id name each other. Trusted links may still override it."""

    at: datetime
    message_id: str
    visitor: str
    customer_id: str


def store_earliest(asserted: Sequence[UnsignedAssertion], trusted: Collection[str]) -> set[str]:
    """Store the earliest assertion about each id. Return the browsers whose link may have changed.

    Customer ids that are ``trusted`` are never linked, so nothing is stored for their side.
    """
    earliest: dict[IdKey, UnsignedLink] = {}
    for one in asserted:
        sides = [(_ANONYMOUS_ID, one.visitor, one.customer_id)]
        if one.customer_id not in trusted:
            sides.append((_CUSTOMER_ID, one.customer_id, one.visitor))
        for kind, value, other in sides:
            link = UnsignedLink(
                kind=kind,
                value=value,
                other=other,
                at=one.at,
                message_id=one.message_id,
                source_id=one.source,
            )
            known = earliest.get((kind, value))
            if known is None or _stamp(link) < _stamp(known):
                earliest[kind, value] = link
    before = _known(earliest)
    new = {
        key: link for key, link in earliest.items() if key not in before or _stamp(link) < _stamp(before[key])
    }
    UnsignedLink.objects.bulk_create(
        [new[key] for key in sorted(new)],
        update_conflicts=True,
        unique_fields=["kind", "value"],
        update_fields=["other", "at", "message_id", "source"],
        batch_size=1_000,
    )
    changed = [link for key, after in new.items() for link in (after, before.get(key)) if link]
    return {one.value if one.kind == _ANONYMOUS_ID else one.other for one in changed}


def _stamp(link: UnsignedLink) -> tuple[datetime, str, str]:
    return link.at, link.message_id, link.other


def _known(keys: Iterable[IdKey]) -> dict[IdKey, UnsignedLink]:
    found = UnsignedLink.objects.filter(value__in=_listed(value for _, value in keys))
    return {(one.kind, one.value): one for one in found}


def mutual_links(visitors: Iterable[str]) -> list[MutualLink]:
    """Return the links of browsers, the earliest first."""
    back = UnsignedLink.objects.filter(kind=_CUSTOMER_ID, value=OuterRef("other")).values("other")
    found = (
        UnsignedLink.objects.filter(kind=_ANONYMOUS_ID, value__in=_listed(visitors))
        .annotate(back=Subquery(back))
        .filter(back=F("value"))
    )
    rows = found.values_list("at", "message_id", "value", "other")
    return sorted(
        (MutualLink(*row) for row in rows), key=lambda link: (link.at, link.message_id, link.visitor)
    )


def links_naming_queryset(ids: Iterable[IdKey]) -> QuerySet[UnsignedLink]:
    """Return the assertions that name some ids, on either side."""
    values: Mapping[str, list[str]] = {_CUSTOMER_ID: [], _ANONYMOUS_ID: []}
    for kind, value in ids:
        if kind in values:
            values[kind].append(value)
    customers, visitors = (_listed(values[kind]) for kind in (_CUSTOMER_ID, _ANONYMOUS_ID))
    return UnsignedLink.objects.filter(
        Q(kind=_CUSTOMER_ID, value__in=customers)
        | Q(kind=_ANONYMOUS_ID, other__in=customers)
        | Q(kind=_ANONYMOUS_ID, value__in=visitors)
        | Q(kind=_CUSTOMER_ID, other__in=visitors)
    )


def _listed(values: Iterable[str]) -> RawSQL:
    # As one parameter: SQLite takes no more than 32,766.
    return RawSQL(dialect.json_texts_sql("%s"), [json.dumps(sorted(set(values)))])


def delete_links_naming(ids: Iterable[IdKey]) -> None:
    """Delete the assertions that name some ids, because their owner is erased."""
    links_naming_queryset(ids).delete()


def count_unlinked_visitors(source: int, limit: int) -> int:
    """Count the browsers of a source that name a customer id and belong to no customer, up to ``limit``."""
    owner = Identity.objects.filter(kind=_ANONYMOUS_ID, value=OuterRef("value")).values("customer")
    named = Identity.objects.filter(kind=_CUSTOMER_ID, customer=OuterRef("owner"))
    links = UnsignedLink.objects.filter(kind=_ANONYMOUS_ID, source=source)
    return links.annotate(owner=Subquery(owner)).filter(~Exists(named))[:limit].count()
