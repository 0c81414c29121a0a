"""The tags and filters of the template language of messages."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, cast

from django.conf import settings
from django.template import Context, Engine, Library, defaultfilters, defaulttags
from django.template.base import FilterExpression, Parser, Token
from django.template.defaulttags import ForNode, do_for

from core.templatetags.display import amount as format_amount

from .variable_types import Missing, MissingValue

DATE_FORMAT: Final = "j F Y"


class LoopNode(ForNode):
    """A loop over a list. An empty list without ``{% empty %}`` is a missing value."""

    @property
    def items(self) -> FilterExpression:
        return cast(FilterExpression, self.sequence)

    def render(self, context: Context) -> Any:
        if not self.nodelist_empty and not self.items.resolve(context):
            name = self.items.token.partition("|")[0]
            raise MissingValue(
                f"{name} is empty. Put a replacement between {{% empty %}} and {{% endfor %}},"
                f" or put the text that needs it between {{% if {name} %}} and {{% endif %}}."
            )
        return super().render(context)


def _parse_loop(parser: Parser, token: Token) -> LoopNode:
    node = do_for(parser, token)
    return LoopNode(
        node.loopvars, node.sequence, node.is_reversed, node.nodelist_loop, node.nodelist_empty or None
    )


def _format_date(value: Any, date_format: str = DATE_FORMAT) -> Any:
    if isinstance(value, Missing):
        value.fail()
    return defaultfilters.date(value, date_format) if isinstance(value, date) else value


def _format_amount(value: Any, currency: str = "") -> Any:
    if isinstance(value, Missing):
        value.fail()
    return format_amount(value, currency or settings.SHOP_CURRENCY) if isinstance(value, Decimal) else value


def _default(value: Any, fallback: Any) -> Any:
    """Return the fallback for a missing value; 0 is a value."""
    return fallback if isinstance(value, Missing) or value is None or value == "" else value


def _identity(value: Any) -> Any:
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


_OWN_FILTERS: Final = {"default", "date", "amount", "linebreaksbr"}


def _library(*, as_html: bool) -> Library:
    library = Library()
    for name in TAGS:
        library.tag(name, _parse_loop if name == "for" else defaulttags.register.tags[name])
    for name in FILTERS.keys() - _OWN_FILTERS:
        library.filters[name] = defaultfilters.register.filters[name]
    library.filter("default", _default)
    library.filter("date", _format_date, expects_localtime=True)
    library.filter("amount", _format_amount)
    # Plain text keeps its lines without it.
    library.filter("linebreaksbr", defaultfilters.linebreaksbr if as_html else _identity)
    return library


class _Engine(Engine):
    default_builtins = []

    def __init__(self, *, as_html: bool) -> None:
        super().__init__(loaders=[], autoescape=as_html)
        self.template_builtins = [_library(as_html=as_html)]


ENGINES: Final = {as_html: _Engine(as_html=as_html) for as_html in (True, False)}
