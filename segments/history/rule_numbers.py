"""The numbers and spans in a rule, and the rule with others in their place."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from core.durations import UNITS, duration_text, parse_duration, span_text
from segments.references import with_segment_names
from segments.rules import RuleError, parse, registry
from segments.rules.groups import GROUPS

MAX_VALUES: Final = 3

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class RuleNumber:
    """A number or a span of a rule: where it is, what it is, and the sentence of its condition."""

    path: Path
    value: Any
    sentence: str

    @property
    def words(self) -> str:
        """Return the value in words, such as “90 days”."""
        return value_words(self.value)

    @property
    def suggestions(self) -> list[str]:
        """Return values to compare: less, the present one, and more."""
        if isinstance(self.value, str):
            span = parse_duration(self.value)
            unit = next(one for one in (UNITS["day"], UNITS["hour"], UNITS["minute"]) if not span % one)
            return [span_text(max(round(span / unit * share), 1) * unit) for share in (2 / 3, 1, 4 / 3)]
        if isinstance(self.value, int):
            return [str(max(self.value - 1, 0)), str(self.value), str(self.value + 1)]
        return [f"{self.value * share:g}" for share in (0.8, 1, 1.2)]


def rule_numbers(rule: Any) -> list[RuleNumber]:
    """Return the numbers of a rule, given as JSON, in their order. Raises RuleError."""
    return list(_numbers(rule, rule, ()))


def with_number(rule: Any, path: Path, value: Any) -> Any:
    """Return the rule with another value at a path. Raises RuleError if that is not a rule."""
    changed = json.loads(json.dumps(rule))
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    parse(changed)
    return changed


def read_value(number: RuleNumber, text: str) -> Any:
    """Read what a person has entered in place of a number: "120" or "120d" for "90d". Raises ValueError."""
    text = text.strip().replace("−", "-")
    if isinstance(number.value, str):
        if text.isascii() and text.isdigit():
            text += number.value[-1]
        return span_text(parse_duration(text))
    try:
        return int(text)
    except ValueError:
        return float(text)


def value_words(value: Any) -> str:
    return duration_text(parse_duration(value)) if isinstance(value, str) else f"{value:g}"


def _numbers(node: Any, condition: Any, path: Path) -> Iterator[RuleNumber]:
    match node:
        case dict():
            for name, value in node.items():
                is_filter = name in registry and isinstance(value, dict) and len(node) == 1
                yield from _numbers(value, node if is_filter else condition, (*path, name))
        case list():
            is_group = bool(path) and path[-1] in GROUPS
            for place, value in enumerate(node):
                yield from _numbers(value, value if is_group else condition, (*path, place))
        case bool():
            return
        case int() | float():
            yield RuleNumber(path, node, _sentence(condition))
        case str() if _is_span(node, path):
            yield RuleNumber(path, node, _sentence(condition))


def _is_span(text: str, path: Path) -> bool:
    """Return whether a text is a span, and no name that looks like one."""
    if path[-1] not in ("within_last", "not_within_last", "older_than", "within_next", "in"):
        return False
    try:
        return parse_duration(text) > timedelta()
    except ValueError:
        return False


def _sentence(condition: Any) -> str:
    try:
        return with_segment_names(parse(condition)).sentence()
    except RuleError:
        return ""


def labels(values: Sequence[Any], present: Any) -> list[str]:
    """Return the labels of lines."""
    return [value_words(value) + (" (present rule)" if value == present else "") for value in values]
