"""Checks a compiled template before it is rendered: the names it uses, its nesting and its loops."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.template.base import FilterExpression, TextNode, Variable, VariableNode
from django.template.defaulttags import CommentNode, IfNode, WithNode

from .template_tags import LoopNode
from .variable_types import ListVariable, ObjectVariable, OpenVariable, VariableType

MAX_DEPTH, MAX_LOOP_DEPTH = 20, 2
FORLOOP: Final = ObjectVariable(
    "where a loop is",
    {"counter": "from 1", "counter0": "from 0", "first": "is the first", "last": "is the last"},
)
Scope = Mapping[str, VariableType]


class TemplateChecker:
    """Walks through a template, and collects the names that it uses and its problems."""

    def __init__(self, variables: Mapping[str, VariableType]) -> None:
        self.variables = variables
        self.names: set[str] = set()
        self.problems: list[str] = []

    def check_nodes(self, nodes: Iterable[Any], scope: Scope, depth: int, loops: int) -> None:
        if depth > MAX_DEPTH:
            self.problems.append(f"The template is nested deeper than {MAX_DEPTH} levels.")
            return
        for node in nodes:
            match node:
                case TextNode() | CommentNode():
                    pass
                case VariableNode():
                    self._check_printed(node.filter_expression, scope)
                case IfNode():
                    for condition, body in node.conditions_nodelists:
                        self._check_condition(condition, scope, depth)
                        self.check_nodes(body, scope, depth + 1, loops)
                case WithNode():
                    types = {
                        name: self._with_type(value, scope) for name, value in node.extra_context.items()
                    }
                    self.check_nodes(node.nodelist, {**scope, **types}, depth + 1, loops)
                case LoopNode():
                    self._check_loop(node, scope, depth, loops + 1)
                case _:
                    self.problems.append(f"{type(node).__name__} cannot be used in messages.")

    def _check_loop(self, node: LoopNode, scope: Scope, depth: int, loops: int) -> None:
        """Check a loop: it needs a known list and one name, and may be inside one other loop."""
        kind = self._expression_type(node.items, scope)
        is_plain = _filter_names(node.items) <= {"slice"}
        if kind is not None and (not isinstance(kind, ListVariable) or not is_plain):
            self.problems.append(f"{node.items.token} is not a list, so a loop cannot use it.")
        if len(node.loopvars) != 1:
            self.problems.append("A loop needs one name for its item, such as {% for product in viewed %}.")
        if loops > MAX_LOOP_DEPTH:
            self.problems.append(f"Loops are nested deeper than {MAX_LOOP_DEPTH}.")
        item = ObjectVariable(kind.help, kind.parts) if isinstance(kind, ListVariable) else OpenVariable("")
        loop_scope = {**scope, "forloop": FORLOOP, **dict.fromkeys(node.loopvars, item)}
        self.check_nodes(node.nodelist_loop, loop_scope, depth + 1, loops)
        self.check_nodes(node.nodelist_empty, scope, depth + 1, loops)

    def _check_condition(self, condition: Any, scope: Scope, depth: int) -> None:
        """Check the condition of an ``if``, which is a tree."""
        if depth > MAX_DEPTH:
            self.problems.append(f"A condition is longer than {MAX_DEPTH} parts.")
            return
        if condition is None:
            return
        if isinstance(value := getattr(condition, "value", None), FilterExpression):
            self._expression_type(value, scope)
        self._check_condition(condition.first, scope, depth + 1)
        self._check_condition(condition.second, scope, depth + 1)

    def _check_printed(self, expression: FilterExpression, scope: Scope) -> None:
        """Check a printed expression: it has to be a plain value, or be made plain by a filter."""
        kind = self._expression_type(expression, scope)
        if kind is None or isinstance(kind, str) or _is_counted(expression):
            return
        example = f"{{% for one in {expression.var} %}}"
        if not isinstance(kind, ListVariable):
            parts = kind.parts if isinstance(kind, ObjectVariable) else {"name": ""}
            example = f"{expression.var}.{next(iter(parts))}"
        self.problems.append(f"{expression.var} has several parts. Write, for example, {example}.")

    def _with_type(self, expression: Any, scope: Scope) -> VariableType:
        """Check an expression that ``with`` names, and return its type."""
        kind = self._expression_type(expression, scope)
        return "" if kind is None or _is_counted(expression) else kind

    def _expression_type(self, expression: FilterExpression, scope: Scope) -> VariableType | None:
        """Check an expression with its filters; return its type, None for a literal or an unknown name."""
        for _, arguments in expression.filters:
            for is_variable, argument in arguments:
                if is_variable and not isinstance(self._variable_type(argument, scope), str | None):
                    self.problems.append(f"{argument} has several parts, so a filter cannot use it.")
        return self._variable_type(expression.var, scope) if isinstance(expression.var, Variable) else None

    def _variable_type(self, variable: Variable, scope: Scope) -> VariableType | None:
        """Check one name, such as ``last_order.date`` or ``viewed.0.name``."""
        if variable.lookups is None:
            return None
        name, *parts = variable.lookups
        kind = scope.get(name)
        if kind is None:
            kind = self.variables.get(name)
            self.names.add(name)
        for part in parts:
            kind = _part_type(kind, part)
        if kind is None:
            self.problems.append(f"There is no {variable}.")
        return kind


def _part_type(kind: VariableType | None, part: str) -> VariableType | None:
    match kind:
        case ListVariable():
            return (
                ObjectVariable(kind.help, kind.parts)
                if part.isascii() and part.isdigit() and len(part) < 4
                else None
            )
        case ObjectVariable():
            return kind.parts.get(part)
        case OpenVariable():
            return "" if not part.startswith("_") else None
    return None


def _is_counted(expression: FilterExpression) -> bool:
    return "length" in _filter_names(expression)


def _filter_names(expression: FilterExpression) -> set[str]:
    return {str(getattr(function, "_filter_name", "")) for function, _ in expression.filters}
