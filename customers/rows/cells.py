"""Parsing of single cells: texts, ids, numbers, dates and times."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from core.values import decimals, email_addresses, phone_numbers, sortable_values
from core.values.regexes import FIRST_YEAR, LAST_YEAR
from core.values.text_cleaning import clean_text, to_nfc
from customers.models import Customer
from customers.models.customer import ANONYMOUS_PREFIX

MAX_TEXT, MAX_NAME, MAX_EMAIL, MAX_PROPERTIES = 255, 1000, email_addresses.MAX_EMAIL_LENGTH, 65_536
CONSENT_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("true", "yes", "1", "subscribed"), Customer.Newsletter.SUBSCRIBED.value),
    **dict.fromkeys(("false", "no", "0", "unsubscribed"), Customer.Newsletter.UNSUBSCRIBED.value),
    "never": Customer.Newsletter.NEVER.value,
}
"""The words for consent in files, the API and messages, in lower case."""
_BETWEEN_THOUSANDS = re.compile(r"(?<=\d) (?=\d{3}(?!\d))", re.ASCII)
_ROUNDED_ID = re.compile(r"[+-]?\d(?:[.,]\d+)?[eE]\+\d{2,3}", re.ASCII)


class InvalidRow(ValueError):
    """A row that is invalid. The message says what to change, and starts with the invalid column, if any."""

    def __init__(self, reason: str, column: str = "") -> None:
        super().__init__(reason)
        self.column = column or reason.partition(":")[0]


def is_valid_attribute_name(name: str) -> bool:
    return 1 <= len(name) <= 100 and "\x00" not in name


def read_text(value: str, column: str, most: int = MAX_TEXT) -> str:
    value = to_nfc(value)
    if len(value) > most:
        raise InvalidRow(f"{column}: longer than {most} characters", column)
    if "\x00" in value:
        raise InvalidRow(f"{column}: contains a NUL character", column)
    return value


def read_optional(row: Mapping[str, str], column: str, most: int = MAX_TEXT) -> str | None:
    value = row.get(column)
    return read_text(value, column, most) if value else None


def read_folded_pair(
    row: Mapping[str, str], column: str, most: int = MAX_TEXT
) -> tuple[str | None, str | None]:
    value = read_optional(row, column, most)
    return (None, None) if value is None else (value, sortable_values.fold_case(value))


def read_id(row: Mapping[str, str], column: str) -> str:
    value = row.get(column)
    if not value:
        raise InvalidRow(f"{column}: missing")
    return check_id(value, column)


def is_rounded_id(value: str) -> bool:
    """Return whether a spreadsheet has rounded an id: ``6.12346E+12`` can stand for ten million ids."""
    return value.isascii() and _ROUNDED_ID.fullmatch(value) is not None


def check_id(value: str, column: str) -> str:
    """Return a valid id. Raises InvalidRow if a spreadsheet has rounded it."""
    if is_rounded_id(value):
        raise InvalidRow(
            f"{column}: {value!r} was rounded by a spreadsheet; format the column as text in the spreadsheet,"
            " and export the file again"
        )
    return read_text(value, column)


def read_customer_id(row: Mapping[str, str]) -> str:
    value = read_id(row, "customer_id")
    if value.startswith(ANONYMOUS_PREFIX):
        raise InvalidRow(
            f"customer_id: {value!r} is the public id of an anonymous visitor; use the shop's own customer id"
        )
    return value


def read_anonymous_id(value: str) -> str:
    # The public id needs room for its prefix.
    return read_text(check_id(value, "anonymous_id"), "anonymous_id", MAX_TEXT - len(ANONYMOUS_PREFIX))


def read_email(value: str) -> str | None:
    try:
        return email_addresses.normalize_email(value) or None
    except email_addresses.InvalidEmail as error:
        raise InvalidRow(f"email: {error}") from None


def read_phone(value: str) -> str | None:
    if not value:
        return None
    try:
        return phone_numbers.normalize_phone(value)
    except ValueError as error:
        raise InvalidRow(f"phone: {error}") from None


def read_choice(row: Mapping[str, str], column: str, choices: frozenset[str]) -> str | None:
    value = row.get(column)
    if not value or value in choices:
        return value or None
    word = clean_text(value).casefold()
    if word not in choices:
        raise InvalidRow(f"{column}: {value!r} is not one of {', '.join(sorted(choices))}")
    return word


def read_consent(row: Mapping[str, str]) -> str | None:
    value = row.get("newsletter")
    if not value:
        return None
    if (state := CONSENT_WORDS.get(value.lower())) is None:
        raise InvalidRow(f"newsletter: {value!r} is not one of {', '.join(sorted(CONSENT_WORDS))}")
    return state


def read_units(row: Mapping[str, str], column: str) -> int | None:
    value = row.get(column)
    if not value:
        return None
    try:
        return _parse_units(value)
    except ValueError as error:
        raise InvalidRow(f"{column}: {error}") from None


@lru_cache(maxsize=4096)
def _parse_units(value: str) -> int:
    try:
        return decimals.parse_units(value)
    except ValueError:
        # Spaces between thousands, a typographic minus, marks of direction.
        if (plain := _BETWEEN_THOUSANDS.sub("", clean_text(value))) == value:
            raise
    try:
        return decimals.parse_units(plain)
    except ValueError:
        return decimals.parse_units(value)  # its message contains the original value


def read_date(row: Mapping[str, str], column: str, zone: ZoneInfo) -> date | None:
    value = row.get(column)
    if not value:
        return None
    try:
        day = _day(value, zone)
        _check_year(day.year, value)
    except (ValueError, OverflowError) as error:
        reason = error if "between" in str(error) else f"{value!r} is not a date; write it as 2026-03-31"
        raise InvalidRow(f"{column}: {reason}") from None
    return day


def _day(value: str, zone: ZoneInfo) -> date:
    """Read a date. An instant becomes its day in the shop's time zone."""
    value = clean_text(value)
    if len(value) <= len("2026-03-31"):
        return date.fromisoformat(value)
    return parse_moment(value, zone).astimezone(zone).date()


def read_moment(row: Mapping[str, str], column: str, zone: ZoneInfo) -> str | None:
    value = row.get(column)
    if not value:
        return None
    try:
        return utc_text(value, zone)
    except ValueError as error:
        raise InvalidRow(f"{column}: {error}") from None


@lru_cache(maxsize=4096)
def utc_text(value: str, zone: ZoneInfo) -> str:
    """Convert an ISO 8601 time to UTC, in a form that both databases read. Without an offset it is the shop's time."""
    return utc_text_of(parse_moment(value, zone))


def utc_text_of(moment: datetime) -> str:
    """Return an instant in UTC, in a form that both databases read."""
    return str((moment if moment.tzinfo is UTC else moment.astimezone(UTC)).replace(tzinfo=None))


def parse_moment(value: str, zone: ZoneInfo) -> datetime:
    """Read an ISO 8601 time as an instant in UTC. Raises ValueError that says what to change."""
    try:
        moment = datetime.fromisoformat(clean_text(value))
    except ValueError:
        raise ValueError(
            f"{value!r} is not a time; write it as 2026-03-31 or 2026-03-31T18:30:00+02:00"
        ) from None
    _check_year(moment.year, value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return moment.astimezone(UTC)


def _check_year(year: int, value: str) -> None:
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError(f"{value!r} is not between the years {FIRST_YEAR} and {LAST_YEAR}")
