"""Parsing rules from JSON. Errors name the path of the invalid part."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from . import values
from .base import Condition, Rule, registry
from .declarations import InlineParam, NestedRule, Param
from .errors import RuleError
from .groups import GROUPS
from .operators import Operator

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
        return self._parse_condition(registry[key], value, path, depth)

    def _parse_condition(self, cls: type[Condition], given: Any, path: str, depth: int) -> Condition:
        if not isinstance(given, dict):
            raise RuleError(path, "expected an object with the filter's parameters")
        known: set[str] = set()
        parsed: dict[str, Any] = {}
        declared_fields = fields(cls)  # type: ignore[arg-type]
        for declared in declared_fields:
            parameter = declared.metadata["parameter"]
            if isinstance(parameter, InlineParam):
                words = {word for kind in parameter.kinds for word in kind.words}
                known |= words
                if parameter.required or words & given.keys():
                    parsed[declared.name] = _parse_inline(parameter, given, path)
            else:
                name = parameter_name(declared)
                known.add(name)
                if name in given:
                    parsed[declared.name] = self._parse_param(parameter, given[name], f"{path}.{name}", depth)
                elif parameter.required:
                    raise RuleError(f"{path}.{name}", "missing")
        for name in given:
            if name not in known:
                raise RuleError(
                    f"{path}.{name}", f"is not a parameter of {cls.name}; expected {', '.join(sorted(known))}"
                )
        if cls.needs_one and not parsed:
            names = ", ".join(map(parameter_name, declared_fields))
            raise RuleError(path, f"expected one or more of {names}")
        if len(given.keys() & set(cls.exclusive)) > 1:
            raise RuleError(path, f"expected at most one of {', '.join(cls.exclusive)}")
        condition = cls(**parsed)
        if condition.span_ahead() > values.MAX_AHEAD:
            raise RuleError(
                path, f"is asked more than {values.MAX_AHEAD.days} days ahead, counting all spans"
            )
        return condition

    def _parse_param(self, parameter: Param, given: Any, path: str, depth: int) -> Any:
        if not isinstance(parameter.kind, NestedRule):
            return parameter.kind.parse(given, path)
        if depth == MAX_DEPTH:
            raise RuleError(path, f"nested too deeply; rules nest up to {MAX_DEPTH} levels")
        return self.parse(given, path, depth + 1)


def parameter_name(declared: Any) -> str:
    """Return the name of a field's parameter. A field is called ``is_`` or ``name_`` where the plain name is taken."""
    return str(declared.name).rstrip("_")


def _parse_inline(parameter: InlineParam, given: Mapping[str, Any], path: str) -> Operator:
    words = list(dict.fromkeys(word for kind in parameter.kinds for word in kind.words))
    found = [word for word in words if word in given]
    if len(found) != 1:
        raise RuleError(
            path,
            f"expected exactly one of {', '.join(words)}" + (f"; found {', '.join(found)}" if found else ""),
        )
    kinds = [kind for kind in parameter.kinds if found[0] in kind.words]
    for kind in kinds[:-1]:
        try:
            return kind.parse_inline(given, path)
        except RuleError:
            continue
    if len(kinds) == 1:
        return kinds[0].parse_inline(given, path)
    try:
        return kinds[-1].parse_inline(given, path)
    except RuleError:
        raise RuleError(f"{path}.{found[0]}", _expected_values(kinds, found[0])) from None


def _expected_values(kinds: list[type[Operator]], word: str) -> str:
    values = {
        "is": "a text or a number",
        "is_not": "a text or a number",
        "between": "two numbers or two dates",
    }
    return f"expected {values.get(word, ' or '.join(kind.__name__.lower() for kind in kinds))}"
