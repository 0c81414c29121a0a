"""The template language of messages: Django's, restricted to a few tags, filters and variables.

A template is checked as a whole before it is rendered: the names it uses, its nesting and its loops. So it cannot call
methods or read files, and the length of its output is bounded. A value that is missing for a customer takes its
fallback (``{{ first_name|default:"there" }}``) or raises an error that names it; it never prints as nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.template import Context, Template, TemplateSyntaxError

from .template_checker import MAX_DEPTH, TemplateChecker
from .template_tags import ENGINES, FILTERS, TAGS
from .variable_types import InvalidTemplate, VariableType

MAX_LENGTH: Final = 250_000
_OPENING: Final = re.compile(r"\{[{%#]")
_CLOSINGS: Final = {"{{": "}}", "{%": "%}", "{#": "#}"}


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
        position = 0
        while opened := _OPENING.search(line, position):
            end = line.find(_CLOSINGS[opened[0]], opened.end())
            if end < 0:
                return False
            position = end + 2
    return True


def compile_template(
    source: str, variables: Mapping[str, VariableType], *, as_html: bool
) -> CompiledTemplate:
    """Compile a template that may use these variables. Raises InvalidTemplate."""
    if len(source) > MAX_LENGTH:
        raise InvalidTemplate([f"The template is longer than {MAX_LENGTH:,} characters."])
    if not has_closed_tags(source):
        raise InvalidTemplate(["A {{, {% or {# is not closed in its line."])
    try:
        template = Template(source, engine=ENGINES[as_html])
    except TemplateSyntaxError as error:
        raise InvalidTemplate([_syntax_problem(str(error))]) from None
    except RecursionError:
        raise InvalidTemplate([f"The template is nested deeper than {MAX_DEPTH} levels."]) from None
    checker = TemplateChecker(variables)
    checker.check_nodes(template.nodelist, {}, 0, 0)
    if checker.problems:
        raise InvalidTemplate(list(dict.fromkeys(checker.problems)))
    return CompiledTemplate(template, frozenset(checker.names))


def _syntax_problem(text: str) -> str:
    if "Invalid block tag" in text:
        text = text.split(". Did you")[0] + f"; there are {', '.join(TAGS)}"
    if "Invalid filter" in text:
        text += f"; there are {', '.join(sorted(FILTERS))}"
    return text.rstrip(".") + "."
