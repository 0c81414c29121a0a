"""Groups of rules: all, any, none."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

from django.db.models import Q

from .base import Condition, EvaluationContext, Group, Rule
from .lookups import not_true_q


@dataclass(frozen=True)
class AllOf(Group):
    """Whoever matches every one of its rules."""

    word = "all"

    def q(self, context: EvaluationContext) -> Q:
        """Ask for every one."""
        return reduce(and_, (rule.q(context) for rule in self.rules))

    def sentence(self) -> str:
        """Join by "and"."""
        return " and ".join(map(_part, self.rules))


@dataclass(frozen=True)
class AnyOf(Group):
    """Whoever matches at least one of its rules."""

    word = "any"

    def q(self, context: EvaluationContext) -> Q:
        """Ask for one or more."""
        return reduce(or_, (rule.q(context) for rule in self.rules))

    def sentence(self) -> str:
        """Join by "or"."""
        return " or ".join(map(_part, self.rules))


@dataclass(frozen=True)
class NoneOf(Group):
    """Whoever matches none of its rules: the exact complement of ``any``."""

    word = "none"

    def q(self, context: EvaluationContext) -> Q:
        """Complement."""
        return not_true_q(reduce(or_, (rule.q(context) for rule in self.rules)))

    def sentence(self) -> str:
        """Say that nothing of it holds."""
        return "does not match: " + " or ".join(map(_part, self.rules))


def _part(rule: Rule) -> str:
    if isinstance(rule, Condition) or (isinstance(rule, AllOf | AnyOf) and len(rule.rules) == 1):
        return rule.sentence()
    return f"({rule.sentence()})"


def conditions_by_path(rule: Rule, path: str = "rule") -> Iterator[tuple[str, Condition]]:
    """Return every condition of a rule with its path, such as ``rule.all[0].order_count``."""
    if isinstance(rule, Group):
        for place, part in enumerate(rule.rules):
            yield from conditions_by_path(part, f"{path}.{rule.word}[{place}]")
    elif isinstance(rule, Condition):
        yield f"{path}.{rule.name}", rule


GROUPS: dict[str, type[Group]] = {group.word: group for group in (AllOf, AnyOf, NoneOf)}
