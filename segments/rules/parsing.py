"""Parsing rules from JSON. Errors name the path of the invalid part."""

from typing import Any

from .base import Rule, parse_condition, registry
from .errors import RuleError
from .groups import GROUPS

MAX_DEPTH = 10
MAX_CONDITIONS = 100


def parse(node: Any) -> Rule:
    """Parse a rule: an object with one key, which is a group or a filter. Raises RuleError if it is invalid."""
    return _Parser().parse(node, "rule", 0)


class _Parser:
    """Parses one rule and counts its conditions, so that parsing a huge rule ends at the limit."""

    def __init__(self) -> None:
        self.conditions = 0

    def parse(self, node: Any, path: str, depth: int) -> Rule:
        if not isinstance(node, dict) or len(node) != 1:
            raise RuleError(path, "expected an object with one key: all, any, none or a filter")
        [(key, value)] = node.items()
        path = f"{path}.{str(key)[:100]}"
        if key in GROUPS:
            if depth == MAX_DEPTH:
                raise RuleError(path, f"nested too deeply; groups nest up to {MAX_DEPTH} levels")
            if not isinstance(value, list) or not value:
                raise RuleError(path, "expected a list of rules that is not empty")
            return GROUPS[key](
                tuple(self.parse(item, f"{path}[{place}]", depth + 1) for place, item in enumerate(value))
            )
        if key not in registry:
            raise RuleError(path, "is not a known filter or group")
        self.conditions += 1
        if self.conditions > MAX_CONDITIONS:
            raise RuleError(path, f"is one condition too many; a rule has at most {MAX_CONDITIONS}")
        return parse_condition(registry[key], value, path)
