"""Searching customers by any part of their names and addresses, and by the beginning of their ids and phone numbers."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Final

from django.conf import settings
from django.db.models import Q

from core.db import backends
from core.db.time_limits import StatementTimeout, time_limit
from core.values import phone_numbers
from core.values.text_cleaning import to_nfc
from core.values.unaccent import unaccent
from customers.identity import lookup
from customers.models import Customer
from customers.models.customer import ANONYMOUS_PREFIX

HELP: Final = "Name, e-mail, phone or id"
MAX_WORDS: Final = 5

_LAST_CHARACTER = chr(0x10FFFF)


@dataclass(frozen=True)
class FoundCustomers:
    """Primary keys, those that match best first."""

    keys: list[int]
    is_complete: bool = True
    """Whether the search ended before its time was over."""


def find_customers(term: str, limit: int) -> FoundCustomers:
    """Return up to ``limit`` customers: by an id, by words that begin with those of the term, then by any part."""
    term = to_nfc(term.strip())
    words = unaccent(term).split()[:MAX_WORDS]
    queries = [_identity_q(term)]
    if words:
        queries.append(_words_q(f" {word}" for word in words))
    queries += [
        _id_starts_with_q(term),
        starts_with_q("email", term.lower()),
        starts_with_q("phone", term),
        starts_with_q("phone", phone_numbers.normalize_phone_prefix(term)),
    ]
    # Shorter parts are in most texts, and in no index of trigrams.
    if words and all(len(word) > 2 for word in words):
        queries.append(_words_q(words))
    return _first_of(queries, limit)


def find_customers_by_id(term: str, limit: int, hidden: Q) -> FoundCustomers:
    """Return up to ``limit`` customers by ids, except the ``hidden`` ones."""
    term = to_nfc(term.strip())
    visible = [query & ~hidden for query in (_identity_q(term), _id_starts_with_q(term))]
    return _first_of(visible, limit)


def search_q(term: str) -> Q:
    """Return a condition for the customers that ``find_customers`` finds. It reads every customer it is asked about."""
    term = to_nfc(term.strip())
    query = (
        _id_starts_with_q(term)
        | starts_with_q("email", term.lower())
        | starts_with_q("phone", term)
        | starts_with_q("phone", phone_numbers.normalize_phone_prefix(term))
        | _identity_q(term)
    )
    words = unaccent(term).split()[:MAX_WORDS]
    return query | _words_q(words) if words else query


def search_by_id_q(term: str) -> Q:
    """Return the customers whose id starts with a term, and the owner of any complete id."""
    term = to_nfc(term.strip())
    return _id_starts_with_q(term) | _identity_q(term)


def starts_with_q(column: str, prefix: str) -> Q:
    """Return a prefix query in the form for which the database uses its index."""
    if backends.is_postgresql():
        return Q(**{f"{column}__startswith": prefix})
    return Q(**{f"{column}__gte": prefix, f"{column}__lt": prefix + _LAST_CHARACTER})


def _first_of(queries: Iterable[Q], limit: int) -> FoundCustomers:
    """Return the customers of each query in turn, until there are enough or ``SEARCH_PATIENCE`` is over."""
    found: dict[int, None] = {}
    is_complete = False
    with suppress(StatementTimeout):
        with time_limit(settings.SEARCH_PATIENCE):
            for query in queries:
                if len(found) < limit:
                    # The inner query reads only an index. Few of its customers were merged into others.
                    keys = Customer.objects.filter(query).values("pk")[: 2 * limit]
                    existing = Customer.objects.existing().filter(pk__in=keys).order_by("-pk")
                    found |= dict.fromkeys(existing.values_list("pk", flat=True))
        is_complete = True
    return FoundCustomers(list(found)[:limit], is_complete)


def _id_starts_with_q(term: str) -> Q:
    """Return the customers whose id starts with a term, but not all visitors for the beginning of ``anonymous:``."""
    return Q(pk__in=()) if ANONYMOUS_PREFIX.startswith(term.lower()) else starts_with_q("customer_id", term)


def _identity_q(term: str) -> Q:
    """Return the owner of a complete id, which may be that of a browser or of a merged profile."""
    owner = lookup.find_customer(term)
    return Q(pk=owner.pk) if owner else Q(pk__in=())


def _words_q(parts: Iterable[str]) -> Q:
    """Return the customers whose search text contains all parts. A condition of the index comes first."""
    return reduce(and_, (Q(search_text__contains=part) for part in parts), Q(search_text__gt=""))
