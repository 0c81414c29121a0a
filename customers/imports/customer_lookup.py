"""Finding the customers whom files name by e-mail address or phone number instead of an id."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models.expressions import RawSQL

from core.db import dialect
from core.values import email_addresses, phone_numbers
from customers.models import Customer
from customers.models.customer import ANONYMOUS_PREFIX


@dataclass(frozen=True)
class ExistingCustomer:
    """A customer who was found by e-mail address, phone number or id."""

    customer_id: str
    is_subscribed: bool


def existing_customers(column: str, values: Iterable[str]) -> dict[str, ExistingCustomer]:
    """Return the customers with these values, by value; of several customers, the oldest."""
    wanted = sorted({value for value in values if value})
    if not wanted:
        return {}
    listed = RawSQL(dialect.json_texts_sql("%s"), [json.dumps(wanted)])
    # An order cannot name a visitor, who has no id of the shop.
    found = Customer.objects.existing().filter(**{f"{column}__in": listed})
    rows = found.exclude(customer_id__startswith=ANONYMOUS_PREFIX).order_by("-pk")
    return {
        value: ExistingCustomer(customer_id, newsletter == Customer.Newsletter.SUBSCRIBED)
        for value, customer_id, newsletter in rows.values_list(column, "customer_id", "newsletter")
    }


def normalized_email(value: str) -> str:
    """Return a normalized address, or an empty text if it is invalid, such as N/A."""
    try:
        return email_addresses.normalize_email(value)
    except email_addresses.InvalidEmail:
        return ""


def normalized_phone(fields: Mapping[str, str]) -> str:
    """Return a normalized number, or an empty text if it is invalid, such as N/A."""
    try:
        return phone_numbers.normalize_phone(fields.get("phone", ""), fields.get("country", ""))
    except ValueError:
        return ""


def matching_customer(
    customer_id: str,
    address: str,
    by_id: Mapping[str, ExistingCustomer],
    by_address: Mapping[str, ExistingCustomer],
) -> ExistingCustomer | None:
    """Return the customer with an id, or else with an address.

    With an id, an address finds only a customer who was created with the address as id, by an order.
    """
    there, namesake = by_id.get(customer_id), by_address.get(address)
    if there is None and namesake and (not customer_id or namesake.customer_id == address):
        return namesake
    return there
