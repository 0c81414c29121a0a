"""Searching customers by prefixes of their contact data, each with an index."""

from functools import reduce
from operator import or_

from django.db.models import Q

from core.db import backends
from core.values import phone_numbers
from core.values.text_cleaning import to_nfc
from customers.identity import lookup

HELP = "Id, e-mail, phone or last name"

_LAST_CHARACTER = chr(0x10FFFF)


def search_q(term: str, customer: str = "") -> Q:
    """Return the customers that match a search; ``customer`` is the path to the customer from another table."""
    term = to_nfc(term.strip())
    path = f"{customer}__" if customer else ""
    query = (
        starts_with_q(f"{path}customer_id", term)
        | starts_with_q(f"{path}email", term.lower())
        | starts_with_q(f"{path}phone", term)
        | starts_with_q(f"{path}phone", phone_numbers.normalize_phone_prefix(term))
        | _starts_with_any_case_q(f"{path}last_name", term)
    )
    first, _, last = term.rpartition(" ")
    if first:
        query |= _starts_with_any_case_q(f"{path}first_name", first) & _starts_with_any_case_q(
            f"{path}last_name", last
        )
    return query | _identity_q(term, path)


def search_by_id_q(term: str) -> Q:
    """Return the customers whose id starts with a term, and the owner of any complete id."""
    term = to_nfc(term.strip())
    return starts_with_q("customer_id", term) | _identity_q(term)


def _identity_q(term: str, path: str = "") -> Q:
    """Return the owner of a complete id, which may be that of a browser or of a merged profile."""
    owner = lookup.find_customer(term)
    return Q(**{f"{path}pk": owner.pk}) if owner else Q()


def starts_with_q(column: str, prefix: str) -> Q:
    """Return a prefix query in the form for which the database uses its index."""
    if backends.is_postgresql():
        return Q(**{f"{column}__startswith": prefix})
    return Q(**{f"{column}__gte": prefix, f"{column}__lt": prefix + _LAST_CHARACTER})


def _starts_with_any_case_q(column: str, prefix: str) -> Q:
    """Return a prefix query for the common spellings of names, because the index is case-sensitive."""
    spellings = {prefix, prefix.lower(), prefix.upper(), prefix.title(), prefix[:1].upper() + prefix[1:]}
    return reduce(or_, (starts_with_q(column, spelling) for spelling in sorted(spellings)))
