"""In words: who is in a segment, and why one customer is in or out."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import count
from typing import Any

from django.conf import settings
from django.db.models import BooleanField, Case, Value, When

from core.templatetags.display import amount
from core.values.decimals import from_units
from customers.models import Customer
from segments.models import Segment
from segments.rules import Condition, EvaluationContext, Group, Rule, parse
from segments.rules.formatting import format_instant, format_number

FIXED_LIST = "A fixed list of customers"
NO_RULE = "This is a fixed list: staff decide who is on it, no rule does."
NOT_SEEN_YET = "All that is known of the customer lies in the future."
HIDDEN = "hidden"
CENT = Decimal("0.01")
MAX_NODES_PER_STATEMENT = (
    200  # of one statement: two columns each, of which SQLite gives 2,000 and PostgreSQL 1,664
)


@dataclass(frozen=True)
class Explanation:
    """One node of the tree; ``value`` is None for a group, and the words "missing" stand for a missing value.

    ``lacking`` says what would have to be otherwise for the node to be met, nothing where it is. ``at`` is the value
    where that is an instant.
    """

    words: str
    met: bool
    value: str | None
    parts: tuple["Explanation", ...] = ()
    lacking: tuple[str, ...] = ()
    at: datetime | None = None

    def lines(self, depth: int = 0) -> Iterator[str]:
        """Write the tree, a line a node."""
        value = "" if self.value is None else f": {self.value}"
        yield f"{'  ' * depth}{'✓' if self.met else '✗'} {self.words}{value}"
        for part in self.parts:
            yield from part.lines(depth + 1)


def segment_sentence(segment: Segment) -> str:
    """Say in English who is in a segment; raises RuleError where its rule cannot be read."""
    return f"Everyone who {parse(segment.rule).sentence()}" if segment.is_dynamic else FIXED_LIST


def explain(rule: Rule, customer: Customer, context: EvaluationContext) -> Explanation | None:
    """Explain a rule's verdict on one customer, in one statement; None if the customer had not been seen."""
    return explain_each([rule], customer, context)[0]


def explain_each(
    rules: Sequence[Rule],
    customer: Customer,
    context: EvaluationContext,
    *,
    shows: Callable[[Condition], bool] = lambda condition: True,
) -> list[Explanation | None]:
    """Explain the verdicts of several rules on one customer, in as few statements as their size allows.

    Of conditions that ``shows`` leaves out the verdict is returned, and not the customer's value.
    """
    told: list[Explanation | None] = []
    for share in _batches(rules):
        row = _query_answers([node for rule in share for node in _nodes(rule)], customer, context)
        places = count()
        told += [_explain_node(rule, places, row, context, shows) if row else None for rule in share]
    return told


def _batches(rules: Sequence[Rule]) -> Iterator[list[Rule]]:
    """Take together as many rules as one statement answers."""
    share: list[Rule] = []
    size = 0
    for rule in rules:
        nodes = len(list(_nodes(rule)))
        if share and size + nodes > MAX_NODES_PER_STATEMENT:
            yield share
            share, size = [], 0
        share.append(rule)
        size += nodes
    if share:
        yield share


def _query_answers(
    nodes: Sequence[Rule], customer: Customer, context: EvaluationContext
) -> dict[str, Any] | None:
    """Ask for the verdict of each node, and the customer's value of each condition."""
    asked: dict[str, Any] = {}
    for place, node in enumerate(nodes):
        asked[f"met_{place}"] = Case(
            When(node.q(context), then=Value(True)), default=Value(False), output_field=BooleanField()
        )
        if isinstance(node, Condition):
            asked[f"value_{place}"] = node.value(context)
    rows: list[Any] = list(Customer.objects.filter(context.existing_q(), pk=customer.pk).values(**asked))
    return rows[0] if rows else None


def _nodes(rule: Rule) -> Iterator[Rule]:
    yield rule
    if isinstance(rule, Group):
        for part in rule.rules:
            yield from _nodes(part)


def _explain_node(
    rule: Rule,
    places: Iterator[int],
    row: dict[str, Any],
    context: EvaluationContext,
    shows: Callable[[Condition], bool],
) -> Explanation:
    place = next(places)
    met = bool(row[f"met_{place}"])
    if isinstance(rule, Group):
        parts = tuple(_explain_node(part, places, row, context, shows) for part in rule.rules)
        lacking = () if met else _lacking(rule.word, parts)
        return Explanation(f"{rule.word} of these", met, None, parts, lacking)
    assert isinstance(rule, Condition)
    words = rule.detailed_sentence(context, format_money)
    if not shows(rule):
        return Explanation(words, met, HIDDEN, lacking=() if met else (words,))
    value = row[f"value_{place}"]
    if rule.unit == "free" and isinstance(value, dict):
        value = value.get(getattr(rule, "name_", ""))
    told = format_value(value, rule.unit, context)
    if rule.unit == "amount" and told in words:  # in whole cents they may look the same, and are not
        words, told = (
            rule.detailed_sentence(context, format_exact_money),
            format_value(value, rule.unit, context, format_exact_money),
        )
    at = value if isinstance(value, datetime) else None
    return Explanation(words, met, told, lacking=() if met else (words,), at=at)


def _lacking(word: str, parts: Sequence[Explanation]) -> tuple[str, ...]:
    """Say what keeps a group from being met: what each part lacks, any of them, or what should not hold."""
    match word:
        case "all":
            return tuple(lack for part in parts for lack in part.lacking)
        case "any":
            return (" or ".join(" and ".join(part.lacking) for part in parts),)
    return tuple(f"not: {part.words}" for part in parts if part.met)


def format_value(
    value: Any, unit: str, context: EvaluationContext, write: Callable[[Decimal], str] | None = None
) -> str:
    """Write a value in its unit, in the shop's time zone."""
    if value is None or value == "":
        return "missing"
    match value:
        case bool():
            return "yes" if value else "no"
        case datetime():
            return format_instant(value, context.zone)
        case date():
            return value.isoformat()
        case list():
            return ", ".join(map(str, value))
    match unit:
        case "amount":
            return (write or format_money)(from_units(int(value)))
        case "share":
            return format_number(from_units(int(value)))
        case "days":
            return f"{format_number(from_units(int(value)))} days"
    return str(value)


def format_money(value: Decimal) -> str:
    """Write an amount in the shop's currency, in whole cents."""
    return format_exact_money(value.quantize(CENT, ROUND_HALF_UP))


def format_exact_money(value: Decimal) -> str:
    """Write an amount in the shop's currency, with all of its decimals."""
    return amount(value, settings.SHOP_CURRENCY)
