"""Explanations in English: who is in a segment, and why one customer is in or out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import count
from types import MappingProxyType
from typing import Any

from django.db.models import BooleanField, Case, Value, When

from core.shop import shop
from core.templatetags.display import amount
from core.values.decimals import from_units
from customers.models import Customer
from segments.models import Segment
from segments.rules import Condition, EvaluationContext, Group, Rule, parse
from segments.rules.formatting import format_instant, format_number

from .changes_at import AnswerTree, find_changes
from .expansion import expand_for_later, expand_rules

FIXED_LIST = "A fixed list of customers"
NO_RULE = "This is a fixed list. Staff decide who is on it, not a rule."
NOT_SEEN_YET = "All records of the customer are dated in the future."
HIDDEN = "hidden"
CENT = Decimal("0.01")
MAX_NODES_PER_STATEMENT = 200  # two columns each; SQLite allows 2,000 columns, PostgreSQL 1,664


@dataclass(frozen=True)
class Explanation:
    """One node of the tree. ``value`` is None for a group, and "missing" for a missing value.

    ``lacking`` says what would have to change for the node to match; it is empty if it matches. ``at`` is the value if
    it is an instant. ``changes_at`` is the first later instant at which ``met`` differs if nothing more is recorded.
    ``prevented_by`` is what the customer can do to prevent that, as verbs.
    """

    words: str
    met: bool
    value: str | None
    parts: tuple["Explanation", ...] = ()
    lacking: tuple[str, ...] = ()
    at: datetime | None = None
    changes_at: datetime | None = None
    prevented_by: tuple[str, ...] = ()

    def lines(self, depth: int = 0) -> Iterator[str]:
        """Yield the tree as text, one line for each node."""
        value = "" if self.value is None else f": {self.value}"
        changes = ""
        if self.changes_at:
            changes = f", changes at {self.changes_at.isoformat(timespec='microseconds')}"
        yield f"{'  ' * depth}{'✓' if self.met else '✗'} {self.words}{value}{changes}"
        for part in self.parts:
            yield from part.lines(depth + 1)


def segment_sentence(segment: Segment) -> str:
    """Return in English who is in a segment. Raises RuleError if its rule is invalid."""
    return f"Everyone who {parse(segment.rule).sentence()}" if segment.is_dynamic else FIXED_LIST


def explain(rule: Rule, customer: Customer, context: EvaluationContext) -> Explanation | None:
    """Explain the answer of a rule for one customer; None if the customer was first seen later."""
    return explain_each([rule], customer, context)[0]


def explain_each(
    rules: Sequence[Rule],
    customer: Customer,
    context: EvaluationContext,
    *,
    shows: Callable[[Condition], bool] = lambda condition: True,
    segment_names: Mapping[str, str] = MappingProxyType({}),
    with_changes: bool = True,
) -> list[Explanation | None]:
    """Explain the answers of several rules for one customer, with as few statements as possible.

    If ``shows`` is false for a condition, its answer is returned without the customer's value, and changes that could
    reveal the value are left out.
    ``segment_names`` are printed in place of the slugs of segments. ``with_changes`` also tells when answers change by
    themselves.
    """
    explanations: list[Explanation | None] = []
    expanded = expand_rules(rules, asks_rules=context.asks_rules)
    for share in _batches(expanded, context):
        row = _query_answers(share, customer, context)
        places = count()
        named = [rule.with_segment_names(segment_names) for rule in share]
        trees: Sequence[AnswerTree | None] = [None] * len(share)
        if row and with_changes:
            later = expand_for_later(share, asks_rules=context.asks_rules)
            trees = find_changes(later, customer.pk, context) or trees
        explanations += [
            _explain_node(rule, places, row, context, shows, tree) if row else None
            for rule, tree in zip(named, trees, strict=True)
        ]
    return explanations


def _batches(rules: Sequence[Rule], context: EvaluationContext) -> Iterator[list[Rule]]:
    """Split the rules into batches that one statement can answer."""
    share: list[Rule] = []
    size = 0
    for rule in rules:
        nodes = len(list(_nodes(rule, context)))
        if share and size + nodes > MAX_NODES_PER_STATEMENT:
            yield share
            share, size = [], 0
        share.append(rule)
        size += nodes
    if share:
        yield share


def _query_answers(
    rules: Sequence[Rule], customer: Customer, context: EvaluationContext
) -> dict[str, Any] | None:
    """Query the answer of each node and the customer's value of each condition."""
    context = replace(context, customer=customer.pk)
    asked: dict[str, Any] = {}
    nodes = (node for rule in rules for node in _nodes(rule, context))
    for place, (node, its_context) in enumerate(nodes):
        asked[f"met_{place}"] = Case(
            When(node.q(its_context), then=Value(True)), default=Value(False), output_field=BooleanField()
        )
        if isinstance(node, Condition):
            asked[f"value_{place}"] = node.value(its_context)
    rows: list[Any] = list(Customer.objects.filter(context.existing_q(), pk=customer.pk).values(**asked))
    return rows[0] if rows else None


