"""Contact data: who of the staff may see it, and what the others see in its place."""

import re
from collections.abc import Iterable
from copy import copy
from typing import Any

from django.db.models import Q
from django.http import HttpRequest

from customers.models import Customer, Identity

from . import search

SEE_CONTACT = "customers.view_contact_data"
HIDDEN = "•••"
# Filters of rules whose value is contact data, or may be.
TELLING_FILTERS = frozenset({"attribute", "birthday", "city", "contact"})
# Those that would find people by what is masked; whether there is an e-mail address is told to all.
SEARCHING_FILTERS = TELLING_FILTERS - {"contact"}
# Kinds of values of this shop that are offered to whoever writes a rule.
TELLING_SUGGESTIONS = frozenset({"attribute_value", "city"})

_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")
_TELLING_NAME = re.compile(
    "mail|phone|mobile|birth|address|street|city|zip|post_?code|postal|(first|last|full|sur|user)_?name", re.I
)


def may_see(request: HttpRequest) -> bool:
    """Tell whether the person may see contact data."""
    return request.user.has_perm(SEE_CONTACT)


def seen_by(request: HttpRequest, customer: Customer) -> Customer:
    """Give the customer as the person may see them: themselves, or a copy whose contact data is masked.

    The copy is for showing and must not be saved.
    """
    if may_see(request):
        return customer
    shown = copy(customer)
    shown.customer_id = _masked_address(customer.customer_id)
    shown.email = _masked_address(customer.email)
    shown.phone = f"{HIDDEN} {customer.phone[-2:]}" if customer.phone else ""
    for name in ("first_name", "last_name", "city"):
        setattr(shown, name, _masked(getattr(customer, name)))
    shown.birth_date = shown.birthday = None
    # What a shop's own columns mean is not known here.
    shown.attributes = dict.fromkeys(customer.attributes, HIDDEN)
    shown.attributes_comparable = {}
    return shown


def id_seen_by(request: HttpRequest, printed: str) -> str:
    """Give a printed id, masked where it is an e-mail address, as it is in some shops."""
    return printed if may_see(request) else _masked_address(printed)


def identity_seen_by(request: HttpRequest, identity: Identity) -> str:
    """Give an id of a customer, masked where it is an e-mail address or a phone number."""
    if identity.kind == Identity.Kind.PHONE and not may_see(request):
        return f"{HIDDEN} {identity.value[-2:]}"
    return id_seen_by(request, identity.value)


def text_without(text: str) -> str:
    """Give a text without what looks like an e-mail address or a number."""
    return re.sub(r"\d{3,}", HIDDEN, _ADDRESS.sub(HIDDEN, text))


def properties_seen_by(request: HttpRequest, properties: Any) -> Any:
    """Give the properties of an event without what is contact data by its name or by its looks."""
    return properties if may_see(request) else _without_contact(properties)


def birthday_seen_by(request: HttpRequest, written: str) -> str:
    """Give a birth date that has been written out, or the mask: also whether there is one is not told."""
    return written if may_see(request) else HIDDEN


def hidden_from(request: HttpRequest) -> frozenset[str]:
    """Name the filters whose values an explanation must not show to the person."""
    return frozenset() if may_see(request) else TELLING_FILTERS


def may_be_suggested(request: HttpRequest, kind: str) -> bool:
    """Tell whether the person may be offered the values of a kind that the shop has."""
    return may_see(request) or kind not in TELLING_SUGGESTIONS


def may_search_by(request: HttpRequest, filters: Iterable[str]) -> bool:
    """Tell whether the person may be shown whom a rule of their own matches, by the names of its filters."""
    return may_see(request) or SEARCHING_FILTERS.isdisjoint(filters)


def found_q(request: HttpRequest, term: str) -> Q:
    """Ask for whom the person means by a term: nobody is found by what the person may not see."""
    if may_see(request):
        return search.found_q(term)
    if "@" in term:
        return Q(pk__in=())
    return search.found_by_id_q(term) & ~Q(customer_id__contains="@")


def search_help(request: HttpRequest) -> str:
    """Say what can be searched for."""
    return search.HELP if may_see(request) else "Id"


def _without_contact(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {key: _without_contact(part, key) for key, part in value.items()}
        case list():
            return [_without_contact(part, name) for part in value]
        case str() | int() if value and _TELLING_NAME.search(name):
            return HIDDEN
        case str():
            return _ADDRESS.sub(HIDDEN, value)
    return value


def _masked_address(text: str) -> str:
    return f"{text[:1]}{HIDDEN}@{HIDDEN}" if "@" in text else text


def _masked(text: str) -> str:
    return f"{text[:1]}{HIDDEN}" if text else ""
