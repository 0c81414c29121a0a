"""The values of parameters: numbers, spans, dates and texts, each with its bounds and its JSON Schema."""

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationError, WithJsonSchema

from core.durations import UNITS_BY_LETTER, parse_duration
from core.values import regexes
from core.values.regexes import FIRST_YEAR, LAST_YEAR
from core.values.text_cleaning import to_nfc

from .errors import RuleError

MAX_NUMBER = 10**30
MAX_SPAN = timedelta(days=36_500)
MAX_AHEAD = timedelta(days=400)
"""How far ahead a rule can be asked."""
MAX_TEXT_LENGTH = 1_000
MAX_LIST_LENGTH = 1_000

_NO_DAYS = re.compile("0{1,9}[dw]", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("expected a number")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or abs(number) > MAX_NUMBER:
        raise ValueError(f"expected a number between -{MAX_NUMBER} and {MAX_NUMBER}")
    return number


def _share(value: Any) -> Decimal:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError("expected a share between 0 and 1, such as 0.5")
    return number


def _percentage(value: Any) -> Decimal:
    number = _number(value)
    if not 0 < number <= 100:
        raise ValueError("expected a percentage over 0, up to 100")
    return number


def _span(value: Any) -> timedelta:
    span = parse_duration(value if isinstance(value, str) else "")
    if not timedelta(0) < span <= MAX_SPAN:
        raise ValueError(f"expected a span of at least a minute and at most {MAX_SPAN.days} days")
    return span


def _ahead(value: Any) -> timedelta:
    span = _span(value)
    if span > MAX_AHEAD:
        raise ValueError(f"expected a span of at most {MAX_AHEAD.days} days")
    return span


def _days(value: Any) -> timedelta:
    if not isinstance(value, str) or not value.endswith(("d", "w")):
        raise ValueError('expected a span in days, such as "7d" or "2w"; "0d" is today')
    return timedelta() if _NO_DAYS.fullmatch(value) else _span(value)


def _day(value: Any) -> date:
    try:
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            raise ValueError
        day = date.fromisoformat(value)
    except ValueError:
        raise ValueError('expected a date such as "2026-03-31"') from None
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise ValueError(f"expected a date between the years {FIRST_YEAR} and {LAST_YEAR}")
    return day


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a text")
    text = to_nfc(value)
    if not text:
        raise ValueError(
            'expected a text that is not empty; to ask for a missing value, write {"exists": false}'
        )
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(f"expected a text of at most {MAX_TEXT_LENGTH} characters")
    if "\x00" in text or (
        not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
    ):
        raise ValueError("expected a text without NUL characters and half surrogate pairs")
    return text


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("expected a list of texts that is not empty")
    if len(value) > MAX_LIST_LENGTH:
        raise ValueError(f"expected at most {MAX_LIST_LENGTH} values")
    return tuple(map(_text, value))


def _pair(read: Any) -> Any:
    def pair(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != 2:
            raise ValueError("expected a list of two, [low, high]")
        low, high = map(read, value)
        if high < low:
            raise ValueError(f"expected [low, high]; {value[0]} is more than {value[1]}")
        return low, high

    return pair


def _buckets(value: Any) -> tuple[int, int]:
    low, high = _pair(_number)(value)
    if low != int(low) or high != int(high) or low < 0 or high > 99:
        raise ValueError("expected two whole numbers from 0 to 99")
    return int(low), int(high)


def _slug(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[-a-zA-Z0-9_]{1,100}", value):
        raise ValueError("expected the slug of a segment: letters, digits, - and _")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _span_pattern(*units: str, longest: timedelta = MAX_SPAN) -> str:
    counts = {unit: regexes.positive_integer_up_to(longest // UNITS_BY_LETTER[unit]) for unit in units}
    return f"^0*({'|'.join(count + unit for unit, count in counts.items())})$"


def _schema(read: Any, **schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(Annotated[Any, BeforeValidator(read), WithJsonSchema(schema)])


_number_schema = {
    "title": "NumberValue",
    "type": "number",
    "minimum": -MAX_NUMBER,
    "maximum": MAX_NUMBER,
}
_share_schema = {"title": "ShareValue", "type": "number", "minimum": 0, "maximum": 1}
_day_schema = {"title": "Day", "type": "string", "format": "date", "pattern": f"^{regexes.DATE}$"}
_text_schema = {"title": "TextValue", "type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH}

NUMBER = _schema(_number, **_number_schema)
NUMBERS = _schema(
    _pair(_number), title="NumberRange", type="array", items=_number_schema, minItems=2, maxItems=2
)
SHARE = _schema(_share, **_share_schema)
SHARES = _schema(_pair(_share), title="ShareRange", type="array", items=_share_schema, minItems=2, maxItems=2)
PERCENTAGE = _schema(_percentage, type="number", exclusiveMinimum=0, maximum=100)
SPAN = _schema(
    _span,
    title="Span",
    type="string",
    pattern=_span_pattern("m", "h", "d", "w"),
    examples=["90m", "12h", "30d", "4w"],
)
AHEAD = _schema(
    _ahead,
    title="SpanAhead",
    type="string",
    pattern=_span_pattern("m", "h", "d", "w", longest=MAX_AHEAD),
    examples=["12h", "7d", "4w"],
)
DAYS = _schema(
    _days,
    title="SpanInDays",
    type="string",
    pattern=f"{_span_pattern('d', 'w')}|^0{{1,9}}[dw]$",
    examples=["0d", "7d", "2w"],
)
DAY = _schema(_day, **_day_schema)
PERIOD = _schema(_pair(_day), title="DayRange", type="array", items=_day_schema, minItems=2, maxItems=2)
TEXT = _schema(_text, **_text_schema)
TEXTS = _schema(
    _texts, title="TextList", type="array", items=_text_schema, minItems=1, maxItems=MAX_LIST_LENGTH
)
SLUG = _schema(_slug, type="string", pattern="^[-a-zA-Z0-9_]{1,100}$")
FLAG = _schema(_flag, type="boolean")
BUCKETS = _schema(
    _buckets, type="array", items={"type": "integer", "minimum": 0, "maximum": 99}, minItems=2, maxItems=2
)


def choice(*choices: str) -> TypeAdapter[Any]:
    """Return the adapter for one of some words."""

    def read(value: Any) -> str:
        if value not in choices or not isinstance(value, str):
            raise ValueError(f"expected one of {', '.join(map(repr, choices))}")
        return value

    return _schema(read, type="string", enum=list(choices))


def parse_value(adapter: TypeAdapter[Any], value: Any, path: str) -> Any:
    """Parse a value; raise RuleError with the path if it is invalid."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise RuleError(path, error.errors()[0]["msg"].removeprefix("Value error, ")) from None
