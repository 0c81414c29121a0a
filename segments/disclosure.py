"""Which rules staff may try out who may not see contact data.

Counting the matches of many rules could reveal contact data bit by bit, so such rules are rejected. Each filter
declares its ``exposure``. Saved segments can be referred to by all staff, since their rules cannot be varied. But the
instant can: who is in a segment of birthdays at each instant tells the birthdays.
"""

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, Final

from customers.privacy import masks

from .evaluation.changes_at import MAX_CHANGE
from .evaluation.context import shop_zone
from .evaluation.expansion import expand_for_later, expand_rule
from .rules import Condition, EvaluationContext, Exposure, Rule, RuleError
from .rules.groups import conditions_by_path

ASKS_FOR_CONTACT_DATA: Final = "asks about contact data, which you may not see"
NAMES_CONTACT_DATA: Final = "contains an e-mail address or a phone number, which you may not see"
ASKS_LATER: Final = (
    "asks at another instant for a segment whose rule asks about contact data, which you may not see"
)
TOLD_BY_CHANGES: Final = "would reveal contact data, which you may not see, by when customers enter and leave"


def check_exposure(rule: Rule, *, asks_rules: bool = False) -> None:
    """Raise RuleError, with the path of the condition, if a rule could reveal contact data.

    ``asks_rules`` tells that it is asked at an instant that is chosen, and asks the rules of other segments.
    """
    for path, condition in conditions_by_path(rule):
        if condition.effective_exposure() is Exposure.PERSONAL:
            raise RuleError(path, ASKS_FOR_CONTACT_DATA)
        if _contains_contact_data(condition):
            raise RuleError(path, NAMES_CONTACT_DATA)
        is_at_another_instant = asks_rules or bool(condition.span_ahead())
        if is_at_another_instant and _changes_reveal(expand_rule(condition, asks_rules=asks_rules)):
            raise RuleError(path, ASKS_LATER)


def check_changes(rule: Rule) -> None:
    """Raise RuleError if the sizes at many instants could reveal contact data."""
    if changes_reveal_contact_data(rule):
        raise RuleError("rule", TOLD_BY_CHANGES)


def changes_reveal_contact_data(rule: Rule) -> bool:
    """Whether the instants at which customers enter and leave by time alone could reveal contact data."""
    return _changes_reveal(*expand_for_later([rule], asks_rules=True))


def _changes_reveal(expanded: Rule) -> bool:
    context = EvaluationContext(datetime.now(UTC), shop_zone())
    return any(
        condition.effective_exposure() is Exposure.PERSONAL and condition.borders(context, MAX_CHANGE)
        for condition in expanded.conditions()
        if condition.nested_rule() is None
    )


def may_show_value(condition: Condition) -> bool:
    """Whether staff who may not see contact data may see the customer's value of a condition."""
    return condition.effective_exposure() is Exposure.OPEN


def _contains_contact_data(value: Any) -> bool:
    """Whether a parameter, or a part of it, looks like contact data, which is masked everywhere."""
    if isinstance(value, str):
        return masks.looks_like_contact_data(value) or "@" in value
    if isinstance(value, tuple | list):
        return any(map(_contains_contact_data, value))
    if is_dataclass(value):
        return any(_contains_contact_data(getattr(value, item.name)) for item in fields(value))
    return False
