"""Which rules may be tried out by whom: a count tells what a mask hides, one question at a time.

Each filter declares its ``exposure``; large counts are refused as small ones are, since their differences tell as much.
Rules that are saved by those who may see contact data can be referred to by everybody: they cannot be varied.
"""

from dataclasses import fields, is_dataclass
from typing import Any, Final

from customers.privacy import masks

from .rules import Condition, Exposure, Rule, RuleError
from .rules.groups import conditions_by_path

ASKS_FOR_CONTACT_DATA: Final = "asks for contact data, which you may not see"
NAMES_CONTACT_DATA: Final = "names an e-mail address or a phone number, which you may not see"


def check_exposure(rule: Rule) -> None:
    """Refuse a rule to somebody who may not see contact data; raises RuleError with the path of the condition."""
    for path, condition in conditions_by_path(rule):
        if condition.effective_exposure() is Exposure.PERSONAL:
            raise RuleError(path, ASKS_FOR_CONTACT_DATA)
        if _contains_contact_data(condition):
            raise RuleError(path, NAMES_CONTACT_DATA)


def may_show_value(condition: Condition) -> bool:
    """Tell whether a customer's value of a condition may be shown to somebody who may not see contact data."""
    return condition.effective_exposure() is Exposure.OPEN


def _contains_contact_data(value: Any) -> bool:
    """Tell whether a parameter, or a part of one, looks like contact data: such values are masked everywhere."""
    if isinstance(value, str):
        return masks.looks_like_contact_data(value) or "@" in value
    if isinstance(value, tuple | list):
        return any(map(_contains_contact_data, value))
    if is_dataclass(value):
        return any(_contains_contact_data(getattr(value, item.name)) for item in fields(value))
    return False
