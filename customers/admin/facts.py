"""A customer's facts as people read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings

from core.templatetags.display import amount, moment, number
from core.values.decimals import from_units
from customers.facts.definitions import declared_facts
from customers.models import Facts, FactsAsOf
from customers.models.facts import FactColumns

# Steps on the way to other facts: true, and of little use to staff.
INTERNAL_FACTS = frozenset(
    {"any_order_at", "uncancelled_order_at", "newest_at"} | {f"order_{nth}_at" for nth in range(2, 6)}
)


@dataclass(frozen=True)
class DisplayedFact:
    """One fact: its name in words, its value, what it means."""

    label: str
    value: str
    help: str


def facts_by_customer(customers: Sequence[int], relation: str) -> dict[int, Facts | FactsAsOf]:
    """Give the facts of some customers by their keys, from the relation that ``relation_of`` has named for them."""
    rows = FactsAsOf.objects if relation == "facts_as_of" else Facts.objects
    return {row.customer_id: row for row in rows.filter(customer_id__in=customers)}


def highlights(facts: FactColumns) -> Iterator[tuple[str, str]]:
    """Give the few facts that say most about a customer, each with what it is."""
    yield amount(from_units(facts.total_spent), settings.SHOP_CURRENCY), "spent"
    yield number(facts.order_count), "order that counts" if facts.order_count == 1 else "orders that count"
    yield number(facts.session_count), "session" if facts.session_count == 1 else "sessions"
    if has_open_cart(facts):
        yield amount(from_units(facts.cart_value), settings.SHOP_CURRENCY), "in the cart"
    yield moment(facts.last_activity_at), "last active"


def has_open_cart(facts: FactColumns, since: datetime | None = None) -> bool:
    """Tell whether more was put into the cart than taken out after the latest order, and later than ``since``."""
    added, ordered = facts.last_added_at, facts.uncancelled_order_at
    is_later = added is not None and (ordered is None or added > ordered) and (since is None or added > since)
    return is_later and facts.cart_quantity > 0


def displayed_facts(facts: FactColumns) -> Iterator[DisplayedFact]:
    """Give the facts that staff ask about, in the order of their declaration."""
    yield DisplayedFact("First seen", moment(facts.first_seen_at), "When the shop first met the customer.")
    for fact in declared_facts():
        if fact.name not in INTERNAL_FACTS:
            label = fact.name.removesuffix("_at").replace("_", " ").capitalize()
            yield DisplayedFact(label, _display(fact.kind, getattr(facts, fact.name)), fact.help)


def _display(kind: str, value: Any) -> str:
    if value is None:
        return "–"
    match kind:
        case "moment":
            return moment(value)
        case "amount":
            return amount(from_units(value), settings.SHOP_CURRENCY)
        case "quantity":
            return number(from_units(value))
        case "share":
            return f"{number(from_units(value) * 100)} %"
        case "days":
            return f"{number(from_units(value))} days"
    return number(value)
