"""Groups of rules: all, any, none."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

from django.db.models import Q

from .base import Condition, Group, Rule
from .context import EvaluationContext
from .lookups import not_true_q


@dataclass(frozen=True)
class AllOf(Group):
    """Customers who match every rule of the list."""

    word = "all"

    def q(self, context: EvaluationContext) -> Q:
        return reduce(and_, (rule.q(context) for rule in self.rules))

    def sentence(self) -> str:
        return " and ".join(map(part_sentence, self.rules))


@dataclass(frozen=True)
class AnyOf(Group):
    """Customers who match at least one rule of the list."""

    word = "any"

    def q(self, context: EvaluationContext) -> Q:
        return reduce(or_, (rule.q(context) for rule in self.rules))

    def sentence(self) -> str:
        return " or ".join(map(part_sentence, self.rules))


@dataclass(frozen=True)
class NoneOf(Group):
    """Customers who match no rule of the list: the exact complement of ``any``."""

    word = "none"

    def q(self, context: EvaluationContext) -> Q:
        return not_true_q(reduce(or_, (rule.q(context) for rule in self.rules)))

    def sentence(self) -> str:
        if len(self.rules) == 1:
            return self.rules[0].negated_sentence()
        return "does not match: " + " or ".join(map(part_sentence, self.rules))


def part_sentence(rule: Rule) -> str:
    is_several = isinstance(rule, Group) and len(rule.rules) > 1
    return f"({rule.sentence()})" if is_several else rule.sentence()


def conditions_by_path(rule: Rule, path: str = "rule") -> Iterator[tuple[str, Condition]]:
    """Yield every condition of a rule with its path, such as ``rule.all[0].order_count``."""
    if isinstance(rule, Group):
        for place, part in enumerate(rule.rules):
            yield from conditions_by_path(part, f"{path}.{rule.word}[{place}]")
    elif isinstance(rule, Condition):
        yield f"{path}.{rule.name}", rule
        nested = rule.nested_rule()
        if nested:
            for inner_path, inner in conditions_by_path(nested, f"{path}.{rule.name}.rule"):
                yield inner_path, rule.with_nested_rule(inner)


GROUPS: dict[str, type[Group]] = {group.word: group for group in (AllOf, AnyOf, NoneOf)}
