"""The rule language: trees of conditions, from JSON to questions for the database and to English."""

from . import conditions
from .base import Condition, EvaluationContext, Exposure, Groups, Needed, Rule, placeholder_context, registry
from .errors import RuleError
from .figures import Figure, Figures
from .parsing import parse
from .slots import LateParam

__all__ = [
    "Condition",
    "EvaluationContext",
    "Exposure",
    "Figure",
    "Figures",
    "Groups",
    "LateParam",
    "Needed",
    "Rule",
    "RuleError",
    "conditions",
    "parse",
    "placeholder_context",
    "registry",
]
