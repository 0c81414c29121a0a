"""Finding customers by the beginning of what is known of them, each through its index."""

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
    """Ask for whom staff mean by a term; ``customer`` leads to the customer from another table."""
    term = to_nfc(term.strip())
    lead = f"{customer}__" if customer else ""
    question = (
        starts_with_q(f"{lead}customer_id", term)
        | starts_with_q(f"{lead}email", term.lower())
        | starts_with_q(f"{lead}phone", term)
        | starts_with_q(f"{lead}phone", phone_numbers.normalize_phone_prefix(term))
        | _starts_with_any_case_q(f"{lead}last_name", term)
    )
    first, _, last = term.rpartition(" ")
    if first:
        question |= _starts_with_any_case_q(f"{lead}first_name", first) & _starts_with_any_case_q(
            f"{lead}last_name", last
        )
    return question | _identity_q(term, lead)


def search_by_id_q(term: str) -> Q:
    """Ask for whom staff mean by the beginning of a customer's id, or by any id in full."""
    term = to_nfc(term.strip())
    return starts_with_q("customer_id", term) | _identity_q(term)


def _identity_q(term: str, lead: str = "") -> Q:
    """Ask for whose id this is, be it of a browser, or one that was joined into another's."""
    owner = lookup.find_customer(term)
    return Q(**{f"{lead}pk": owner.pk}) if owner else Q()


def starts_with_q(column: str, prefix: str) -> Q:
    """Ask for a beginning in the words for which the database uses its index."""
    if backends.is_postgresql():
        return Q(**{f"{column}__startswith": prefix})
    return Q(**{f"{column}__gte": prefix, f"{column}__lt": prefix + _LAST_CHARACTER})


def _starts_with_any_case_q(column: str, prefix: str) -> Q:
    """Ask for a beginning as names are commonly written: an index knows no case."""
    spellings = {prefix, prefix.lower(), prefix.upper(), prefix.title(), prefix[:1].upper() + prefix[1:]}
    return reduce(or_, (starts_with_q(column, spelling) for spelling in sorted(spellings)))
