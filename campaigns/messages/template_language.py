"""The language of messages: Django's, with a few tags and filters, and no value but those a message may use.

A template is checked as a whole before it is rendered: every name it uses, how deep it is nested, what it goes through.
So it reaches neither a method nor a file, and its length is bounded by its own. A value that is missing for a customer
takes its fall-back (``{{ first_name|default:"there" }}``) or is an error that names it, never an empty hole.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
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

LONGEST: Final = 250_000
DEEPEST, MOST_LOOPS = 20, 2
DAY: Final = "j F Y"


class MissingValue(Exception):
    """A message cannot be written; the text says what is missing for whom, and what to change."""


class BadTemplate(MissingValue):
    """A template that is wrong for everybody; ``problems`` holds a sentence for each thing to change."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = list(problems)


# -- What a template may use


@dataclass(frozen=True)
class Each:
    """A list to go through, by the parts of each item."""

    help: str
    parts: Mapping[str, str]


@dataclass(frozen=True)
class Parts:
    """A value of several parts, each by its name."""

    help: str
    parts: Mapping[str, str]


@dataclass(frozen=True)
class Free:
    """A value whose parts have any names."""

    help: str


Known = str | Each | Parts | Free
"""What stands behind a name; a text is a plain value, and says what it is."""


class Missing:
    """A value that a customer lacks: false where it is asked for, an error where it is printed."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __getitem__(self, part: Any) -> "Missing":
        return self if isinstance(part, slice) else Missing(f"{self.name}.{part}")

    def __str__(self) -> str:
        raise MissingValue(
            f'{self.name} is missing. Give a fall-back, such as {{{{ {self.name}|default:"…" }}}},'
            f" or write what needs it between {{% if {self.name} %}} and {{% endif %}}."
        )


class Items(list[Any]):
    """A list of which an item that is not there is missing."""

    def __init__(self, name: str, items: Sequence[Any]) -> None:
        super().__init__(items)
        self.name = name

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, int) and not -len(self) <= place < len(self):
            return Missing(f"{self.name}.{place}")
        found = super().__getitem__(place)
        return Items(self.name, found) if isinstance(place, slice) else found


class FreeParts(dict[str, Any]):
    """Parts of which those that are not there are missing."""

    def __init__(self, name: str, parts: Mapping[str, Any]) -> None:
        super().__init__(parts)
        self.name = name

    def __missing__(self, part: str) -> Missing:
        return Missing(f"{self.name}.{part}")


# -- The tags and filters


class _Loop(ForNode):
    """Goes through a list; an empty one with nothing to say instead is a missing value."""

    @property
    def through(self) -> FilterExpression:
        """What it goes through."""
        return cast(FilterExpression, self.sequence)

    def render(self, context: Context) -> Any:
        if not self.nodelist_empty and not self.through.resolve(context):
            name = self.through.token.partition("|")[0]
            raise MissingValue(
                f"{name} is empty. Say between {{% empty %}} and {{% endfor %}} what stands there instead,"
                f" or write what needs it between {{% if {name} %}} and {{% endif %}}."
            )
        return super().render(context)


def _loop(parser: Parser, token: Token) -> _Loop:
    node = do_for(parser, token)
    return _Loop(
        node.loopvars, node.sequence, node.is_reversed, node.nodelist_loop, node.nodelist_empty or None
    )


def _date(value: Any, form: str = DAY) -> Any:
    if isinstance(value, Missing):
        str(value)
    return defaultfilters.date(value, form) if isinstance(value, date) else value


def _amount(value: Any, currency: str = "") -> Any:
    if isinstance(value, Missing):
        str(value)
    return written(value, currency or settings.SHOP_CURRENCY) if isinstance(value, Decimal) else value


def _default(value: Any, fallback: Any) -> Any:
    """Return the fall-back for what is missing; 0 is a value."""
    return fallback if isinstance(value, Missing) or value is None or value == "" else value


def _as_it_is(value: Any) -> Any:
    return value


FILTERS: Final[Mapping[str, str]] = {
    "default": "a fall-back for what is missing, which 0 is not: `default:\"there\"`",
    "amount": "an amount with its currency: 1,234.50 EUR",
    "date": "a day as “1 March 2026”, or in another of Django's formats: `date:\"j. n. Y\"`",
    "upper": "capital letters",
    "lower": "small letters",
    "title": "a capital letter for each word",
    "capfirst": "a capital letter for the first word",
    "truncatechars": "cut after so many characters",
    "truncatewords": "cut after so many words",
    "slice": "the first so many of a list: `slice:\":3\"`",
    "length": "how many there are",
    "pluralize": "an “s” where it is not one",
    "yesno": "one word for yes, another for no: `yesno:\"yes,no\"`",
    "urlencode": "for the middle of a link",
    "linebreaksbr": "keeps the lines of a text",
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
    # A plain text keeps its lines by itself.
    library.filter("linebreaksbr", defaultfilters.linebreaksbr if as_html else _as_it_is)
    return library


class _Engine(Engine):
    default_builtins = []

    def __init__(self, *, as_html: bool) -> None:
        super().__init__(loaders=[], autoescape=as_html)
        self.template_builtins = [_library(as_html=as_html)]


_ENGINES: Final = {as_html: _Engine(as_html=as_html) for as_html in (True, False)}


# -- Templates


@dataclass(frozen=True)
class Compiled:
    """A template that was checked, and the names of the values it uses."""

    template: Template
    names: frozenset[str]

    def render(self, values: dict[str, Any]) -> str:
        """Put values in; raises MissingValue."""
        return str(self.template.render(Context(values, autoescape=self.template.engine.autoescape)))


def is_closed(source: str) -> bool:
    """Tell whether whatever is opened is closed in its line; reading on where many are not would take minutes."""
    for line in source.splitlines():
        place = 0
        while opened := _OPENING.search(line, place):
            place = line.find(_ENDS[opened[0]], opened.end()) + 2
            if place == 1:
                return False
    return True


_ENDS: Final = {"{{": "}}", "{%": "%}", "{#": "#}"}
_OPENING: Final = re.compile(r"\{[{%#]")


def compile(source: str, known: Mapping[str, Known], *, as_html: bool) -> Compiled:
    """Read a template that may use the known values; raises BadTemplate."""
    if len(source) > LONGEST:
        raise BadTemplate([f"It is longer than {LONGEST:,} characters."])
    if not is_closed(source):
        raise BadTemplate(["A {{, {% or {# is not closed in its line."])
    try:
        template = Template(source, engine=_ENGINES[as_html])
    except TemplateSyntaxError as error:
        raise BadTemplate([_worded(str(error))]) from None
    except RecursionError:
        raise BadTemplate([f"It is nested deeper than {DEEPEST} levels."]) from None
    check = _Check(known)
    check.nodes(template.nodelist, {}, 0, 0)
    if check.problems:
        raise BadTemplate(list(dict.fromkeys(check.problems)))
    return Compiled(template, frozenset(check.names))


def _worded(complaint: str) -> str:
    if "Invalid block tag" in complaint:
        complaint = complaint.split(". Did you")[0] + f"; there are {', '.join(TAGS)}"
    if "Invalid filter" in complaint:
        complaint += f"; there are {', '.join(sorted(FILTERS))}"
    return complaint.rstrip(".") + "."


FORLOOP: Final = Parts(
    "where a loop is",
    {"counter": "from 1", "counter0": "from 0", "first": "is the first", "last": "is the last"},
)
Scope = Mapping[str, Known]


class _Check:
    """Walks through a template, and notes what it uses and what is wrong with it."""

    def __init__(self, known: Mapping[str, Known]) -> None:
        self.known = known
        self.names: set[str] = set()
        self.problems: list[str] = []

    def nodes(self, nodes: Iterable[Any], scope: Scope, depth: int, loops: int) -> None:
        """Check what stands in a row."""
        if depth > DEEPEST:
            self.problems.append(f"It is nested deeper than {DEEPEST} levels.")
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
                    self.problems.append(f"{type(node).__name__} is not for messages.")

    def loop(self, node: _Loop, scope: Scope, depth: int, loops: int) -> None:
        """Check a loop: through a list that there is, with one name, in at most one other."""
        kind = self.expression(node.through, scope)
        sliced = all(_name_of(made) == "slice" for made, _ in node.through.filters)
        if kind is not None and (not isinstance(kind, Each) or not sliced):
            self.problems.append(f"{node.through.token} is no list to go through.")
        if len(node.loopvars) != 1:
            self.problems.append("A loop has one name for its item, such as {% for product in viewed %}.")
        if loops > MOST_LOOPS:
            self.problems.append(f"Loops are nested deeper than {MOST_LOOPS}.")
        item = Parts(kind.help, kind.parts) if isinstance(kind, Each) else Free("")
        inside = {**scope, "forloop": FORLOOP, **dict.fromkeys(node.loopvars, item)}
        self.nodes(node.nodelist_loop, inside, depth + 1, loops)
        self.nodes(node.nodelist_empty, scope, depth + 1, loops)

    def condition(self, condition: Any, scope: Scope, depth: int) -> None:
        """Check a condition, which is a tree of its own."""
        if depth > DEEPEST:
            self.problems.append(f"A condition is longer than {DEEPEST} parts.")
            return
        if condition is None:
            return
        if isinstance(value := getattr(condition, "value", None), FilterExpression):
            self.expression(value, scope)
        self.condition(condition.first, scope, depth + 1)
        self.condition(condition.second, scope, depth + 1)

    def printed(self, expression: FilterExpression, scope: Scope) -> None:
        """Check what is put into the text: a plain value, or one that a filter has made plain."""
        kind = self.expression(expression, scope)
        if kind is None or isinstance(kind, str) or self._is_counted(expression):
            return
        example = f"{{% for one in {expression.var} %}}"
        if not isinstance(kind, Each):
            parts = kind.parts if isinstance(kind, Parts) else {"name": ""}
            example = f"{expression.var}.{next(iter(parts))}"
        self.problems.append(f"{expression.var} has parts: write {example}.")

    def named(self, expression: Any, scope: Scope) -> Known:
        """Check what gets another name, and give what stands behind it."""
        kind = self.expression(expression, scope)
        return "" if kind is None or self._is_counted(expression) else kind

    def expression(self, expression: FilterExpression, scope: Scope) -> Known | None:
        """Check a value with its filters; give what it is, None where it is a word or unknown."""
        for _, arguments in expression.filters:
            for is_variable, argument in arguments:
                if is_variable and not isinstance(self.variable(argument, scope), str | None):
                    self.problems.append(f"{argument} has parts, and is not for a filter.")
        return self.variable(expression.var, scope) if isinstance(expression.var, Variable) else None

    def variable(self, variable: Variable, scope: Scope) -> Known | None:
        """Check one name, such as ``last_order.date`` or ``viewed.0.name``."""
        if variable.lookups is None:
            return None
        name, *parts = variable.lookups
        kind = scope.get(name)
        if kind is None:
            kind = self.known.get(name)
            self.names.add(name)
        for part in parts:
            kind = _part(kind, part)
        if kind is None:
            self.problems.append(f"There is no {variable}.")
        return kind

    def _is_counted(self, expression: FilterExpression) -> bool:
        return any(_name_of(made) == "length" for made, _ in expression.filters)


def _part(kind: Known | None, part: str) -> Known | None:
    match kind:
        case Each():
            return (
                Parts(kind.help, kind.parts) if part.isascii() and part.isdigit() and len(part) < 4 else None
            )
        case Parts():
            return kind.parts.get(part)
        case Free():
            return "" if not part.startswith("_") else None
    return None


def _name_of(made: Any) -> str:
    return str(getattr(made, "_filter_name", ""))
