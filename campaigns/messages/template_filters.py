"""The filters of the template language of messages: Liquid's, as far as they cannot join what a value separates.

``campaigns.messages.plain_text`` breaks a domain in a value by a space, so no filter removes, replaces or decodes
parts of a text. A filter raises MissingValue where its value is missing, too long or of another kind.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import ROUND_HALF_UP, Decimal, DecimalException
from functools import wraps
from typing import Any, Final
from urllib.parse import quote

from django.utils import dateformat, dateparse, timezone
from liquid import RenderContext, Undefined
from liquid.filter import with_context
from markupsafe import Markup, escape

from core.shop import shop
from core.templatetags.display import amount

from .date_formats import InvalidDateFormat, django_date_format
from .variable_types import Missing, MissingValue

MAX_TEXT_LENGTH: Final = 20_000
MAX_FILTERED_TEXT: Final = 1_000_000
"""The characters that all filters of texts may read while one part of a message is rendered."""
MAX_NUMBER: Final = Decimal(10) ** 15
DATE_FORMAT: Final = "%-d %B %Y"
SENT_AT: Final = "the instant of sending"
"""The name of a value that no template can use: it has spaces. ``"now" | date`` formats it."""

# A letter behind a space or a sign, also O'Neil and Anna-Lena, but not don't; entities of escaped texts stay.
_WORD_START: Final = re.compile(r"(&(?:[a-z]+|#\w+);)|(?<![^\W_])(?<!\w\w['’])[^\W\d_]")

Function = Callable[..., Any]

_work_left: ContextVar[int] = ContextVar("filters_work_left", default=MAX_FILTERED_TEXT)


@dataclass(frozen=True)
class TemplateFilter:
    """A filter; ``sample`` is a value to which it can be applied, to check its arguments before the first message."""

    function: Function
    help: str
    sample: Any = "text"


FILTERS: Final[dict[str, TemplateFilter]] = {}


def print_value(value: Any) -> str:
    """Return a value as text. Raises MissingValue for a missing value and for one that has several parts."""
    match value:
        case Missing() | Undefined():
            raise _missing(value)
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case date():
            return format_date(value)
        case Decimal():
            return f"{value:f}"
        case int() | float():
            return str(value)
    raise MissingValue("A value with several parts cannot be printed. Print one of its parts.")


def _missing(value: Missing | Undefined) -> MissingValue:
    if isinstance(value, Missing):
        return value.error()
    return MissingValue(f"{value.name} has no value here. Assign it in every case.")


def _filter(help_text: str, sample: Any = "text") -> Callable[[Function], Function]:
    """Register a function as the filter of its name, without the underscore at its end."""

    def register(function: Function) -> Function:
        FILTERS[function.__name__.rstrip("_")] = TemplateFilter(function, help_text, sample)
        return function

    return register


def _text_filter(help_text: str) -> Callable[[Function], Function]:
    """Register a function of a text, whose result has a limited length."""

    def register(function: Function) -> Function:
        @wraps(function)
        def limited(value: Any, *arguments: Any) -> Any:
            text = print_value(value)
            _count_work(len(text))
            result = function(text, *arguments)
            if len(result) > MAX_TEXT_LENGTH:
                raise MissingValue(f"A text becomes longer than {MAX_TEXT_LENGTH:,} characters.")
            return result

        return _filter(help_text)(limited)

    return register


@contextmanager
def limited_work() -> Iterator[None]:
    """Limit what the filters of texts read, all together, so that no template costs much time."""
    before = _work_left.set(MAX_FILTERED_TEXT)
    try:
        yield
    finally:
        _work_left.reset(before)


def _count_work(characters: int) -> None:
    left = _work_left.get() - characters
    if left < 0:
        raise MissingValue("The template costs too much: use fewer filters on long texts.")
    _work_left.set(left)


# -- Fallbacks, amounts and dates


@_filter('a fallback for a value that is missing or false; 0 is a value: `default: "there"`')
def default(value: Any, fallback: Any = "", *, allow_false: Any = False) -> Any:
    if value is False:
        return value if allow_false is True else fallback
    is_missing = isinstance(value, Missing | Undefined) or value is None or value in ("", [])
    return fallback if is_missing else value


@_filter('an amount with its currency, 1,234.50 EUR; or with another one: `money: "USD"`', sample=1)
def money(value: Any, currency: Any = "") -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return print_value(value)
    return amount(_number(value), print_value(currency) or shop().currency)


@_filter(
    'a day as “1 March 2026”, or in another format: `date: "%d/%m/%Y"`; of `"now"`, the day of sending',
    sample=date(2026, 3, 1),
)
@with_context
def date_(value: Any, date_format: Any = DATE_FORMAT, *, context: Any = None) -> Any:
    if value == "now" and isinstance(context, RenderContext):
        value = context.globals.get(SENT_AT, value)
    return format_date(_parse_date(value), print_value(date_format))


def format_date(value: Any, date_format: str = DATE_FORMAT) -> str:
    """Format a date, or an instant in the shop's time zone. Anything else is printed as it is."""
    if not isinstance(value, date):
        return print_value(value)
    try:
        pattern = django_date_format(date_format)
    except InvalidDateFormat as error:
        raise MissingValue(str(error)) from None
    instant = value if isinstance(value, datetime) else datetime.combine(value, time.min)
    return dateformat.format(timezone.localtime(instant) if timezone.is_aware(instant) else instant, pattern)


