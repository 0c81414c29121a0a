"""The tags of the template language of messages, and Liquid with only these tags and our filters.

The limits bound what one message can cost, whatever its template says.
"""

from collections.abc import Mapping
from typing import Final, TextIO

from liquid import Environment, FalsyStrictUndefined, RenderContext
from liquid.builtin import content, illegal, output
from liquid.builtin.expressions.primitive import Blank, Empty
from liquid.builtin.tags import (
    assign_tag,
    case_tag,
    comment_tag,
    for_tag,
    if_tag,
    inline_comment_tag,
    unless_tag,
)
from liquid.expression import Expression
from markupsafe import escape

from .template_filters import FILTERS, print_value
from .variable_types import Missing, MissingValue

MAX_DEPTH: Final = 20
MAX_OUTPUT: Final = 1_000_000
"""The length of a rendered part, in bytes."""

TAGS: Final[Mapping[str, str]] = {
    "if": "`{% if first_name %} … {% elsif … %} … {% else %} … {% endif %}`",
    "unless": "`{% unless cart %} … {% endunless %}`",
    "case": "`{% case country %}{% when \"DE\", \"AT\" %} … {% else %} … {% endcase %}`",
    "for": "`{% for product in viewed limit: 3 %} … {% else %} … {% endfor %}`",
    "assign": "`{% assign greeting = first_name %}`",
    "comment": "`{% comment %} … {% endcomment %}`, or in one tag: `{% # … %}`",
}  # fmt: skip


class ValueNode(output.OutputNode):
    """A printed value."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        value = print_value(self.expression.evaluate(context))
        return buffer.write(escape(value) if getattr(context.env, "as_html", True) else value)


class ValueTag(output.Output):
    node_class = ValueNode


class LoopNode(for_tag.ForNode):
    """A loop over a list. An empty list without ``{% else %}`` is a missing value."""

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        if not self.default and not self.expression.iterable.evaluate(context):
            name = self.expression.iterable
            raise MissingValue(
                f"{name} is empty. Put a replacement between {{% else %}} and {{% endfor %}},"
                f" or put the text that needs it between {{% if {name} %}} and {{% endif %}}."
            )
        return super().render_to_output(context, buffer)


class LoopTag(for_tag.ForTag):
    node_class = LoopNode


class BlankExpression(Expression):
    """A comparison with ``blank`` or ``empty``: true for what is missing, and for a text or a list without content."""

    def __init__(self, value: Expression, *, is_negated: bool) -> None:
        super().__init__(value.token)
        self.value, self.is_negated = value, is_negated

    def evaluate(self, context: RenderContext) -> bool:
        value = self.value.evaluate(context)
        is_blank = isinstance(value, Missing) or value is None or value is False or value == []
        if isinstance(value, str):
            is_blank = not value.strip()
        return is_blank is not self.is_negated

    def children(self) -> list[Expression]:
        return [self.value]


def is_blank_literal(expression: Expression) -> bool:
    return isinstance(expression, Blank | Empty)


class MessageEnvironment(Environment):
    """Liquid with our tags and filters, and without the others."""

    block_nesting_limit = MAX_DEPTH
    loop_iteration_limit = 1_000
    local_namespace_limit = 100_000
    output_stream_limit = MAX_OUTPUT
    suppress_blank_control_flow_blocks = False
    logical_not_operator = True
    logical_parentheses = True

    def __init__(self, *, as_html: bool) -> None:
        self.as_html = as_html
        # Liquid's own escaping would trust the texts in quotes, and with them what no check has seen.
        super().__init__(undefined=FalsyStrictUndefined, autoescape=False)

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        for tag in (
            content.Literal, ValueTag, illegal.Illegal, if_tag.IfTag, unless_tag.UnlessTag, case_tag.CaseTag, LoopTag,
            assign_tag.AssignTag, comment_tag.CommentTag, inline_comment_tag.InlineCommentTag,
        ):  # fmt: skip
            self.add_tag(tag)
        for name, template_filter in FILTERS.items():
            self.add_filter(name, template_filter.function)
        if not self.as_html:  # plain text keeps its lines and signs
            self.add_filter("newline_to_br", print_value)
            self.add_filter("escape", print_value)


ENVIRONMENTS: Final = {as_html: MessageEnvironment(as_html=as_html) for as_html in (True, False)}
