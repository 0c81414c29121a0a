"""Which rules staff may try out who may not see contact data.

Counting the matches of many rules could reveal contact data bit by bit, so such rules are rejected. Each filter
declares its ``exposure``. Saved segments can be referred to by all staff, since their rules cannot be varied.
"""

from dataclasses import fields, is_dataclass
from typing import Any, Final

from customers.privacy import masks

from .rules import Condition, Exposure, Rule, RuleError
from .rules.groups import conditions_by_path

ASKS_FOR_CONTACT_DATA: Final = "asks about contact data, which you may not see"
NAMES_CONTACT_DATA: Final = "contains an e-mail address or a phone number, which you may not see"


def check_exposure(rule: Rule) -> None:
    """Raise RuleError, with the path of the condition, if a rule could reveal contact data."""
    for path, condition in conditions_by_path(rule):
        if condition.effective_exposure() is Exposure.PERSONAL:
            raise RuleError(path, ASKS_FOR_CONTACT_DATA)
        if _contains_contact_data(condition):
            raise RuleError(path, NAMES_CONTACT_DATA)


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
