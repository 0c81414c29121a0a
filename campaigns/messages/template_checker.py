"""Checks a parsed template before it is rendered: the names it uses, what it does with lists, and its loops."""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final

from liquid import RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import FilteredExpression, LoopExpression, Path
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.expressions.logical import EqExpression, NeExpression
from liquid.builtin.expressions.primitive import IntegerLiteral, Literal
from liquid.builtin.tags.assign_tag import AssignNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.expression import Expression

from .template_environment import BlankExpression, LoopNode, ValueNode, is_blank_literal
from .template_filters import FILTERS
from .variable_types import ListVariable, MissingValue, ObjectVariable, OpenVariable, VariableType

MAX_LOOP_DEPTH: Final = 2
FORLOOP: Final = ObjectVariable(
    "where a loop is",
    {
        "index": "from 1", "index0": "from 0", "rindex": "to 1", "rindex0": "to 0", "first": "is the first",
        "last": "is the last", "length": "how many",
    },
)  # fmt: skip
Scope = Mapping[str, VariableType]


class TemplateChecker:
    """Walks through a template, and collects the names that it uses and its problems.

    Comparisons with ``blank`` are replaced by ones that know missing values.
    """

    def __init__(self, variables: Mapping[str, VariableType], context: RenderContext) -> None:
        self.variables, self.context = variables, context
        self.assigned: dict[str, VariableType] = {}
        self.names: set[str] = set()
        self.answers: dict[str, None] = {}
        self.problems: list[str] = []

    def check_nodes(self, nodes: Iterable[Node], scope: Scope, loops: int = 0) -> None:
        for node in nodes:
            match node:
                case CommentNode():
                    continue
                case ValueNode():
                    self._check_printed(node.expression, scope)
                case LoopNode():
                    self._check_loop(node, scope, loops + 1)
                    continue
                case AssignNode():
                    self._check_assignment(node, scope)
                case _:
                    for expression in node.expressions():
                        self._check_condition(expression, scope)
            self.check_nodes(node.children(self.context), scope, loops)

    def _check_loop(self, node: LoopNode, scope: Scope, loops: int) -> None:
        """Check a loop: it needs a known list, and may be inside one other loop."""
        loop: LoopExpression = node.expression
        kind = self._type(loop.iterable, scope)
        if not isinstance(kind, ListVariable) and (kind is not None or not isinstance(loop.iterable, Path)):
            self.problems.append(f"{loop.iterable} is not a list, so a loop cannot use it.")
        for name, number in (("limit", loop.limit), ("offset", loop.offset)):
            is_number = isinstance(number, IntegerLiteral) and number.value >= (1 if name == "limit" else 0)
            if number is not None and not is_number:
                self.problems.append(f"The {name} of a loop has to be a number, such as {name}: 3.")
        if loops > MAX_LOOP_DEPTH:
            self.problems.append(f"Loops are nested deeper than {MAX_LOOP_DEPTH}.")
        item = ObjectVariable(kind.help, kind.parts) if isinstance(kind, ListVariable) else OpenVariable("")
        self.check_nodes([node.block], {**scope, "forloop": FORLOOP, loop.identifier: item}, loops)
        if node.default:
            self.check_nodes([node.default], scope, loops)

    def _check_assignment(self, node: AssignNode, scope: Scope) -> None:
        kind = self._type(node.expression, scope)
        if node.name in self.variables or node.name in scope:
            self.problems.append(f"{node.name} is already a value. Assign to another name.")
        self.assigned[str(node.name)] = kind or ""

    def _check_condition(self, expression: Expression, scope: Scope) -> None:
        """Check an expression that is compared, not printed."""
        match expression:
            case Path() | FilteredExpression():
                self._type(expression, scope)
                return
        _replace_blank(expression)
        for child in expression.children():
            self._check_condition(child, scope)

    def _check_printed(self, expression: Expression, scope: Scope) -> None:
        """Check a printed expression: it has to be a plain value, or be made plain by a filter."""
        kind = self._type(expression, scope)
        if kind is None or isinstance(kind, str):
            return
        name = expression.left if isinstance(expression, FilteredExpression) else expression
        example = f"{{% for one in {name} %}}"
        if not isinstance(kind, ListVariable):
            parts = kind.parts if isinstance(kind, ObjectVariable) else {"name": ""}
            example = f"{{{{ {name}.{next(iter(parts))} }}}}"
        self.problems.append(f"{name} has several parts. Write, for example, {example}.")

    def _type(self, expression: Expression, scope: Scope) -> VariableType | None:
        """Check an expression with its filters; return its type, None for a literal or an unknown name."""
        match expression:
            case Path():
                return self._path_type(expression, scope)
            case FilteredExpression():
                kind = self._type(expression.left, scope)
                for each in expression.filters or ():
                    kind = self._filtered_type(each, kind, scope)
                return kind
        for child in expression.children():
            self._type(child, scope)
        return None

    def _filtered_type(self, used: Filter, kind: VariableType | None, scope: Scope) -> VariableType | None:
        """Check a filter that is applied to a value of a type; return the type of its result."""
        name = str(used.name)
        known = FILTERS.get(name)
        if known is None:
            self.problems.append(f"There is no filter {name}; there are {', '.join(sorted(FILTERS))}.")
            return None
        given = [self._type(argument.value, scope) for argument in used.args]
        if not all(isinstance(each, str | None) for each in given):
            self.problems.append(f"The filter {name} cannot use a value with several parts.")
        elif not any(given) and all(isinstance(argument.value, Literal) for argument in used.args):
            self._try_filter(used)
        if name == "default":
            return kind
        if isinstance(kind, ListVariable):
            match name:
                case "size" | "yesno":
                    return ""
                case "slice":
                    return kind
                case "first" | "last":
                    return ObjectVariable(kind.help, kind.parts)
        if not isinstance(kind, str | None) and name != "yesno":
            self.problems.append(f"The filter {name} cannot use a value with several parts.")
        elif name in ("first", "last"):
            self.problems.append(f"The filter {name} needs a list.")
        return ""

    def _try_filter(self, used: Filter) -> None:
        """Apply a filter with its arguments to a sample, so that a wrong argument is found before a message is sent."""
        known = FILTERS[str(used.name)]
        positional, named = used.evaluate_args(self.context)
        try:
            inspect.signature(known.function).bind(known.sample, *positional, **named)
        except TypeError as error:
            self.problems.append(f"The filter {used.name}: {error}.")
            return
        try:
            known.function(known.sample, *positional, **named)
        except MissingValue as error:
            self.problems.append(f"The filter {used.name}: {error}")

    def _path_type(self, path: Path, scope: Scope) -> VariableType | None:
        """Check one name, such as ``last_order.date`` or ``viewed[0].name``."""
        name, *parts = path.path
        if not isinstance(name, str):
            self.problems.append(f"There is no {path}.")
            return None
        kind = scope.get(name, self.assigned.get(name))
        if kind is None:
            kind = self.variables.get(name)
            self.names.add(name)
        if name == "answers" and parts:
            self.answers[str(parts[0])] = None
        for part in parts:
            kind = _part_type(kind, part)
        if kind is None:
            self.problems.append(f"There is no {path}.")
        return kind


def _replace_blank(comparison: Expression) -> None:
    """Replace the comparisons with ``blank`` among the operands of an expression."""
    for name in ("expression", "left", "right"):
        operand = getattr(comparison, name, None)
        if isinstance(operand, EqExpression | NeExpression):
            for value, other in ((operand.left, operand.right), (operand.right, operand.left)):
                if is_blank_literal(other):
                    is_negated = isinstance(operand, NeExpression)
                    setattr(comparison, name, BlankExpression(value, is_negated=is_negated))
                    break


def _part_type(kind: VariableType | None, part: Any) -> VariableType | None:
    match kind, part:
        case ListVariable(), "size":
            return ""
        case ListVariable(), int() | "first" | "last":
            return ObjectVariable(kind.help, kind.parts)
        case ObjectVariable(), str():
            return kind.parts.get(part)
        case OpenVariable(), str():
            return "" if not part.startswith("_") else None
    return None
