"""The template language of messages: Liquid, with a few tags and filters, and only the declared variables.

A template is checked as a whole before it is rendered: the names it uses, its filters and its loops. A value that is
missing for a customer takes its fallback (``{{ first_name | default: "there" }}``) or raises an error that names it;
it never prints as nothing. Limits bound the depth, the loops and the length of what is rendered.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from liquid import BoundTemplate, RenderContext
from liquid.exceptions import LiquidError, OutputStreamLimitError, ResourceLimitError

from .template_checker import TemplateChecker
from .template_environment import ENVIRONMENTS, MAX_DEPTH, TAGS
from .template_filters import limited_work
from .variable_types import InvalidTemplate, MissingValue, VariableType

MAX_LENGTH: Final = 250_000
MAX_TAG_LENGTH: Final = 500
_OPENING: Final = re.compile(r"\{[{%]")
_VERBATIM: Final = re.compile(r"\{%-?\s*(raw|doc)\b")  # Liquid reads to their end, wherever that is
_QUOTED: Final = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'")
_WIDE_NOT: Final = re.compile(
    r"\{%-?\s*(?:if|elsif|unless)\b[^%\n]*?\bnot\s+(?:\((?:[^()\n]|\([^()\n]*\))*\)|[^\s()]+)"
    r"(?:\s*(?:[=!<>]=?|<>|contains)\s*[^\s()]+)?\s+(?:and|or)\b"
)
_CLOSINGS: Final = {"{{": "}}", "{%": "%}"}


@dataclass(frozen=True)
class CompiledTemplate:
    """A checked template, the names of the variables it uses, and those of the answers of staff, in their order."""

    template: BoundTemplate
    names: frozenset[str]
    answers: tuple[str, ...] = ()

    def render(self, values: Mapping[str, Any]) -> str:
        """Render with these values. Raises MissingValue."""
        try:
            with limited_work():
                return self.template.render(values)
        except OutputStreamLimitError:
            raise MissingValue("The message becomes too long. Shorten it, or print fewer products.") from None
        except ResourceLimitError as error:
            raise MissingValue(f"The template costs too much: {_sentence(error)}") from None
        except LiquidError as error:
            raise MissingValue(_sentence(error)) from None


def tag_problem(source: str) -> str:
    """Return why the tags of a template cannot even be found; parsing it would take minutes. Empty if they can."""
    for line in source.splitlines():
        position = 0
        while opened := _OPENING.search(line, position):
            end = line.find(_CLOSINGS[opened[0]], opened.end())
            if not 0 <= end - opened.start() <= MAX_TAG_LENGTH:
                return f"A {{{{ or {{% is not closed in its line, or within {MAX_TAG_LENGTH} characters."
            position = end + 2
    if _WIDE_NOT.search(_QUOTED.sub("''", source)):
        return "“not” reaches to the end of a condition. Put it in parentheses: (not city) and first_name."
    verbatim = _VERBATIM.search(source)
    return f"There is no tag {verbatim[1]}; there are {', '.join(TAGS)}." if verbatim else ""


def compile_template(
    source: str, variables: Mapping[str, VariableType], *, as_html: bool
) -> CompiledTemplate:
    """Compile a template that may use these variables. Raises InvalidTemplate."""
    if len(source) > MAX_LENGTH:
        raise InvalidTemplate([f"The template is longer than {MAX_LENGTH:,} characters."])
    if problem := tag_problem(source):
        raise InvalidTemplate([problem])
    try:
        template = ENVIRONMENTS[as_html].from_string(source)
        checker = TemplateChecker(variables, RenderContext(template))
        with limited_work():
            checker.check_nodes(template.nodes, {})
    except ResourceLimitError:
        raise InvalidTemplate([f"The template is nested deeper than {MAX_DEPTH} levels."]) from None
    except LiquidError as error:
        if isinstance(error.__cause__, RecursionError):
            raise InvalidTemplate(["A condition is too long."]) from None
        raise InvalidTemplate([_sentence(error)]) from None
    except RecursionError:
        raise InvalidTemplate(["A condition is too long."]) from None
    if checker.problems:
        raise InvalidTemplate(list(dict.fromkeys(checker.problems)))
    return CompiledTemplate(template, frozenset(checker.names), tuple(checker.answers))


def _sentence(error: LiquidError) -> str:
    """Return an error of Liquid as a sentence with its line."""
    text = str(error.message or error.args or "").strip().rstrip(".")
    if "unexpected tag" in text:
        text += f"; there are {', '.join(TAGS)}"
    try:
        place = error.context()
    except ValueError:  # at the end of the template
        place = None
    return f"Line {place[0]}: {text}." if place else f"{text[:1].upper()}{text[1:]}."
