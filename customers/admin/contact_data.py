"""Contact data: who of the staff may see it, and what the others see in its place.

``customers.privacy.admin_site`` masks on every page what looks like an e-mail address or a phone number. This module
knows the rest: values that only their field or name marks as contact data, and by what staff may search.
"""

import re
from copy import copy
from typing import Any, Final

from django.db.models import F, Q
from django.http import HttpRequest

from customers.models import Customer, Identity
from customers.privacy import masks
from customers.privacy.masks import HIDDEN, VIEW_CONTACT_DATA

from . import search

__all__ = ["HIDDEN", "VIEW_CONTACT_DATA"]

# Kinds of values of this shop that are offered to whoever writes a rule.
SENSITIVE_SUGGESTIONS: Final = frozenset({"attribute_value", "city"})

_SENSITIVE_NAME = re.compile(
    r"mail|phone|mobile|telefon|handy|birth|address|street|postal|(zip|post)_?code"
    r"|(^|_)(city|zip|fax|(tel|dob|plz|ip)($|_))|(first|last|full|given|family|sur|user|middle|nick)_?name",
    re.IGNORECASE,
)
# Of these the name of the whole tells: a text beside it may be anything.
_PERSON_NAME = re.compile("customer|recipient|contact|person|user|buyer|billing|shipping", re.IGNORECASE)


def may_see(request: HttpRequest) -> bool:
    """Tell whether the person may see contact data."""
    return request.user.has_perm(VIEW_CONTACT_DATA)


def visible_customer(request: HttpRequest, customer: Customer) -> Customer:
    """Return the customer as the person may see them: themselves, or a copy whose contact data is masked.

    The copy is for showing and must not be saved.
    """
    if may_see(request):
        return customer
    shown = copy(customer)
    shown.customer_id = visible_id(request, customer.customer_id)
    if customer.customer_id == customer.phone:
        shown.customer_id = masks.mask_phone(customer.phone)
    shown.email = masks.mask_address(customer.email) if customer.email else ""
    shown.phone = masks.mask_phone(customer.phone) if customer.phone else ""
    for name in ("first_name", "last_name", "city"):
        setattr(shown, name, _mask_text(getattr(customer, name)))
    shown.birth_date = shown.birthday = None
    # What a shop's own columns mean is not known here.
    shown.attributes = dict.fromkeys(customer.attributes, HIDDEN)
    shown.attributes_comparable = {}
    return shown


def visible_id(request: HttpRequest, printed: str) -> str:
    """Return a printed id, masked where it is an e-mail address or a phone number, as it is in some shops."""
    if may_see(request):
        return printed
    return masks.mask_address(printed) if "@" in printed else masks.mask_looks(printed)


def visible_identity(request: HttpRequest, identity: Identity) -> str:
    """Return an id of a customer, masked where it is an e-mail address or a phone number."""
    if identity.kind == Identity.Kind.PHONE and not may_see(request):
        return masks.mask_phone(identity.value)
    return visible_id(request, identity.value)


def redact_text(text: str) -> str:
    """Return a text without what looks like an e-mail address or a number."""
    return re.sub(r"\d{3,}", HIDDEN, masks.mask_looks(text))


def visible_properties(request: HttpRequest, properties: Any) -> Any:
    """Return the properties of an event without what is contact data by its name or by its looks."""
    return properties if may_see(request) else _mask_properties(properties)


def visible_birthday(request: HttpRequest, written: str) -> str:
    """Return a birth date that has been written out, or the mask: also whether there is one is not told."""
    return written if may_see(request) else HIDDEN


def may_suggest(request: HttpRequest, kind: str) -> bool:
    """Tell whether the person may be offered the values of a kind that the shop has."""
    return may_see(request) or kind not in SENSITIVE_SUGGESTIONS


def is_visible(request: HttpRequest, text: str) -> bool:
    """Tell whether the person may see a text as it stands: who may type its beginning must not be told of it."""
    return may_see(request) or masks.mask_text(text) == text


def search_q(request: HttpRequest, term: str) -> Q:
    """Ask for whom the person means by a term: nobody is found by what the person may not see."""
    if may_see(request):
        return search.search_q(term)
    if masks.mask_text(term) != term or "@" in term or term.strip().startswith("+"):
        return Q(pk__in=())
    hidden = Q(customer_id__contains="@") | Q(customer_id__startswith="+") | Q(customer_id=F("phone"))
    return search.search_by_id_q(term) & ~hidden


def search_help(request: HttpRequest) -> str:
    """Say what can be searched for."""
    return search.HELP if may_see(request) else "Id"


def _mask_properties(value: Any) -> Any:
    match value:
        case dict():
            return {key: _hide_if_sensitive(key, part) for key, part in value.items()}
        case list():
            return [_mask_properties(part) for part in value]
        case str():
            return masks.mask_looks(value)
    return value


def _hide_if_sensitive(name: str, value: Any) -> Any:
    """Hide all that stands under a telling name, be it a text, a number, a list or an object."""
    if value in (None, "", [], {}):
        return value
    is_person = isinstance(value, dict | list) and _PERSON_NAME.fullmatch(name)
    return HIDDEN if is_person or _SENSITIVE_NAME.search(_snake_case(name)) else _mask_properties(value)


def _snake_case(name: str) -> str:
    """Write ``billingZipCode`` and ``billing zip-code`` as ``billing_zip_code``."""
    return re.sub(r"[\W]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name))


def _mask_text(text: str) -> str:
    return f"{text[:1]}{HIDDEN}" if text else ""
