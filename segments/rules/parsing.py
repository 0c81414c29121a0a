"""Rules from JSON: refused at once where they are too large, and with the path of what is wrong."""

from typing import Any

from .base import Rule, parse_condition, registry
from .errors import RuleError
from .groups import GROUPS

MAX_DEPTH = 10
MAX_CONDITIONS = 100


def parse(node: Any) -> Rule:
    """Read a rule from JSON, an object of one key, which is a group or a filter; raise RuleError."""
    return _Reader().read(node, "rule", 0)


class _Reader:
    """Reads one rule, counting its conditions on the way, so that a huge one is refused before it is read."""

    def __init__(self) -> None:
        self.conditions = 0

    def read(self, node: Any, path: str, depth: int) -> Rule:
        if not isinstance(node, dict) or len(node) != 1:
            raise RuleError(path, "expected an object with one key: all, any, none or a filter")
        [(key, value)] = node.items()
        path = f"{path}.{str(key)[:100]}"
        if key in GROUPS:
            if depth == MAX_DEPTH:
                raise RuleError(path, f"nested too deeply; at most {MAX_DEPTH} levels of groups are taken")
            if not isinstance(value, list) or not value:
                raise RuleError(path, "expected a list of rules that is not empty")
            return GROUPS[key](
                tuple(self.read(item, f"{path}[{place}]", depth + 1) for place, item in enumerate(value))
            )
        if key not in registry:
            raise RuleError(path, "is not a known filter or group")
        self.conditions += 1
        if self.conditions > MAX_CONDITIONS:
            raise RuleError(path, f"is one condition too many; at most {MAX_CONDITIONS} are taken")
        return parse_condition(registry[key], value, path)