def _nodes(rule: Rule, context: EvaluationContext) -> Iterator[tuple[Rule, EvaluationContext]]:
    """Yield a rule and all that it consists of, each with the context in which it is asked."""
    yield rule, context
    for part, its_context in rule.parts(context):
        yield from _nodes(part, its_context)


def _explain_node(
    rule: Rule,
    places: Iterator[int],
    row: dict[str, Any],
    context: EvaluationContext,
    shows: Callable[[Condition], bool],
    tree: AnswerTree | None,
) -> Explanation:
    place = next(places)
    met = bool(row[f"met_{place}"])
    tells = tree and tree.changes_at and not tree.reveals(shows)
    changes_at, verbs = (tree.changes_at, tree.prevented_by) if tree and tells else (None, ())
    asked = rule.parts(context)
    # A segment that answers by its stored members now is asked by its rule later: then the tree has more parts.
    trees = tree.parts if tree and len(tree.parts) == len(asked) else [None] * len(asked)
    parts = tuple(
        _explain_node(part, places, row, its_context, shows, part_tree)
        for (part, its_context), part_tree in zip(asked, trees, strict=True)
    )
    if isinstance(rule, Group):
        lacking = () if met else _lacking(rule.word, parts)
        return Explanation(f"{rule.word} of these", met, None, parts, lacking, None, changes_at, verbs)
    if not isinstance(rule, Condition):
        lacking = () if met else (rule.sentence(),)
        return Explanation(rule.sentence(), met, None, parts, lacking, None, changes_at, verbs)
    words = rule.detailed_sentence(context, format_money)
    if not shows(rule):
        return Explanation(words, met, HIDDEN, parts, () if met else (words,))
    value = row[f"value_{place}"]
    if rule.unit == "free" and isinstance(value, dict):
        value = value.get(getattr(rule, "name_", ""))
    value_text = format_value(value, rule.unit, context)
    if rule.unit == "amount" and value_text in words:  # rounded to cents, different amounts can look the same
        words, value_text = (
            rule.detailed_sentence(context, format_exact_money),
            format_value(value, rule.unit, context, format_exact_money),
        )
    at = value if isinstance(value, datetime) else None
    return Explanation(words, met, value_text, parts, () if met else (words,), at, changes_at, verbs)


def _lacking(word: str, parts: Sequence[Explanation]) -> tuple[str, ...]:
    """Return what a group lacks: what all parts lack, what any part lacks, or the parts that must not match."""
    match word:
        case "all":
            return tuple(lack for part in parts for lack in part.lacking)
        case "any":
            return (" or ".join(" and ".join(part.lacking) for part in parts),)
    return tuple(f"not: {part.words}" for part in parts if part.met)


def format_value(
    value: Any, unit: str, context: EvaluationContext, write: Callable[[Decimal], str] | None = None
) -> str:
    """Format a value in its unit and the shop's time zone. ``write`` formats amounts."""
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
    """Format an amount in the shop's currency, rounded to cents."""
    return format_exact_money(value.quantize(CENT, ROUND_HALF_UP))


def format_exact_money(value: Decimal) -> str:
    """Format an amount in the shop's currency with all its decimals."""
    return amount(value, shop().currency)
