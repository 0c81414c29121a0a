"""The template language of messages: Django's, restricted to a few tags, filters and variables.

A template is checked as a whole before it is rendered: the names it uses, its nesting and its loops. So it cannot call
methods or read files, and the length of its output is bounded. A value that is missing for a customer takes its
fallback (``{{ first_name|default:"there" }}``) or raises an error that names it; it never prints as nothing.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, cast

from django.conf import settings
from django.template import (
    Context,
    Engine,
    Library,
    Template,
    TemplateSyntaxError,
    defaultfilters,
    defaulttags,
)
from django.template.base import FilterExpression, Parser, TextNode, Token, Variable, VariableNode
from django.template.defaulttags import CommentNode, ForNode, IfNode, WithNode, do_for

from core.templatetags.display import amount as written

from .variable_types import (
    InvalidTemplate,
    ListVariable,
    Missing,
    MissingValue,
    ObjectVariable,
    OpenVariable,
    VariableType,
)

MAX_LENGTH: Final = 250_000
MAX_DEPTH, MAX_LOOP_DEPTH = 20, 2
DATE_FORMAT: Final = "j F Y"


# -- The tags and filters


class _Loop(ForNode):
    """A loop over a list. An empty list without ``{% empty %}`` is a missing value."""

    @property
    def through(self) -> FilterExpression:
        return cast(FilterExpression, self.sequence)

    def render(self, context: Context) -> Any:
        if not self.nodelist_empty and not self.through.resolve(context):
            name = self.through.token.partition("|")[0]
            raise MissingValue(
                f"{name} is empty. Put a replacement between {{% empty %}} and {{% endfor %}},"
                f" or put the text that needs it between {{% if {name} %}} and {{% endif %}}."
            )
        return super().render(context)


def _loop(parser: Parser, token: Token) -> _Loop:
    node = do_for(parser, token)
    return _Loop(
        node.loopvars, node.sequence, node.is_reversed, node.nodelist_loop, node.nodelist_empty or None
    )


def _date(value: Any, form: str = DATE_FORMAT) -> Any:
    if isinstance(value, Missing):
        str(value)
    return defaultfilters.date(value, form) if isinstance(value, date) else value


def _amount(value: Any, currency: str = "") -> Any:
    if isinstance(value, Missing):
        str(value)
    return written(value, currency or settings.SHOP_CURRENCY) if isinstance(value, Decimal) else value


def _default(value: Any, fallback: Any) -> Any:
    """Return the fallback for a missing value; 0 is a value."""
    return fallback if isinstance(value, Missing) or value is None or value == "" else value


def _unchanged(value: Any) -> Any:
    return value


FILTERS: Final[Mapping[str, str]] = {
    "default": "a fallback for a missing value; 0 is a value: `default:\"there\"`",
    "amount": "an amount with its currency: 1,234.50 EUR",
    "date": "a day as “1 March 2026”, or in another of Django's formats: `date:\"j. n. Y\"`",
    "upper": "in capital letters",
    "lower": "in small letters",
    "title": "a capital letter for each word",
    "capfirst": "a capital letter for the first word",
    "truncatechars": "shortened to a number of characters",
    "truncatewords": "shortened to a number of words",
    "slice": "the first elements of a list: `slice:\":3\"`",
    "length": "the number of elements",
    "pluralize": "“s” unless the number is 1",
    "yesno": "one word for yes, another for no: `yesno:\"yes,no\"`",
    "urlencode": "encoded for a URL",
    "linebreaksbr": "line breaks as `<br>`",
}  # fmt: skip
TAGS: Final[Mapping[str, str]] = {
    "if": "`{% if first_name %} … {% elif … %} … {% else %} … {% endif %}`",
    "for": "`{% for product in viewed %} … {% empty %} … {% endfor %}`",
    "with": "`{% with name=first_name %} … {% endwith %}`",
    "comment": "`{% comment %} … {% endcomment %}`",
}


_OURS: Final = {"default", "date", "amount", "linebreaksbr"}


def _library(*, as_html: bool) -> Library:
    library = Library()
    for name in TAGS:
        library.tag(name, _loop if name == "for" else defaulttags.register.tags[name])
    for name in FILTERS.keys() - _OURS:
        library.filters[name] = defaultfilters.register.filters[name]
    library.filter("default", _default)
    library.filter("date", _date, expects_localtime=True)
    library.filter("amount", _amount)
    # Plain text keeps its lines without it.
    library.filter("linebreaksbr", defaultfilters.linebreaksbr if as_html else _unchanged)
    return library


class _Engine(Engine):
    default_builtins = []

    def __init__(self, *, as_html: bool) -> None:
        super().__init__(loaders=[], autoescape=as_html)
        self.template_builtins = [_library(as_html=as_html)]


_ENGINES: Final = {as_html: _Engine(as_html=as_html) for as_html in (True, False)}


# -- Templates


@dataclass(frozen=True)
class CompiledTemplate:
    """A checked template, and the names of the variables it uses."""

    template: Template
    names: frozenset[str]

    def render(self, values: dict[str, Any]) -> str:
        """Render with these values. Raises MissingValue."""
        return str(self.template.render(Context(values, autoescape=self.template.engine.autoescape)))


def has_closed_tags(source: str) -> bool:
    """Return whether every tag is closed in its line; parsing many unclosed ones would take minutes."""
    for line in source.splitlines():
        place = 0
        while opened := _OPENING.search(line, place):
            place = line.find(_ENDS[opened[0]], opened.end()) + 2
            if place == 1:
                return False
    return True


_ENDS: Final = {"{{": "}}", "{%": "%}", "{#": "#}"}
_OPENING: Final = re.compile(r"\{[{%#]")


def compile_template(source: str, known: Mapping[str, VariableType], *, as_html: bool) -> CompiledTemplate:
    """Compile a template that may use the known variables. Raises InvalidTemplate."""
    if len(source) > MAX_LENGTH:
        raise InvalidTemplate([f"The template is longer than {MAX_LENGTH:,} characters."])
    if not has_closed_tags(source):
        raise InvalidTemplate(["A {{, {% or {# is not closed in its line."])
    try:
        template = Template(source, engine=_ENGINES[as_html])
    except TemplateSyntaxError as error:
        raise InvalidTemplate([_syntax_problem(str(error))]) from None
    except RecursionError:
        raise InvalidTemplate([f"The template is nested deeper than {MAX_DEPTH} levels."]) from None
    check = _Checker(known)
    check.nodes(template.nodelist, {}, 0, 0)
    if check.problems:
        raise InvalidTemplate(list(dict.fromkeys(check.problems)))
    return CompiledTemplate(template, frozenset(check.names))


def _syntax_problem(complaint: str) -> str:
    if "Invalid block tag" in complaint:
        complaint = complaint.split(". Did you")[0] + f"; there are {', '.join(TAGS)}"
    if "Invalid filter" in complaint:
        complaint += f"; there are {', '.join(sorted(FILTERS))}"
    return complaint.rstrip(".") + "."


FORLOOP: Final = ObjectVariable(
    "where a loop is",
    {"counter": "from 1", "counter0": "from 0", "first": "is the first", "last": "is the last"},
)
Scope = Mapping[str, VariableType]


class _Checker:
    """Walks through a template and collects the names it uses and its problems."""

    def __init__(self, known: Mapping[str, VariableType]) -> None:
        self.known = known
        self.names: set[str] = set()
        self.problems: list[str] = []

    def nodes(self, nodes: Iterable[Any], scope: Scope, depth: int, loops: int) -> None:
        if depth > MAX_DEPTH:
            self.problems.append(f"The template is nested deeper than {MAX_DEPTH} levels.")
            return
        for node in nodes:
            match node:
                case TextNode() | CommentNode():
                    pass
                case VariableNode():
                    self.printed(node.filter_expression, scope)
                case IfNode():
                    for condition, inside in node.conditions_nodelists:
                        self.condition(condition, scope, depth)
                        self.nodes(inside, scope, depth + 1, loops)
                case WithNode():
                    named = {name: self.named(value, scope) for name, value in node.extra_context.items()}
                    self.nodes(node.nodelist, {**scope, **named}, depth + 1, loops)
                case _Loop():
                    self.loop(node, scope, depth, loops + 1)
                case _:
                    self.problems.append(f"{type(node).__name__} cannot be used in messages.")

    def loop(self, node: _Loop, scope: Scope, depth: int, loops: int) -> None:
        """Check a loop: it needs a known list and one name, and may be inside one other loop."""
        kind = self.expression(node.through, scope)
        sliced = all(_name_of(made) == "slice" for made, _ in node.through.filters)
        if kind is not None and (not isinstance(kind, ListVariable) or not sliced):
            self.problems.append(f"{node.through.token} is not a list, so a loop cannot use it.")
        if len(node.loopvars) != 1:
            self.problems.append("A loop needs one name for its item, such as {% for product in viewed %}.")
        if loops > MAX_LOOP_DEPTH:
            self.problems.append(f"Loops are nested deeper than {MAX_LOOP_DEPTH}.")
        item = ObjectVariable(kind.help, kind.parts) if isinstance(kind, ListVariable) else OpenVariable("")
        inside = {**scope, "forloop": FORLOOP, **dict.fromkeys(node.loopvars, item)}
        self.nodes(node.nodelist_loop, inside, depth + 1, loops)
        self.nodes(node.nodelist_empty, scope, depth + 1, loops)

    def condition(self, condition: Any, scope: Scope, depth: int) -> None:
        """Check the condition of an ``if``, which is a tree."""
        if depth > MAX_DEPTH:
            self.problems.append(f"A condition is longer than {MAX_DEPTH} parts.")
            return
        if condition is None:
            return
        if isinstance(value := getattr(condition, "value", None), FilterExpression):
            self.expression(value, scope)
        self.condition(condition.first, scope, depth + 1)
        self.condition(condition.second, scope, depth + 1)

    def printed(self, expression: FilterExpression, scope: Scope) -> None:
        """Check a printed expression: it has to be a plain value, or be made plain by a filter."""
        kind = self.expression(expression, scope)
        if kind is None or isinstance(kind, str) or self._is_counted(expression):
            return
        example = f"{{% for one in {expression.var} %}}"
        if not isinstance(kind, ListVariable):
            parts = kind.parts if isinstance(kind, ObjectVariable) else {"name": ""}
            example = f"{expression.var}.{next(iter(parts))}"
        self.problems.append(f"{expression.var} has several parts. Write, for example, {example}.")

    def named(self, expression: Any, scope: Scope) -> VariableType:
        """Check an expression that ``with`` names, and return its type."""
        kind = self.expression(expression, scope)
        return "" if kind is None or self._is_counted(expression) else kind

    def expression(self, expression: FilterExpression, scope: Scope) -> VariableType | None:
        """Check an expression with its filters; return its type, None for a literal or an unknown name."""
        for _, arguments in expression.filters:
            for is_variable, argument in arguments:
                if is_variable and not isinstance(self.variable(argument, scope), str | None):
                    self.problems.append(f"{argument} has several parts, so a filter cannot use it.")
        return self.variable(expression.var, scope) if isinstance(expression.var, Variable) else None

    def variable(self, variable: Variable, scope: Scope) -> VariableType | None:
        """Check one name, such as ``last_order.date`` or ``viewed.0.name``."""
        if variable.lookups is None:
            return None
        name, *parts = variable.lookups
        kind = scope.get(name)
        if kind is None:
            kind = self.known.get(name)
            self.names.add(name)
        for part in parts:
            kind = _part_type(kind, part)
        if kind is None:
            self.problems.append(f"There is no {variable}.")
        return kind

    def _is_counted(self, expression: FilterExpression) -> bool:
        return any(_name_of(made) == "length" for made, _ in expression.filters)


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


def _name_of(made: Any) -> str:
    return str(getattr(made, "_filter_name", ""))