def _parse_date(value: Any) -> Any:
    """Return the date that a text in ISO 8601 means, and any other value as it is."""
    if not isinstance(value, str):
        return value
    try:
        return dateparse.parse_datetime(value) or dateparse.parse_date(value) or value
    except ValueError:  # in the format, but no date
        return value


# -- Texts


@_text_filter("in capital letters")
def upcase(text: str) -> str:
    return text.upper()


@_text_filter("in small letters")
def downcase(text: str) -> str:
    return text.lower()


@_text_filter("the first letter is a capital, the others are small")
def capitalize(text: str) -> str:
    return text.capitalize()


@_text_filter("a capital letter for the first word")
def capfirst(text: str) -> str:
    return text[:1].upper() + text[1:]


@_text_filter("a capital letter for each word")
def title(text: str) -> str:
    return type(text)(
        _WORD_START.sub(lambda start: start[0] if start[1] else start[0].upper(), str(text).lower())
    )


@_text_filter('shortened to a number of characters, with the dots: `truncate: 20, "…"`')
def truncate(text: str, length: Any = 50, end: Any = "...") -> str:
    length, end = _whole_number(length), print_value(end)
    return text if len(text) <= length else text[: max(length - len(end), 0)] + end


@_text_filter('shortened to a number of words: `truncatewords: 5, "…"`')
def truncatewords(text: str, count: Any = 15, end: Any = "...") -> str:
    words, count = text.split(), max(_whole_number(count), 1)
    return text if len(words) <= count else type(text)(" ").join(words[:count]) + print_value(end)


@_text_filter("with a text after it")
def append(text: str, other: Any) -> str:
    return text + print_value(other)


@_text_filter("with a text before it")
def prepend(text: str, other: Any) -> str:
    return print_value(other) + text


@_text_filter("encoded for a URL")
def url_encode(text: str) -> str:
    return quote(text, safe="")


@_text_filter("escaped for HTML, as every value in HTML is anyway")
def escape_(text: str) -> str:
    return escape(text)


@_text_filter("line breaks as `<br>`")
def newline_to_br(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return Markup("<br>").join(lines)


# -- Lists


@_filter("the number of elements, or of characters")
def size(value: Any) -> int:
    return len(value) if isinstance(value, list | Missing) else len(print_value(value))


@_filter("the first element", sample=[1])
def first(value: Any) -> Any:
    return value[0] if isinstance(value, list | Missing) else print_value(value)


@_filter("the last element", sample=[1])
def last(value: Any) -> Any:
    return value[-1] if isinstance(value, list | Missing) else print_value(value)


@_filter("some of the elements or characters, from a place on: `slice: 0, 3`")
def slice_(value: Any, start: Any, length: Any = 1) -> Any:
    start, length = _whole_number(start), _whole_number(length)
    end = start + length
    elements = value if isinstance(value, list | Missing) else print_value(value)
    return elements[start : None if start < 0 <= end else end]


# -- Numbers and choices


@_filter('one word for 1, another for other numbers: `pluralize: "order", "orders"`', sample=1)
def pluralize(value: Any, singular: Any, plural: Any) -> Any:
    return singular if _number(value) == 1 else plural


@_filter('one word if there is a value, another if not: `yesno: "yes", "no"`')
def yesno(value: Any, yes: Any, no: Any) -> Any:
    return yes if value else no


@_filter("with a number added", sample=1)
def plus(value: Any, other: Any) -> Decimal:
    return _number(_number(value) + _number(other))


@_filter("with a number subtracted", sample=1)
def minus(value: Any, other: Any) -> Decimal:
    return _number(_number(value) - _number(other))


@_filter("multiplied by a number", sample=1)
def times(value: Any, other: Any) -> Decimal:
    return _number(_number(value) * _number(other))


@_filter("divided by a number", sample=1)
def divided_by(value: Any, other: Any) -> Decimal:
    try:
        return _number(_number(value) / _number(other))
    except DecimalException:
        raise MissingValue("Nothing can be divided by 0.") from None


@_filter("rounded to a number of decimals: `round: 2`", sample=1)
def round_(value: Any, decimals: Any = 0) -> Decimal:
    places = min(max(_whole_number(decimals), 0), 10)
    return _number(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _number(value: Any) -> Decimal:
    """Return a number, or the number that a text spells."""
    text = print_value(value).strip()
    try:
        number = Decimal(text)
    except DecimalException:
        raise MissingValue(f"{text[:40]!r} is not a number.") from None
    if not number.is_finite() or number.copy_abs() > MAX_NUMBER:  # abs() itself can overflow
        raise MissingValue(f"{text[:40]!r} is too large a number.")
    return number


def _whole_number(value: Any) -> int:
    return int(_number(value))


HELP: Final[Mapping[str, str]] = {name: template_filter.help for name, template_filter in FILTERS.items()}
