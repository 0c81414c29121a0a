"""The rule language: rules are parsed from JSON, and become database queries and English sentences."""

from . import conditions
from .base import Condition, Exposure, Group, Rule, registry
from .context import EvaluationContext, Statistic, placeholder_context
from .errors import RuleError
from .late_params import LateParam
from .parsing import parse
from .population import PopulationStatistics, StatisticValue

__all__ = [
    "Condition",
    "EvaluationContext",
    "Exposure",
    "Group",
    "LateParam",
    "PopulationStatistics",
    "Rule",
    "RuleError",
    "Statistic",
    "StatisticValue",
    "conditions",
    "parse",
    "placeholder_context",
    "registry",
]
