"""A customer's facts as staff read them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.shop import shop
from core.templatetags.display import amount, moment, number
from core.values.decimals import from_units
from customers.facts.definitions import declared_facts
from customers.models import Facts, FactsAsOf
from customers.models.facts import FactColumns

# Facts that only serve to compute others.
INTERNAL_FACTS = frozenset(
    {"any_order_at", "uncancelled_order_at", "newest_at"} | {f"order_{nth}_at" for nth in range(2, 6)}
)


@dataclass(frozen=True)
class DisplayedFact:
    """A fact as it is displayed."""

    label: str
    value: str
    help: str


def facts_by_customer(customers: Sequence[int], relation: str) -> dict[int, Facts | FactsAsOf]:
    """Return the facts of customers by primary key, from a relation of ``facts.relations``."""
    rows = FactsAsOf.objects if relation == "facts_as_of" else Facts.objects
    return {row.customer_id: row for row in rows.filter(customer_id__in=customers)}


def highlights(facts: FactColumns) -> Iterator[tuple[str, str]]:
    """Return the most important facts as pairs of a value and its label."""
    yield amount(from_units(facts.total_spent), shop().currency), "spent"
    yield number(facts.order_count), "counting order" if facts.order_count == 1 else "counting orders"
    yield number(facts.session_count), "session" if facts.session_count == 1 else "sessions"
    if has_open_cart(facts):
        yield amount(from_units(facts.cart_value), shop().currency), "in the cart"
    yield moment(facts.last_activity_at), "last active"


def has_open_cart(facts: FactColumns, since: datetime | None = None) -> bool:
    """Return whether products were added after the latest order, and after ``since``, and are still in the cart."""
    added, ordered = facts.last_added_at, facts.uncancelled_order_at
    is_later = added is not None and (ordered is None or added > ordered) and (since is None or added > since)
    return is_later and facts.cart_quantity > 0


def displayed_facts(facts: FactColumns) -> Iterator[DisplayedFact]:
    """Return the facts for staff, in the order of their declaration."""
    yield DisplayedFact("First seen", moment(facts.first_seen_at), "When the customer was first seen.")
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
            return amount(from_units(value), shop().currency)
        case "quantity":
            return number(from_units(value))
        case "share":
            return f"{number(from_units(value) * 100)} %"
        case "days":
            return f"{number(from_units(value))} days"
    return number(value)
