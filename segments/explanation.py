"""In words: who is in a segment, and why one customer is in or out."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import BooleanField, Case, Value, When

from customers.exact import from_units
from customers.models import Customer

from .models import Segment
from .rules import AsOf, Condition, Groups, Rule, parse
from .rules.words import plain

FIXED_LIST = "A fixed list of customers"
HIDDEN = "hidden"


@dataclass(frozen=True)
class Explanation:
    """One node of the tree; ``value`` is None for a group, and the words "missing" stand for a missing value."""

    words: str
    met: bool
    value: str | None
    parts: tuple["Explanation", ...] = ()

    def lines(self, depth: int = 0) -> Iterator[str]:
        """Write the tree, a line a node."""
        value = "" if self.value is None else f"  ({self.value})"
        yield f"{'  ' * depth}{'✓' if self.met else '✗'} {self.words}{value}"
        for part in self.parts:
            yield from part.lines(depth + 1)


def sentence(segment: Segment) -> str:
    """Say in English who is in a segment; raises RuleError where its rule cannot be read."""
    return f"Everyone who {parse(segment.rule).sentence()}" if segment.is_dynamic else FIXED_LIST


def explain(rule: Rule, customer: Customer, shop: AsOf, *, hidden: Container[str] = ()) -> Explanation | None:
    """Explain a rule's verdict on one customer, in one statement; None if the customer had not been seen.

    Of the filters named in ``hidden`` the verdict is given, and not the customer's value.
    """
    nodes = list(_nodes(rule))
    asked: dict[str, Any] = {}
    for place, node in enumerate(nodes):
        asked[f"met_{place}"] = Case(
            When(node.q(shop), then=Value(True)), default=Value(False), output_field=BooleanField()
        )
        if isinstance(node, Condition):
            asked[f"value_{place}"] = node.value(shop)
    rows: list[Any] = list(Customer.objects.filter(shop.existing_q(), pk=customer.pk).values(**asked))
    return _explained(rule, iter(range(len(nodes))), rows[0], shop, hidden) if rows else None


def _nodes(rule: Rule) -> Iterator[Rule]:
    yield rule
    if isinstance(rule, Groups):
        for part in rule.rules:
            yield from _nodes(part)


def _explained(
    rule: Rule, places: Iterator[int], row: dict[str, Any], shop: AsOf, hidden: Container[str]
) -> Explanation:
    place = next(places)
    met = bool(row[f"met_{place}"])
    if isinstance(rule, Groups):
        parts = tuple(_explained(part, places, row, shop, hidden) for part in rule.rules)
        return Explanation(f"{rule.word} of these", met, None, parts)
    assert isinstance(rule, Condition)
    if rule.name in hidden:
        return Explanation(rule.sentence(), met, HIDDEN)
    value = row[f"value_{place}"]
    if rule.unit == "free" and isinstance(value, dict):
        value = value.get(getattr(rule, "name_", ""))
    return Explanation(rule.sentence(), met, shown(value, rule.unit, shop))


def shown(value: Any, unit: str, shop: AsOf) -> str:
    """Write a value in its unit, in the shop's time zone."""
    if value is None or value == "":
        return "missing"
    match value:
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(shop.zone).isoformat(sep=" ", timespec="seconds")
        case date():
            return value.isoformat()
    if unit in ("amount", "share", "days"):
        return plain(from_units(int(value)))
    return str(value)
