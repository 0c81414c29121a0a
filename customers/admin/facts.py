"""A customer's facts as people read them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from customers.exact import from_units
from customers.models import Facts
from customers.sums import declared
from customers.templatetags.shop import amount, moment, number

# Steps on the way to other facts: true, and of little use to staff.
INNER = frozenset(
    {"any_order_at", "uncancelled_order_at", "newest_at"} | {f"order_{nth}_at" for nth in range(2, 6)}
)


@dataclass(frozen=True)
class Shown:
    """One fact: its name in words, its value, what it means."""

    label: str
    value: str
    help: str


def shown(facts: Facts) -> Iterator[Shown]:
    """Give the facts that staff ask about, in the order of their declaration."""
    yield Shown("First seen", moment(facts.first_seen_at), "When the shop first met the customer.")
    for fact in declared():
        if fact.name not in INNER:
            label = fact.name.removesuffix("_at").replace("_", " ").capitalize()
            yield Shown(label, _written(fact.kind, getattr(facts, fact.name)), fact.help)


def _written(kind: str, value: Any) -> str:
    if value is None:
        return "–"
    match kind:
        case "moment":
            return moment(value)
        case "amount":
            return amount(from_units(value), settings.SHOP_CURRENCY)
        case "share":
            return f"{number(from_units(value) * 100)} %"
        case "days":
            return f"{number(from_units(value))} days"
    return number(value)
