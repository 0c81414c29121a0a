"""The rule language: trees of conditions, from JSON to questions for the database and to English."""

from . import conditions
from .base import AsOf, Condition, Exposure, Groups, Needed, Rule, registry
from .errors import RuleError
from .figures import Figure, Figures
from .parsing import parse
from .slots import Slot

__all__ = [
    "AsOf",
    "Condition",
    "Exposure",
    "Figure",
    "Figures",
    "Groups",
    "Needed",
    "Rule",
    "RuleError",
    "Slot",
    "conditions",
    "parse",
    "registry",
]
