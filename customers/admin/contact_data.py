"""Contact data: which staff may see it, and what the others see instead.

``customers.privacy.admin_site`` masks e-mail addresses and phone numbers on every page, by their form. This module
masks contact data that is recognized only by its field or name, and limits what staff can search for.
"""

import re
from collections.abc import Collection
from copy import copy
from typing import Any, Final

from django.db.models import F, Q, Value
from django.db.models.functions import Concat, Substr
from django.http import HttpRequest

from customers.models import Customer, Identity
from customers.privacy import masks
from customers.privacy.masks import HIDDEN, VIEW_CONTACT_DATA

from . import search

__all__ = ["HIDDEN", "VIEW_CONTACT_DATA"]

# Kinds of suggested values that can reveal contact data.
SENSITIVE_SUGGESTIONS: Final = frozenset({"attribute_value", "city"})

_SENSITIVE_NAME = re.compile(
    r"mail|phone|mobile|telefon|handy|birth|address|street|postal|(zip|post)_?code"
    r"|(^|_)(city|zip|fax|(tel|dob|plz|ip)($|_))|(first|last|full|given|family|sur|user|middle|nick)_?name",
    re.IGNORECASE,
)
# Ids that are masked because they are addresses or phone numbers.
_HIDDEN_IDS = (
    Q(customer_id__contains="@")
    | Q(customer_id__startswith="+")
    | Q(customer_id=F("phone"))
    | Q(phone=Concat(Value("+"), F("customer_id")))
    | Q(customer_id=Concat(Value("00"), Substr("phone", 2)))
)
# Names of objects and lists about a person; a text with such a name may be harmless.
_PERSON_NAME = re.compile("customer|recipient|contact|person|user|buyer|billing|shipping", re.IGNORECASE)


def may_see(request: HttpRequest) -> bool:
    return request.user.has_perm(VIEW_CONTACT_DATA)


def visible_customer(request: HttpRequest, customer: Customer) -> Customer:
    """Return the customer, or a copy with masked contact data if the user may not see it.

    The copy is for display and must not be saved.
    """
    if may_see(request):
        return customer
    shown = copy(customer)
    shown.customer_id = visible_id(request, customer.customer_id)
    if customer.phone and customer.customer_id.lstrip("+0") == customer.phone.lstrip("+"):
        shown.customer_id = masks.mask_phone(customer.phone)
    shown.email = masks.mask_address(customer.email) if customer.email else ""
    shown.phone = masks.mask_phone(customer.phone) if customer.phone else ""
    for name in ("first_name", "last_name", "city"):
        setattr(shown, name, _mask_text(getattr(customer, name)))
    shown.birth_date = shown.birthday = None
    # Any attribute of a shop may be contact data.
    shown.attributes = dict.fromkeys(customer.attributes, HIDDEN)
    shown.attributes_comparable = {}
    return shown


def customers_by_key(request: HttpRequest, keys: Collection[int]) -> dict[int, Customer]:
    """Return customers by their keys, as ``visible_customer`` shows them, with the facts that names are made of.

    Pages name people through this function or select ``facts`` themselves, so a list has no query for each row.
    """
    customers = Customer.objects.select_related("facts").in_bulk(keys)
    return {key: visible_customer(request, customer) for key, customer in customers.items()}


def visible_id(request: HttpRequest, customer_id: str) -> str:
    """Return a customer id, masked if it is an e-mail address or a phone number, as in some shops."""
    if may_see(request):
        return customer_id
    return masks.mask_address(customer_id) if "@" in customer_id else masks.mask_looks(customer_id)


def visible_identity(request: HttpRequest, identity: Identity) -> str:
    """Return an id of a customer, masked if it is an e-mail address or a phone number."""
    if identity.kind == Identity.Kind.PHONE and not may_see(request):
        return masks.mask_phone(identity.value)
    return visible_id(request, identity.value)


def redact_text(text: str) -> str:
    """Return a text without e-mail addresses, phone numbers and numbers of three or more digits."""
    return re.sub(r"\d{3,}", HIDDEN, masks.mask_looks(text))


def visible_properties(request: HttpRequest, properties: Any) -> Any:
    """Return the properties of an event; contact data, recognized by name or form, is masked."""
    return properties if may_see(request) else _mask_properties(properties)


def visible_birthday(request: HttpRequest, written: str) -> str:
    """Return a formatted birth date. If it is hidden, an empty one is, too."""
    return written if may_see(request) else HIDDEN


def may_suggest(request: HttpRequest, kind: str) -> bool:
    """Return whether the user may get suggestions of a kind of value."""
    return may_see(request) or kind not in SENSITIVE_SUGGESTIONS


def is_visible(request: HttpRequest, text: str) -> bool:
    """Return whether the user may see a text unmasked, and so find it by typing its beginning."""
    return may_see(request) or masks.mask_text(text) == text


def search_q(request: HttpRequest, term: str) -> Q:
    """Return the customers that match a search. They cannot be found by data that the user may not see."""
    if may_see(request):
        return search.search_q(term)
    return Q(pk__in=()) if _asks_for_contact_data(term) else search.search_by_id_q(term) & ~_HIDDEN_IDS


def find_customers(request: HttpRequest, term: str, limit: int) -> search.FoundCustomers:
    """Return up to ``limit`` customers that match a search, which ends when its time is over."""
    if may_see(request):
        return search.find_customers(term, limit)
    if _asks_for_contact_data(term):
        return search.FoundCustomers([])
    return search.find_customers_by_id(term, limit, _HIDDEN_IDS)


def _asks_for_contact_data(term: str) -> bool:
    return masks.mask_text(term) != term or "@" in term or term.strip().startswith("+")


def search_help(request: HttpRequest) -> str:
    """Return the help text of the search field."""
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
    """Hide any value with a name of contact data, also numbers, lists and objects."""
    if value in (None, "", [], {}):
        return value
    is_person = isinstance(value, dict | list) and _PERSON_NAME.fullmatch(name)
    return HIDDEN if is_person or _SENSITIVE_NAME.search(_snake_case(name)) else _mask_properties(value)


def _snake_case(name: str) -> str:
    """Return ``billingZipCode`` and ``billing zip-code`` as ``billing_zip_code``."""
    return re.sub(r"[\W]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name))


def _mask_text(text: str) -> str:
    return f"{text[:1]}{HIDDEN}" if text else ""
